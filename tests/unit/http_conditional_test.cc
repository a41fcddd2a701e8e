#include <doctest/doctest.h>

#include "http/conditional.h"
#include "http/response.h"
#include "netlab/http_server.h"

using namespace netlab;
using namespace netlab::http;

namespace {
const std::string_view etag = "\"abc-1\"";
const std::int64_t modified = 784111777; // Sun, 06 Nov 1994 08:49:37 GMT

selection ask(std::vector<field> fields, std::uint64_t size = 10000, std::string_view method = "GET") {
  request r;
  r.method = method;
  r.fields = std::move(fields);
  return select(r, size, {etag, modified});
}
} // namespace

TEST_CASE("http range: which bytes of 10000 go out") {
  struct row {
    const char* range;
    int status;
    std::uint64_t offset, length;
  };
  const row table[] = {
      {"bytes=500-1499", 206, 500, 1000},
      {"bytes=500-", 206, 500, 9500},
      {"bytes=-500", 206, 9500, 500},
      {"bytes=0-0", 206, 0, 1},
      {"bytes=9999-", 206, 9999, 1},
      {"bytes=0-99999", 206, 0, 10000},
      {"bytes=-99999", 206, 0, 10000},
      {"bytes=2000-5000", 206, 2000, 3001},
      {"BYTES = 1-2", 206, 1, 2},
      {"bytes=9000-99999999999999999999999", 206, 9000, 1000},
      {"bytes=500-0", 416, 0, 0},
      {"bytes=5000-10000", 206, 5000, 5000},
      {"bytes=10000-", 416, 0, 0},
      {"bytes=99999999999999999999999-", 416, 0, 0},
      {"bytes=-0", 416, 0, 0},
      {"bytes=", 416, 0, 0},
      {"bytes=-", 416, 0, 0},
      {"bytes=a-b", 416, 0, 0},
      {"bytes=1-2x", 416, 0, 0},
      {"bytes=+1-2", 416, 0, 0},
      {"bytes=5", 416, 0, 0},
      {"bytes=0-1,5-6", 200, 0, 10000},
      {"lines=1-2", 200, 0, 10000},
      {"garbage", 200, 0, 10000},
  };
  for (const auto& r : table) {
    CAPTURE(r.range);
    auto s = ask({{"Range", r.range}});
    CHECK(s.status == r.status);
    CHECK(s.offset == r.offset);
    CHECK(s.length == r.length);
  }
  CHECK(ask({{"Range", "bytes=0-"}}, 0).status == 416);
  CHECK(ask({{"Range", "bytes=5000-10000"}}, 5000).status == 416);
  CHECK(ask({{"Range", "bytes=500-1499"}}, 1000).length == 500);
  CHECK(ask({{"Range", "bytes=2000-5000"}}, 4000).length == 2000);
  CHECK(ask({{"Range", "bytes=0-1"}}, 10000, "HEAD").status == 200);
}

TEST_CASE("http conditions: entity tags and dates") {
  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT", before = "Sun, 06 Nov 1994 08:49:36 GMT";
  CHECK(ask({{"If-None-Match", etag}}).status == 304);
  CHECK(ask({{"if-none-match", "\"x\", W/\"abc-1\""}}).status == 304);
  CHECK(ask({{"If-None-Match", "*"}}).status == 304);
  CHECK(ask({{"If-None-Match", "\"abc\""}}).status == 200);
  CHECK(ask({{"If-None-Match", "abc-1"}}).status == 200);
  CHECK(ask({{"If-None-Match", "\"unterminated"}}).status == 200);
  CHECK(ask({{"If-Modified-Since", date}}).status == 304);
  CHECK(ask({{"If-Modified-Since", before}}).status == 200);
  CHECK(ask({{"If-Modified-Since", "yesterday"}}).status == 200);
  // The tag decides when both are there (RFC 9110 §13.1.3).
  CHECK(ask({{"If-None-Match", "\"other\""}, {"If-Modified-Since", date}}).status == 200);
  CHECK(ask({{"If-Match", etag}}).status == 200);
  CHECK(ask({{"If-Match", "W/\"abc-1\""}}).status == 412);
  CHECK(ask({{"If-Match", "\"other\""}}).status == 412);
  CHECK(ask({{"If-Unmodified-Since", before}}).status == 412);
  CHECK(ask({{"If-Unmodified-Since", date}}).status == 200);

  auto part = [&](std::string_view if_range) {
    return ask({{"Range", "bytes=1-2"}, {"If-Range", if_range}}).status;
  };
  CHECK(part(etag) == 206);
  CHECK(part("W/\"abc-1\"") == 200);
  CHECK(part("\"other\"") == 200);
  CHECK(part(date) == 206);
  CHECK(part(before) == 200);
  CHECK(part("nonsense") == 200);
}

TEST_CASE("http dates: three forms in, one out") {
  CHECK(format_http_date(modified) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(format_http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == modified);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == modified);
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == modified);
  for (auto text :
       {"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT", "Sun Nov  6 08:49:37 19x4", "Sunday, 06-Nov-9x 08:49:37 GMT",
        ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_http_date(text).has_value());
  }
}

TEST_CASE("http response: fields that a handler must not set, and framing") {
  CHECK(is_sendable(200, "text/plain", {{"X-A", "b"}}));
  CHECK_FALSE(is_sendable(199, "", {}));
  CHECK_FALSE(is_sendable(600, "", {}));
  CHECK_FALSE(is_sendable(200, "a\r\nb", {}));
  CHECK_FALSE(is_sendable(200, "", {{"X", "a\r\nSet-Cookie: b"}}));
  CHECK_FALSE(is_sendable(200, "", {{"X y", "a"}}));
  CHECK_FALSE(is_sendable(200, "", {{"", "a"}}));
  CHECK_FALSE(is_sendable(200, "", {{"content-LENGTH", "5"}}));
  CHECK_FALSE(is_sendable(200, "", {{"Transfer-Encoding", "chunked"}}));

  response r;
  r.status = 304;
  r.length = 100;
  r.text = "never";
  CHECK(write_response(r, "d", persistence::keep_alive).bytes ==
        "HTTP/1.1 304 Not Modified\r\nDate: d\r\n\r\n");
  r = {};
  r.shared = std::make_shared<const std::string>(100'000, 'x');
  r.length = r.shared->size();
  auto whole = write_response(r, "d", persistence::keep_alive);
  CHECK(whole.shared == r.shared); // a large body is not copied
  CHECK(whole.head == whole.bytes.size());
  r.offset = 10;
  r.length = 20;
  auto part = write_response(r, "d", persistence::close);
  CHECK(part.bytes.ends_with("Connection: close\r\n\r\n" + std::string(20, 'x')));
}

TEST_CASE("http content types: by extension, and EFI as firmware wants it") {
  CHECK(content_type_of("BOOTAA64.EFI") == "application/efi");
  CHECK(content_type_of("/a.b/disk.iso") == "application/vnd.efi-iso");
  CHECK(content_type_of("boot.ipxe") == "text/plain; charset=utf-8");
  CHECK(content_type_of("x.YAML") == "application/yaml");
  for (auto name : {"", "vmlinuz", ".yaml", "a.yaml/", "a.", "a.unknownextension", "a.zzz"})
    CHECK(content_type_of(name) == "application/octet-stream");
}
