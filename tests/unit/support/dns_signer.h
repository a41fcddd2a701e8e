#pragma once
#include <doctest/doctest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dns/dnssec_key.h"
#include "dns/wire.h"
#include "support/dns_lab.h"

// Zones that sign what they say, with keys made on the spot.
namespace netlab::test {

inline constexpr std::uint32_t signed_at = 1'790'000'000; // seconds since the epoch

class zone_signer {
public:
  explicit zone_signer(std::string_view zone, std::uint8_t algorithm = 15)
      : zone_(dns_name(zone)), algorithm_(algorithm) {
    switch (algorithm) {
    case 5:
    case 7:
    case 8:
    case 10: key_ = EVP_RSA_gen(1024); break;
    case 13: key_ = EVP_EC_gen("P-256"); break;
    case 14: key_ = EVP_EC_gen("P-384"); break;
    case 15: key_ = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
    case 16: key_ = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"); break;
    default: break;
    }
    REQUIRE(key_ != nullptr);
  }
  ~zone_signer() { EVP_PKEY_free(key_); }
  zone_signer(const zone_signer&) = delete;
  zone_signer& operator=(const zone_signer&) = delete;

  const dns::name& zone() const { return zone_; }
  byte_vector key_data() const {
    byte_vector out{1, 1, 3, algorithm_};
    std::size_t size = 0;
    if (algorithm_ == 15 || algorithm_ == 16) {
      EVP_PKEY_get_raw_public_key(key_, nullptr, &size);
      out.resize(4 + size);
      EVP_PKEY_get_raw_public_key(key_, out.data() + 4, &size);
    } else if (algorithm_ == 13 || algorithm_ == 14) {
      byte_vector point(200);
      EVP_PKEY_get_octet_string_param(key_, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &size);
      out.insert(out.end(), point.begin() + 1, point.begin() + static_cast<std::ptrdiff_t>(size));
    } else {
      for (const char* what : {OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_N}) {
        BIGNUM* number = nullptr;
        EVP_PKEY_get_bn_param(key_, what, &number);
        byte_vector octets(static_cast<std::size_t>(BN_num_bytes(number)));
        BN_bn2bin(number, octets.data());
        BN_free(number);
        if (what == std::string_view(OSSL_PKEY_PARAM_RSA_E))
          out.push_back(static_cast<std::uint8_t>(octets.size()));
        out.insert(out.end(), octets.begin(), octets.end());
      }
    }
    return out;
  }
  dns::record key_record() const { return {zone_, dns::rtype::dnskey, dns::class_in, 3600, key_data()}; }
  dns::trust_anchor anchor() const {
    auto data = key_data();
    return {zone_, dns::key_tag(data), algorithm_, 2, dns::key_digest(zone_, data, 2)};
  }
  dns::record ds_record() const {
    auto a = anchor();
    byte_vector data(4);
    dns::put16(data.data(), a.tag);
    data[2] = a.algorithm;
    data[3] = a.digest_type;
    data.insert(data.end(), a.digest.begin(), a.digest.end());
    return {zone_, dns::rtype::ds, dns::class_in, 3600, data};
  }

  struct validity {
    std::int64_t from = -86400, to = 10 * 86400; // seconds from signed_at
    int labels = -1;                             // -1: the owner's
  };
  // The RRSIG over records of one name and type.
  dns::record sign(const std::vector<dns::record>& set, validity v) const {
    const auto& first = set.at(0);
    byte_vector data(18);
    auto* p = data.data();
    dns::put16(p, first.type);
    p[2] = algorithm_;
    bool star = first.owner.wire()[0] == 1 && first.owner.wire()[1] == '*';
    p[3] =
        static_cast<std::uint8_t>(v.labels >= 0 ? v.labels : static_cast<int>(first.owner.labels()) - star);
    dns::put32(p + 4, first.ttl);
    dns::put32(p + 8, static_cast<std::uint32_t>(signed_at + v.to));
    dns::put32(p + 12, static_cast<std::uint32_t>(signed_at + v.from));
    dns::put16(p + 16, dns::key_tag(key_data()));
    data.insert(data.end(), zone_.wire().begin(), zone_.wire().end());
    dns::record out{first.owner, dns::rtype::rrsig, dns::class_in, first.ttl, data};
    auto section = set;
    section.push_back(out);
    auto taken = dns::find_set(section, first.owner, first.type);
    auto bytes = dns::signed_bytes(taken, taken.signatures.at(0));
    auto signature = signature_over(bytes);
    out.data.insert(out.data.end(), signature.begin(), signature.end());
    return out;
  }
  dns::record sign(const std::vector<dns::record>& set) const { return sign(set, validity{}); }

