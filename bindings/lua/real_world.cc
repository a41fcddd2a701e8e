#include "real_world.h"

#include <thread>

namespace netlab::lua {

namespace {
struct bytes_side {
  event_loop loop;
  std::unique_ptr<http_client> http;
  std::unique_ptr<runtime> world;
  std::thread thread;
};
} // namespace

struct real_world::impl {
  std::unique_ptr<log_sink> sink;
  netlab::metrics metrics;
  event_loop loop;
  std::unique_ptr<http_client> http;
  std::unique_ptr<bytes_side> bytes;
};

real_world::real_world(int log_descriptor, log_format format, log_level minimum)
    : impl_(std::make_unique<impl>()) {
  impl_->sink = make_log_sink(log_descriptor, format, minimum);
  impl_->http = make_http_client(impl_->loop);
}

real_world::~real_world() { stop_bytes(); }

event_loop& real_world::loop() { return impl_->loop; }

runtime real_world::control() {
  auto& l = impl_->loop;
  return {l.clock(),     l.scheduler(), l.random(),   l.net(),
          l.files(),     l.processes(), *impl_->http, log(*impl_->sink, l.clock()),
          impl_->metrics};
}

runtime& real_world::bytes() {
  if (!impl_->bytes) {
    auto side = std::make_unique<bytes_side>();
    auto& l = side->loop;
    side->http = make_http_client(l);
    side->world = std::make_unique<runtime>(runtime{l.clock(), l.scheduler(), l.random(), l.net(), l.files(),
                                                    l.processes(), *side->http, log(*impl_->sink, l.clock()),
                                                    impl_->metrics});
    side->thread = std::thread([&l] { l.run(); });
    impl_->bytes = std::move(side);
  }
  return *impl_->bytes->world;
}

void real_world::stop_bytes() {
  if (!impl_->bytes || !impl_->bytes->thread.joinable()) return;
  impl_->bytes->loop.stop();
  impl_->bytes->thread.join();
}

} // namespace netlab::lua
