#include "host/real_world.h"

#include <vector>

#include "host/side_loop.h"

namespace netlab::lua {

struct real_world::impl {
  std::unique_ptr<log_sink> sink;
  netlab::metrics metrics;
  event_loop loop;
  std::unique_ptr<http_client> http;
  std::vector<std::unique_ptr<side_loop>> bytes; // null until asked for
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

runtime& real_world::bytes(std::size_t which) {
  auto& all = impl_->bytes;
  if (all.size() <= which) all.resize(which + 1);
  if (!all[which])
    all[which] = std::make_unique<side_loop>(log(*impl_->sink, impl_->loop.clock()), impl_->metrics);
  return all[which]->world();
}

void real_world::stop_bytes() {
  for (const auto& each : impl_->bytes)
    if (each) each->stop();
}

} // namespace netlab::lua