  // An NSEC record with that next name and these types.
  static dns::record nsec(std::string_view owner, std::string_view next,
                          const std::vector<std::uint16_t>& types) {
    auto to = dns_name(next);
    byte_vector data(to.wire().begin(), to.wire().end());
    auto map = bitmap(types);
    data.insert(data.end(), map.begin(), map.end());
    return {dns_name(owner), dns::rtype::nsec, dns::class_in, 300, data};
  }
  // An NSEC3 record that matches `owner`, or with `span` covers it alone: from just below its hash to just
  // above.
  dns::record nsec3(std::string_view owner, const std::vector<std::uint16_t>& types, bool span = false,
                    bool opt_out = false, std::uint16_t iterations = 0) const {
    auto hash = dns::nsec3_hash(dns_name(owner), {}, iterations);
    auto next = hash;
    auto step = [](byte_vector& h, int by) {
      for (auto i = h.size(); i-- > 0;) {
        h[i] = static_cast<std::uint8_t>(h[i] + by);
        if (h[i] != (by > 0 ? 0 : 255)) return;
      }
    };
    step(next, 1);
    if (span) step(hash, -1);
    static constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuv";
    std::string label;
    for (std::size_t i = 0; i < 20; i += 5) {
      std::uint64_t word = 0;
      for (std::size_t k = 0; k < 5; ++k) word = word << 8 | hash[i + k];
      for (int shift = 35; shift >= 0; shift -= 5) label += digits[word >> shift & 31];
    }
    byte_vector data{1,
                     static_cast<std::uint8_t>(opt_out),
                     static_cast<std::uint8_t>(iterations >> 8),
                     static_cast<std::uint8_t>(iterations),
                     0,
                     20};
    data.insert(data.end(), next.begin(), next.end());
    auto map = bitmap(types);
    data.insert(data.end(), map.begin(), map.end());
    return {*dns_name(label).under(zone_), dns::rtype::nsec3, dns::class_in, 300, data};
  }

  static byte_vector bitmap(const std::vector<std::uint16_t>& types) {
    std::map<int, byte_vector> windows;
    for (auto t : types) {
      auto& w = windows[t >> 8];
      std::size_t octet = (t & 255) / 8;
      if (w.size() <= octet) w.resize(octet + 1);
      w[octet] = static_cast<std::uint8_t>(w[octet] | 0x80 >> (t & 7));
    }
    byte_vector out;
    for (const auto& [number, octets] : windows) {
      out.push_back(static_cast<std::uint8_t>(number));
      out.push_back(static_cast<std::uint8_t>(octets.size()));
      out.insert(out.end(), octets.begin(), octets.end());
    }
    return out;
  }

private:
  byte_vector signature_over(byte_view bytes) const {
    const EVP_MD* digest = algorithm_ == 5 || algorithm_ == 7    ? EVP_sha1()
                           : algorithm_ == 8 || algorithm_ == 13 ? EVP_sha256()
                           : algorithm_ == 14                    ? EVP_sha384()
                           : algorithm_ == 10                    ? EVP_sha512()
                                                                 : nullptr;
    auto* context = EVP_MD_CTX_new();
    std::size_t size = 1024;
    byte_vector out(size);
    REQUIRE(EVP_DigestSignInit(context, nullptr, digest, nullptr, key_) == 1);
    REQUIRE(EVP_DigestSign(context, out.data(), &size, bytes.data(), bytes.size()) == 1);
    EVP_MD_CTX_free(context);
    out.resize(size);
    if (algorithm_ != 13 && algorithm_ != 14) return out;
    const auto* at = out.data();
    auto* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(out.size()));
    int half = algorithm_ == 13 ? 32 : 48;
    byte_vector both(static_cast<std::size_t>(2 * half));
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), both.data(), half);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), both.data() + half, half);
    ECDSA_SIG_free(pair);
    return both;
  }

  dns::name zone_;
  std::uint8_t algorithm_;
  EVP_PKEY* key_ = nullptr;
};

} // namespace netlab::test
