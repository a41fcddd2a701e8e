#include <doctest/doctest.h>

#include "netlab/aws_signature.h"
#include "netlab/digest.h"
#include "netlab/encoding.h"
#include "netlab/text.h"

using namespace netlab;
using namespace netlab::aws;

namespace {

struct vector_case {
  const char *name, *flags, *token, *request, *canonical, *signature;
};
constexpr vector_case cases[] = {
#include "aws_signature_vectors.inc"
};

signature_scope scope() {
  signature_scope s;
  s.access_key = "AKIDEXAMPLE";
  s.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
  s.region = "us-east-1";
  s.service = "service";
  s.time = wall_time{std::chrono::sys_days{std::chrono::year{2015} / 8 / 30}} + std::chrono::hours(12) +
           std::chrono::minutes(36);
  return s;
}

signable read_request(std::string_view text) {
  signable out;
  auto end = text.find("\n\n");
  auto head = text.substr(0, end);
  auto body = text.substr(end + 2);
  auto lines = split(head, '\n');
  auto first = lines[0];
  out.method = first.substr(0, first.find(' '));
  auto target = first.substr(out.method.size() + 1);
  target = target.substr(0, target.rfind(" HTTP/"));
  auto mark = target.find('?');
  out.path = target.substr(0, mark);
  if (mark != std::string_view::npos)
    for (auto part : split(target.substr(mark + 1), '&')) {
      auto equals = part.find('=');
      auto value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
      out.query.emplace_back(url_decode(part.substr(0, equals)).value(), url_decode(value).value());
    }
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].starts_with(' ')) { // a folded value
      out.headers.back().second += "\n" + std::string(lines[i]);
      continue;
    }
    auto colon = lines[i].find(':');
    out.headers.emplace_back(lines[i].substr(0, colon), lines[i].substr(colon + 1));
  }
  out.payload_hash = to_hex(sha256_of(as_bytes(body)));
  return out;
}

} // namespace

TEST_CASE("the public suite's requests have the public suite's signatures") {
  int seen = 0;
  for (const auto& c : cases) {
    CAPTURE(c.name);
    std::string_view flags = c.flags, token = c.token;
    auto s = scope();
    s.normalize_path = flags.find('n') != std::string_view::npos;
    auto r = read_request(c.request);
    r.headers.emplace_back("X-Amz-Date", amz_date(s.time));
    if (!token.empty() && flags.find('t') == std::string_view::npos)
      r.headers.emplace_back("X-Amz-Security-Token", token);
    if (flags.find('b') != std::string_view::npos)
      r.headers.emplace_back("x-amz-content-sha256", r.payload_hash);
    CHECK(canonical_request(r, s) == c.canonical);
    CHECK(signature_of(string_to_sign(canonical_request(r, s), s), s) == c.signature);
    CHECK(authorization(r, s).ends_with("Signature=" + std::string(c.signature)));
    ++seen;
  }
  CHECK(seen >= 30);
}

TEST_CASE("S3 signs the path as it is sent") {
  auto s = scope();
  s.normalize_path = s.encode_path = false;
  signable r;
  r.path = "/bucket/a%20b//c";
  r.headers = {{"host", "example.amazonaws.com"}};
  CHECK(canonical_request(r, s).starts_with("GET\n/bucket/a%20b//c\n"));
  s.encode_path = true;
  CHECK(canonical_request(r, s).starts_with("GET\n/bucket/a%2520b//c\n"));
}

TEST_CASE("queries are sorted after they are encoded") {
  CHECK(canonical_query({{"b", ""}, {"a", "2"}, {"a", "1"}, {"A", "%"}, {"a b", "ü"}}) ==
        "A=%25&a=1&a=2&a%20b=%C3%BC&b=");
}

TEST_CASE("base64, HMAC and SHA-1") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64_decode("Zm9v\nYmFy").value() == "foobar");
  CHECK(base64_decode("Zm8=").value() == "fo");
  CHECK(base64_decode("Zg").value() == "f"); // padding may be left out
  for (const char* bad : {"Zm9*", "Z", "Zg=a", "Zg===", "Zm9v="}) {
    CAPTURE(bad);
    CHECK_FALSE(base64_decode(bad));
  }
  // RFC 4231, test case 2.
  CHECK(to_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(to_hex(hmac_sha256({}, {})) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  CHECK(sha1_hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
}
