#include "netlab/digest.h"

#include <openssl/evp.h>

namespace netlab {

struct sha256::state {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~state() { EVP_MD_CTX_free(context); }
};

sha256::sha256() : state_(std::make_unique<state>()) {
  EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr);
}
sha256::~sha256() = default;
sha256::sha256(sha256&&) noexcept = default;
sha256& sha256::operator=(sha256&&) noexcept = default;

void sha256::update(byte_view bytes) { EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()); }

sha256_digest sha256::finish() {
  sha256_digest out{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, out.data(), &length);
  return out;
}

sha256_digest sha256_of(byte_view bytes) {
  sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

} // namespace netlab
