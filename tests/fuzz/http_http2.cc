// A client of HTTP/2 that says anything: the session neither crashes nor answers more than it was asked, and
// lets go of everything at the end. Fed whole and in small pieces.
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string_view>

#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/simulation.h"
#include "support/http2_client.h"

namespace {

using namespace netlab;

void require(bool holds) {
  if (!holds) std::abort();
}

void talk(std::string_view bytes, std::size_t step) {
  static event_loop loop;
  static auto client = make_http_client(loop);
  manual_time time;
  metrics numbers;
  runtime world{time, time, loop.random(), loop.net(), loop.files(), loop.processes(), *client, {}, numbers};
  http_server_options o;
  o.limits.body_bytes = 4096;
  auto server = make_http_server(world, o);
  std::deque<http_call_ptr> kept;
  require(server
              ->handle("/",
                       [&](http_call_ptr c) {
                         require(c->path.starts_with('/') && c->body.size() <= 4096);
                         if (c->method == "GET" && kept.size() < 200)
                           kept.push_back(std::move(c));
                         else
                           c->reply({.body = c->body});
                       })
              .has_value());
  auto w = std::make_shared<test::wire>();
  server->accept(std::make_unique<test::http2_stream>(w, endpoint::parse("10.0.0.7:50000").value(),
                                                      endpoint::parse("10.0.0.1:443").value()));
  w->say(test::http2_preface());
  while (!bytes.empty() && !w->destroyed) {
    auto piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    w->say(piece);
    time.settle();
    w->settle();
    if (kept.size() > 3) {
      kept.front()->reply({.body = "late"});
      kept.pop_front();
    }
  }
  w->end();
  time.settle();
  require(server->connections() == 0);
  for (const auto& c : kept) require(!c->alive());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  talk(bytes, bytes.size() + 1);
  talk(bytes, 5);
  return 0;
}
