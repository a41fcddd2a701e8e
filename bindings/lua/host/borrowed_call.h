#pragma once
#include <utility>

#include "netlab/clock.h"
#include "netlab/http_server.h"

namespace netlab::lua {

// A call that another thread answers. It belongs to its server's loop, `home`, and goes back there to end.
struct borrowed_call {
  http_call_ptr call;
  scheduler& home;
  borrowed_call(http_call_ptr c, scheduler& s) : call(std::move(c)), home(s) {}
  ~borrowed_call() {
    home.post([c = std::move(call)] {});
  }
  borrowed_call(const borrowed_call&) = delete;
  borrowed_call& operator=(const borrowed_call&) = delete;
  void reply(http_reply r) {
    home.post([c = call, r = std::move(r)]() mutable { c->reply(std::move(r)); });
  }
};

// What http.server's `serve` may hold beside sources and routes: an object that answers a path by itself, on
// whatever loop it likes.
class http_answerer {
public:
  virtual ~http_answerer() = default;
  virtual std::string http_prefix() const = 0;
  // Why it cannot be served so, empty when it can; asked when the recipe is checked.
  virtual std::string http_objection(bool tls) const = 0;
  // On the HTTP server's loop.
  virtual void answer_http(std::shared_ptr<borrowed_call> asked) = 0;
};

} // namespace netlab::lua
