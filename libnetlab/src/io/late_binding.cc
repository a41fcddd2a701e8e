#include "netlab/late_binding.h"

#include <array>

namespace netlab {

namespace {

constexpr message msg_not_bound{
    "NL-NET-001", log_level::error,
    "A server waited for an address of this machine; now that it is here, its endpoint could not be opened.",
    "The text has the system's reason; ss -lntup shows who holds the port. Start netlab again afterwards."};

} // namespace

std::span<const message* const> net_messages() {
  static constexpr std::array<const message*, 1> all{&msg_not_bound};
  return all;
}

struct late_binding::impl : std::enable_shared_from_this<impl> {
  struct awaited {
    endpoint wanted;
    open_fn open;
  };
  runtime& world;
  std::string name;
  std::vector<awaited> missing;
  std::shared_ptr<void> watch;

  impl(runtime& w, std::string n) : world(w), name(std::move(n)) {}

  void try_again() {
    std::erase_if(missing, [this](awaited& each) {
      auto bound = each.open();
      if (bound)
        world.log.write(log_level::info, name + ": listens on " + each.wanted.to_string());
      else if (bound.error().code != errc::unreachable)
        world.log(msg_not_bound, name + ": " + bound.error().message);
      return bound || bound.error().code != errc::unreachable;
    });
    // Not dropped here: the watcher's function is the caller.
    if (missing.empty())
      world.scheduler.post([weak = weak_from_this()] {
        auto self = weak.lock();
        if (self && self->missing.empty()) self->watch.reset();
      });
  }
};

late_binding::late_binding(runtime& world, std::string name)
    : impl_(std::make_shared<impl>(world, std::move(name))) {}

late_binding::~late_binding() { stop(); }

result<void> late_binding::bind(const endpoint& wanted, open_fn open) {
  auto bound = open();
  if (bound || bound.error().code != errc::unreachable) return bound;
  if (!impl_->watch) {
    auto watching = impl_->world.net.watch_addresses([weak = std::weak_ptr(impl_)] {
      if (auto self = weak.lock()) self->try_again();
    });
    // Without news of addresses there is no use in waiting: what was wrong is the address.
    if (!watching) return bound;
    impl_->watch = std::move(*watching);
  }
  impl_->missing.push_back({wanted, std::move(open)});
  return {};
}

void late_binding::stop() {
  impl_->watch.reset();
  impl_->missing.clear();
}

} // namespace netlab
