#include <algorithm>

#include "netlab/dhcp_messages.h"
#include "netlab/dhcp_watch.h"
#include "netlab/text.h"

namespace netlab::dhcp {

namespace {
constexpr auto wait_for_interface = std::chrono::seconds(2);
}

std::string_view to_string(network_need need) {
  switch (need) {
  case network_need::server: return "server";
  case network_need::proxy: return "proxy";
  case network_need::nothing: return "nothing";
  }
  return "server";
}

network_verdict judge(std::span<const received_offer> offers, bool as_boot_client) {
  network_verdict out;
  const received_offer* boots = nullptr;
  for (const auto& o : offers) {
    if (!o.proxy() && out.gives_addresses.is_unspecified()) out.gives_addresses = o.server;
    // A proxy that names no file tells it on port 4011.
    if ((!o.file.empty() || o.proxy()) && !boots) boots = &o;
  }
  if (boots) out.tells_boot = boots->server;
  auto what = [&] {
    if (!boots) return std::string(as_boot_client ? "nobody tells what to boot" : "");
    auto text = boots->server.to_string() + (boots->proxy() ? " (proxyDHCP)" : "") + " tells what to boot";
    return boots->file.empty() ? text : text + " (" + printable(boots->file) + ")";
  };
  if (out.gives_addresses.is_unspecified()) {
    out.need = network_need::server;
    out.text = "no DHCP server gives addresses";
    if (boots) out.text += "; " + what();
    return out;
  }
  out.need = boots ? network_need::nothing : network_need::proxy;
  out.text = out.gives_addresses.to_string() + " gives addresses";
  if (auto more = what(); !more.empty()) out.text += "; " + more;
  return out;
}

bool mode_choice::saw(const network_verdict& verdict) {
  bool first = !std::exchange(looked_, true);
  auto before = mode_;
  if (!verdict.gives_addresses.is_unspecified()) {
    met_ = true;
    silent_ = 0;
    mode_ = service::proxy;
  } else if (mode_ == service::proxy && ++silent_ >= (met_ ? silent_looks_ : 1)) {
    mode_ = service::full;
  }
  return first || mode_ != before;
}

struct network_watch::impl : std::enable_shared_from_this<network_watch::impl> {
  impl(const runtime& r, watch_options o, std::function<void(const network_verdict&)> fn)
      : rt(r), options(std::move(o)), on_verdict(std::move(fn)) {}

  std::string interface() const {
    if (!options.interface.empty()) return options.interface;
    if (auto present = rt.net.interfaces())
      for (const auto& i : *present)
        for (const auto& a : i.addresses)
          if (a.address == options.own) return i.name;
    return {};
  }

  void begin() {
    if (asking) return;
    client_options ask;
    ask.kind = client_kind::pxe;
    ask.architecture = options.architecture;
    ask.look = true;
    ask.broadcast = true;
    ask.collect = std::chrono::seconds(2);
    ask.deadline = options.listen;
    auto name = interface();
    auto begun = name.empty()
                     ? result<std::unique_ptr<client>>(
                           fail(errc::not_found, "no interface has the address " + options.own.to_string()))
                     : client::start(rt, {name, {}}, ask, [this](client_report r) { done(std::move(r)); });
    if (!begun) {
      if (!std::exchange(told, true))
        rt.log(messages::look_failed, "the network cannot be looked at: " + begun.error().message);
      return again(wait_for_interface);
    }
    told = false;
    asking = std::move(*begun);
  }

  void done(client_report report) {
    auto keep = shared_from_this();
    std::erase_if(report.offers, [&](const auto& o) { return o.server == options.own; });
    again(options.every);
    // The client is still in its own callback.
    rt.scheduler.post([weak = weak_from_this()] {
      if (auto alive = weak.lock()) alive->asking.reset();
    });
    if (on_verdict) on_verdict(judge(report.offers, true));
  }

  void again(duration wait) {
    alarm = rt.scheduler.after(wait, [this] { begin(); });
  }

  runtime rt;
  watch_options options;
  std::function<void(const network_verdict&)> on_verdict;
  std::unique_ptr<client> asking;
  timer alarm;
  bool told = false;
};

network_watch::network_watch(const runtime& rt, watch_options options,
                             std::function<void(const network_verdict&)> on_verdict)
    : impl_(std::make_shared<impl>(rt, std::move(options), std::move(on_verdict))) {
  impl_->again(duration{});
}

network_watch::~network_watch() {
  impl_->on_verdict = nullptr;
  impl_->alarm.cancel();
  impl_->asking.reset();
}

void network_watch::look() { impl_->begin(); }

} // namespace netlab::dhcp
