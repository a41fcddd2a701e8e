// The HTTP request parser and its engine: however the bytes are cut, they mean the same; a request's path
// stays in the root; nothing is consumed beyond the message. Fed whole and byte by byte, then compared.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/conditional.h"
#include "http/connection_engine.h"

namespace {

using namespace netlab;
using namespace netlab::http;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string walk(std::string_view bytes, std::size_t step) {
  static const http_limits limits = [] {
    http_limits l;
    l.header_bytes = 2048;
    l.header_fields = 20;
    l.body_bytes = 4096;
    return l;
  }();
  connection_engine engine(limits, {});
  std::string story;
  while (!bytes.empty()) {
    auto piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    engine.receive(piece, {});
    for (auto e = engine.next({}); e != connection_engine::event::none; e = engine.next({})) {
      const auto& q = engine.request();
      response r;
      if (e == connection_engine::event::request) {
        require(q.path == "*" || q.path.starts_with('/'));
        require(q.path.find("//") == std::string::npos && q.path.find('\0') == std::string::npos);
        require((q.path + "/").find("/../") == std::string::npos);
        require(q.body.size() <= limits.body_bytes);
        auto chosen = select(q, 1000, {"\"tag\"", 1});
        require(chosen.offset + chosen.length <= 1000);
        story += std::string(q.method) + q.path + "?" + std::string(q.query) + "[" + q.body + "]" +
                 std::to_string(chosen.status);
      } else {
        require(engine.refusal_status() >= 400 && engine.refusal_status() < 600);
        story += "refused";
      }
      auto out = engine.respond(r, "date", false);
      if (out.close) return story;
      engine.finish({});
    }
  }
  return story;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto whole = walk(bytes, bytes.size() + 1);
  require(whole == walk(bytes, 1));
  (void)parse_http_date(bytes);
  return 0;
}
