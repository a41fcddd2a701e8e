#include "http/worker.h"

#include "host/borrowed_call.h"
#include "host/bytes_loop.h"
#include "http/route.h"

namespace netlab::lua {

http_worker::http_worker(host& h, const http_settings& settings, std::vector<endpoint> at, std::size_t number)
    : host_(h), settings_(settings), number_(number), world_(h.bytes(number)), bound_(std::move(at)) {}

result<void> http_worker::start() {
  source_ = sources_.open(settings_.entries, host_.world().scheduler, world_.scheduler);
  return on_bytes_loop(
      host_, [this] { return open(); }, number_);
}

void http_worker::drain(std::function<void()> done) {
  auto& control = host_.world().scheduler;
  world_.scheduler.post([this, &control, done = std::move(done)] {
    late_.reset();
    server_->drain([&control, done] { control.post(done); });
  });
}

std::size_t http_worker::connections() const {
  return on_bytes_loop(
      host_, [this] { return server_->connections(); }, number_);
}

std::vector<endpoint> http_worker::bound() const {
  return on_bytes_loop(
      host_, [this] { return bound_; }, number_);
}

result<void> http_worker::open() {
  http_server_options o;
  o.name = settings_.name;
  o.limits = settings_.limits;
  o.on_access = [log = world_.log](const http_access& a) {
    if (!log.enabled(log_level::debug)) return;
    log.write(log_level::debug, "http " + std::string(a.method) + " " + std::string(a.path),
              {{"client", a.client.to_string()},
               {"status", std::to_string(a.status)},
               {"bytes", std::to_string(a.bytes)}});
  };
  server_ = make_http_server(world_, std::move(o));
  if (source_)
    if (auto ok = server_->serve("/", *source_); !ok) return ok;
  for (const auto& e : settings_.entries)
    if (auto ok = add(e); !ok) return ok;
  late_.emplace(world_, settings_.name);
  for (std::size_t i = 0; i < bound_.size(); ++i)
    if (auto ok = late_->bind(bound_[i], [this, i] { return bind(i); }); !ok) return ok;
  return {};
}

result<void> http_worker::add(const object_ptr& entry) {
  if (auto* self = dynamic_cast<http_answerer*>(entry.get()))
    return server_->handle(self->http_prefix(), [this, entry, self](http_call_ptr c) {
      self->answer_http(std::make_shared<borrowed_call>(std::move(c), world_.scheduler));
    });
  auto* route = dynamic_cast<http_route*>(entry.get());
  if (!route) return {};
  if (!route->handler) return server_->files(route->prefix, route->folder, route->settings);
  return server_->handle(
      route->prefix, [this, fn = route->handler, title = "http.route " + route->prefix](http_call_ptr c) {
        auto asked = std::make_shared<borrowed_call>(std::move(c), world_.scheduler);
        host_.world().scheduler.post([&h = host_, fn, title, asked] { ask_recipe(h, fn, title, asked); });
      });
}

result<void> http_worker::bind(std::size_t index) {
  listen_options o;
  o.local = bound_[index];
  o.tls = settings_.tls;
  o.reuse_port = settings_.workers > 1;
  auto got = server_->listen(o);
  if (!got) return tl::unexpected(got.error());
  bound_[index] = *got;
  return {};
}

} // namespace netlab::lua
