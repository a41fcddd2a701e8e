#include "netlab/digest.h"

#include <openssl/evp.h>

#include <optional>

#include "netlab/text.h"

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

std::string_view to_string(digest_algorithm algorithm) {
  return algorithm == digest_algorithm::sha512 ? "sha512" : "sha256";
}

result<checksum> checksum::parse(std::string_view text) {
  checksum out;
  auto digits = text;
  std::optional<digest_algorithm> named;
  if (auto colon = text.find(':'); colon != std::string_view::npos) {
    auto word = text.substr(0, colon);
    if (iequals(word, "sha256"))
      named = digest_algorithm::sha256;
    else if (iequals(word, "sha512"))
      named = digest_algorithm::sha512;
    else
      return fail(errc::invalid, "unknown checksum \"" + printable(word) + "\": sha256 or sha512",
                  "checksum");
    digits = text.substr(colon + 1);
  }
  out.algorithm = named.value_or(digits.size() == 128 ? digest_algorithm::sha512 : digest_algorithm::sha256);
  std::size_t wanted = out.algorithm == digest_algorithm::sha512 ? 128 : 64;
  out.hex = to_lower(digits);
  if (out.hex.size() != wanted || out.hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    return fail(errc::invalid,
                "a " + std::string(netlab::to_string(out.algorithm)) + " checksum has " +
                    std::to_string(wanted) + " hexadecimal digits, got \"" +
                    printable(digits.substr(0, 140)) + "\"",
                "checksum");
  return out;
}

std::string checksum::to_string() const { return std::string(netlab::to_string(algorithm)) + ":" + hex; }

struct hasher::state {
  explicit state(digest_algorithm a) : algorithm(a) {
    EVP_DigestInit_ex(context, a == digest_algorithm::sha512 ? EVP_sha512() : EVP_sha256(), nullptr);
  }
  ~state() { EVP_MD_CTX_free(context); }
  digest_algorithm algorithm;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

hasher::hasher(digest_algorithm algorithm) : state_(std::make_unique<state>(algorithm)) {}
hasher::~hasher() = default;
hasher::hasher(hasher&&) noexcept = default;
hasher& hasher::operator=(hasher&&) noexcept = default;

void hasher::update(byte_view bytes) { EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()); }

checksum hasher::finish() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, out.data(), &length);
  return {state_->algorithm, to_hex(byte_view(out.data(), length))};
}

} // namespace netlab
