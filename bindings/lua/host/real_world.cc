#include "host/real_world.h"

#include "host/side_loop.h"

namespace netlab::lua {

struct real_world::impl {
  std::unique_ptr<log_sink> sink;
  netlab::metrics metrics;
  event_loop loop;
  std::unique_ptr<http_client> http;
  std::unique_ptr<side_loop> bytes;
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
  if (!impl_->bytes)
    impl_->bytes = std::make_unique<side_loop>(log(*impl_->sink, impl_->loop.clock()), impl_->metrics);
  return impl_->bytes->world();
}

void real_world::stop_bytes() {
  if (impl_->bytes) impl_->bytes->stop();
}

} // namespace netlab::lua
