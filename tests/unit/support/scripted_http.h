#pragma once
#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <vector>

#include "netlab/http_client.h"
#include "netlab/simulation.h"

namespace netlab::test {

// Sources of files as an HTTP client sees them, in virtual time and without a network: answers GET with
// ranges and conditions, and POST; breaks off, changes or fails where the test says so.
class scripted_http final : public http_client {
public:
  struct page {
    std::string body, etag;
    int status = 200;
    http_headers headers;
    std::size_t break_after = std::string::npos; // bytes of this response, once
    bool ranges = true;
  };
  explicit scripted_http(manual_time& time) : time_(time) {}

  std::map<std::string, page> pages;
  bool down = false;
  std::vector<http_request> asked;
  // Sees a request before its page does; a response of its own wins.
  std::function<std::optional<page>(const http_request&)> before;

  std::string field(std::size_t index, std::string_view name) const {
    for (const auto& [key, value] : asked.at(index).headers)
      if (key == name) return value;
    return {};
  }

  std::unique_ptr<http_exchange> send(http_request q,
                                      std::function<void(result<http_response>)> done) override {
    asked.push_back(q);
    auto alive = std::make_shared<bool>(true);
    time_.post([this, q = std::move(q), done = std::move(done), late = std::weak_ptr(alive)] {
      if (!late.expired()) answer(q, done, late);
    });
    struct exchange final : http_exchange {
      std::shared_ptr<bool> alive;
    };
    auto out = std::make_unique<exchange>();
    out->alive = std::move(alive);
    return out;
  }

private:
  static std::string of(const http_request& q, std::string_view name) {
    for (const auto& [key, value] : q.headers)
      if (key == name) return value;
    return {};
  }

  void answer(const http_request& q, const std::function<void(result<http_response>)>& done,
              const std::weak_ptr<bool>& late) {
    if (down) return done(fail(errc::refused, "connection refused: nothing listens there"));
    std::optional<page> own = before ? before(q) : std::nullopt;
    auto found = pages.find(q.url);
    page missing{"no such page", {}, 404, {}};
    auto& p = own ? *own : found == pages.end() ? missing : found->second;
    http_response r;
    r.url = q.url;
    r.status = p.status;
    r.headers = p.headers;
    std::string body = p.body;
    if (!p.etag.empty()) r.headers.emplace_back("etag", p.etag);
    auto range = of(q, "Range"), condition = of(q, "If-Range");
    if (p.status == 200 && !p.etag.empty() && of(q, "If-None-Match") == p.etag) {
      r.status = 304;
      body.clear();
    } else if (p.status == 200 && p.ranges && range.starts_with("bytes=") &&
               (condition.empty() || condition == p.etag)) {
      std::size_t from = 0;
      std::from_chars(range.data() + 6, range.data() + range.size(), from);
      auto total = std::to_string(p.body.size());
      if (from >= p.body.size()) {
        r.status = 416;
        r.headers.emplace_back("content-range", "bytes */" + total);
        body.clear();
      } else {
        r.status = 206;
        r.headers.emplace_back("content-range", "bytes " + std::to_string(from) + "-" +
                                                    std::to_string(p.body.size() - 1) + "/" + total);
        body = p.body.substr(from);
      }
    }
    r.headers.emplace_back("content-length", std::to_string(body.size()));
    if (q.on_head && !q.on_head(r.status, r.headers)) return done(fail(errc::cancelled, "not wanted"));
    auto stop = std::exchange(p.break_after, std::string::npos);
    auto sent = std::min(stop, body.size());
    if (q.on_body) {
      for (std::size_t at = 0; at < sent && !late.expired(); at += 1000)
        q.on_body(as_bytes(std::string_view(body).substr(at, std::min<std::size_t>(1000, sent - at))));
      if (late.expired()) return;
    } else {
      r.body = body;
    }
    if (stop < body.size()) return done(fail(errc::closed, "the connection ended in the middle of the body"));
    done(std::move(r));
  }

  manual_time& time_;
};

} // namespace netlab::test
