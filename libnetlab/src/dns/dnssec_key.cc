#include "dnssec_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "netlab/encoding.h"
#include "netlab/text.h"
#include "wire.h"

namespace netlab::dns {

namespace {

// DNSSEC algorithm numbers (RFC 8624 §3.1).
enum : std::uint8_t {
  rsa_sha1 = 5,
  rsa_sha1_nsec3 = 7,
  rsa_sha256 = 8,
  rsa_sha512 = 10,
  ecdsa_p256 = 13,
  ecdsa_p384 = 14,
  ed25519 = 15,
  ed448 = 16,
};

constexpr std::size_t least_modulus = 64, most_modulus = 512; // octets: 512 and 4096 bits
constexpr std::size_t most_exponent = 8;
constexpr unsigned most_signatures = 8, most_keys_of_a_tag = 4; // that are tried for one set

struct free_key {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
};
using key_pointer = std::unique_ptr<EVP_PKEY, free_key>;

key_pointer from_parameters(const char* type, OSSL_PARAM_BLD* build) {
  EVP_PKEY* out = nullptr;
  auto* parameters = OSSL_PARAM_BLD_to_param(build);
  auto* context = EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr);
  if (parameters && context && EVP_PKEY_fromdata_init(context) == 1)
    EVP_PKEY_fromdata(context, &out, EVP_PKEY_PUBLIC_KEY, parameters);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  return key_pointer(out);
}

// RFC 3110 §2
key_pointer read_rsa(byte_view data) {
  if (data.empty()) return nullptr;
  std::size_t length = data[0], at = 1;
  if (length == 0) {
    if (data.size() < 3) return nullptr;
    length = get16(data.data() + 1);
    at = 3;
  }
  if (length == 0 || length > most_exponent || at + length >= data.size()) return nullptr;
  auto exponent = data.subspan(at, length), modulus = data.subspan(at + length);
  while (!modulus.empty() && modulus[0] == 0) modulus = modulus.subspan(1);
  if (modulus.size() < least_modulus || modulus.size() > most_modulus) return nullptr;
  auto* e = BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr);
  auto* n = BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr);
  auto* build = OSSL_PARAM_BLD_new();
  key_pointer out;
  if (e && n && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
      OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
    out = from_parameters("RSA", build);
  OSSL_PARAM_BLD_free(build);
  BN_free(e);
  BN_free(n);
  return out;
}

// RFC 6605 §4: the two coordinates one after the other.
key_pointer read_ecdsa(byte_view data, const char* curve, std::size_t size) {
  if (data.size() != 2 * size) return nullptr;
  byte_vector point{4}; // uncompressed (SEC 1 §2.3.3)
  point.insert(point.end(), data.begin(), data.end());
  auto* build = OSSL_PARAM_BLD_new();
  key_pointer out;
  if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) == 1 &&
      OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1)
    out = from_parameters("EC", build);
  OSSL_PARAM_BLD_free(build);
  return out;
}

key_pointer read_edwards(byte_view data, int type, std::size_t size) {
  if (data.size() != size) return nullptr;
  return key_pointer(EVP_PKEY_new_raw_public_key(type, nullptr, data.data(), data.size()));
}

// ECDSA's two numbers as OpenSSL wants them.
byte_vector ecdsa_der(byte_view signature) {
  auto half = static_cast<int>(signature.size() / 2);
  auto* pair = ECDSA_SIG_new();
  auto* r = BN_bin2bn(signature.data(), half, nullptr);
  auto* s = BN_bin2bn(signature.data() + half, half, nullptr);
  byte_vector out;
  if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
    r = s = nullptr; // the pair's now
    if (auto length = i2d_ECDSA_SIG(pair, nullptr); length > 0) {
      out.resize(static_cast<std::size_t>(length));
      auto* to = out.data();
      i2d_ECDSA_SIG(pair, &to);
    }
  }
  BN_free(r);
  BN_free(s);
  ECDSA_SIG_free(pair);
  return out;
}

const EVP_MD* digest_of(std::uint8_t algorithm) {
  switch (algorithm) {
  case rsa_sha1:
  case rsa_sha1_nsec3: return EVP_sha1();
  case rsa_sha256:
  case ecdsa_p256: return EVP_sha256();
  case ecdsa_p384: return EVP_sha384();
  case rsa_sha512: return EVP_sha512();
  default: return nullptr; // the Edwards curves have theirs inside
  }
}

} // namespace

std::uint16_t key_tag(byte_view dnskey) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < dnskey.size(); ++i)
    sum += i % 2 == 0 ? std::uint32_t{dnskey[i]} << 8 : dnskey[i];
  sum += sum >> 16 & 0xffff;
  return static_cast<std::uint16_t>(sum);
}

bool known_algorithm(std::uint8_t algorithm) {
  switch (algorithm) {
  case rsa_sha1:
  case rsa_sha1_nsec3:
  case rsa_sha256:
  case rsa_sha512:
  case ecdsa_p256:
  case ecdsa_p384:
  case ed25519:
  case ed448: return true;
  default: return false;
  }
}

bool known_digest(std::uint8_t digest_type) {
  return digest_type == 1 || digest_type == 2 || digest_type == 4; // SHA-1, SHA-256, SHA-384
}

byte_vector key_digest(const name& zone, byte_view dnskey, std::uint8_t digest_type) {
  if (!known_digest(digest_type)) return {};
  auto owner = zone.lower();
  byte_vector all(owner.wire().begin(), owner.wire().end());
  all.insert(all.end(), dnskey.begin(), dnskey.end());
  const auto* method = digest_type == 1 ? EVP_sha1() : digest_type == 2 ? EVP_sha256() : EVP_sha384();
  byte_vector out(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  if (EVP_Digest(all.data(), all.size(), out.data(), &length, method, nullptr) != 1) return {};
  out.resize(length);
  return out;
}

std::shared_ptr<const zone_key> zone_key::read(byte_view dnskey) {
  if (dnskey.size() < 5) return nullptr;
  auto flags = get16(dnskey.data());
  constexpr std::uint16_t zone_bit = 0x0100, revoked_bit = 0x0080;
  if ((flags & zone_bit) == 0 || (flags & revoked_bit) != 0 || dnskey[2] != 3) return nullptr;
  auto data = dnskey.subspan(4);
  key_pointer key;
  switch (dnskey[3]) {
  case rsa_sha1:
  case rsa_sha1_nsec3:
  case rsa_sha256:
  case rsa_sha512: key = read_rsa(data); break;
  case ecdsa_p256: key = read_ecdsa(data, "prime256v1", 32); break;
  case ecdsa_p384: key = read_ecdsa(data, "secp384r1", 48); break;
  case ed25519: key = read_edwards(data, EVP_PKEY_ED25519, 32); break;
  case ed448: key = read_edwards(data, EVP_PKEY_ED448, 57); break;
  default: break;
  }
  if (!key) return nullptr;
  std::shared_ptr<zone_key> out(new zone_key);
  out->tag_ = key_tag(dnskey);
  out->algorithm_ = dnskey[3];
  out->key_ = key.release();
  return out;
}

zone_key::~zone_key() { EVP_PKEY_free(static_cast<EVP_PKEY*>(key_)); }

bool zone_key::verifies(byte_view bytes, byte_view signature) const {
  byte_vector der;
  if (algorithm_ == ecdsa_p256 || algorithm_ == ecdsa_p384) {
    if (signature.size() != (algorithm_ == ecdsa_p256 ? 64u : 96u)) return false;
    der = ecdsa_der(signature);
    signature = der;
  }
  auto* context = EVP_MD_CTX_new();
  bool good = context &&
              EVP_DigestVerifyInit(context, nullptr, digest_of(algorithm_), nullptr,
                                   static_cast<EVP_PKEY*>(key_)) == 1 &&
              EVP_DigestVerify(context, signature.data(), signature.size(), bytes.data(), bytes.size()) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

signature_state check_signatures(const signed_set& set, const name& zone, const zone_keys& keys,
                                 wall_time now, proof_work& work, std::uint32_t& ttl,
                                 const rr_signature** by) {
  auto state = signature_state::missing;
  auto seconds =
      static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  // A clock that stands before this was written has not been set yet (a Raspberry Pi at start): it must not
  // take the network down, which it needs to be set.
  constexpr std::uint32_t written = 1'767'225'600; // 2026-01-01
  bool timeless = seconds < written;
  unsigned tried = 0;
  for (const auto& s : set.signatures) {
    if (s.signer != zone || s.covered != set.type || s.labels > set.owner.labels()) continue;
    if (++tried > most_signatures) break;
    state = std::max(state, signature_state::bad);
    if (!timeless) {
      // A tenth of its life, from an hour to a day: clocks differ. Serial arithmetic (RFC 4034 §3.1.5).
      auto life = static_cast<std::int32_t>(s.expires - s.inception);
      auto slack = std::clamp(life / 10, 3600, 86400);
      if (static_cast<std::int32_t>(s.expires - seconds) < -slack) {
        state = signature_state::expired;
        continue;
      }
      if (static_cast<std::int32_t>(seconds - s.inception) < -slack) {
        state = signature_state::early;
        continue;
      }
    }
    unsigned fitting = 0;
    byte_vector bytes;
    for (const auto& k : keys) {
      if (k->tag() != s.tag || k->algorithm() != s.algorithm) continue;
      if (++fitting > most_keys_of_a_tag || work.checks == 0) return signature_state::too_much;
      --work.checks;
      if (bytes.empty()) bytes = signed_bytes(set, s);
      if (!k->verifies(bytes, s.value)) continue;
      // RFC 4035 §5.3.3
      ttl = std::min(ttl, s.original_ttl);
      if (!timeless)
        ttl = std::min(ttl, static_cast<std::uint32_t>(
                                std::max<std::int32_t>(static_cast<std::int32_t>(s.expires - seconds), 1)));
      if (by) *by = &s;
      return signature_state::good;
    }
    if (fitting == 0 && state == signature_state::bad) state = signature_state::no_key;
  }
  return state;
}

byte_vector nsec3_hash(const name& n, byte_view salt, unsigned iterations) {
  auto lower = n.lower();
  byte_vector input(lower.wire().begin(), lower.wire().end());
  byte_vector digest(SHA_DIGEST_LENGTH);
  for (unsigned round = 0;; ++round) {
    input.insert(input.end(), salt.begin(), salt.end());
    SHA1(input.data(), input.size(), digest.data());
    if (round == iterations) return digest;
    input.assign(digest.begin(), digest.end());
  }
}

// --- anchors

namespace {

// The digits of a record's data, which may stand in groups.
std::optional<byte_vector> hex_octets(std::string_view text) {
  std::string digits;
  for (char c : text)
    if (c != ' ' && c != '\t') digits += c;
  byte_vector out;
  if (digits.find_first_of(":-") != std::string::npos || !from_hex(digits, out)) return std::nullopt;
  return out;
}

} // namespace

result<trust_anchor> trust_anchor::parse(const name& zone, std::string_view text) {
  auto wrong = [&](const char* why) {
    return fail(errc::invalid, "\"" + printable(text.substr(0, 80)) + "\" is no trust anchor: " + why,
                "dnssec");
  };
  std::array<unsigned, 3> numbers{};
  auto rest = trim(text);
  for (auto& n : numbers) {
    auto length = std::min(rest.find_first_of(" \t"), rest.size());
    auto word = rest.substr(0, length);
    rest = trim(rest.substr(length));
    if (word.empty() || word.size() > 5) return wrong("three numbers come first");
    for (char c : word) {
      if (c < '0' || c > '9') return wrong("three numbers come first");
      n = n * 10 + static_cast<unsigned>(c - '0');
    }
    if (n > 65535) return wrong("a number is too large");
  }
  trust_anchor out;
  out.zone = zone.lower();
  // The second number of a DNSKEY is always 3, which as a DS record's algorithm nobody signs with any more.
  if (numbers[1] == 3 && (numbers[0] & 0x100) != 0) {
    auto key = base64_decode(rest);
    if (!key || key->empty()) return wrong("the key is not in base64");
    byte_vector data(4);
    put16(data.data(), static_cast<std::uint16_t>(numbers[0]));
    data[2] = 3;
    data[3] = static_cast<std::uint8_t>(numbers[2]);
    data.insert(data.end(), key->begin(), key->end());
    if (!zone_key::read(data)) return wrong("the key is of an unknown kind, revoked or damaged");
    out.tag = key_tag(data);
    out.algorithm = data[3];
    out.digest_type = 2;
    out.digest = key_digest(zone, data, 2);
    return out;
  }
  if (numbers[1] > 255 || numbers[2] > 255) return wrong("a number is too large");
  out.tag = static_cast<std::uint16_t>(numbers[0]);
  out.algorithm = static_cast<std::uint8_t>(numbers[1]);
  out.digest_type = static_cast<std::uint8_t>(numbers[2]);
  if (!known_algorithm(out.algorithm)) return wrong("the algorithm is unknown");
  if (!known_digest(out.digest_type)) return wrong("the kind of digest is unknown");
  auto digest = hex_octets(rest);
  auto size = out.digest_type == 1 ? 20u : out.digest_type == 2 ? 32u : 48u;
  if (!digest || digest->size() != size)
    return wrong("the digest is not hexadecimal or not of its kind's length");
  out.digest = std::move(*digest);
  return out;
}

std::vector<trust_anchor> root_anchors() {
  return {*trust_anchor::parse(name(),
                               "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"),
          *trust_anchor::parse(name(),
                               "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16")};
}

} // namespace netlab::dns
