#include "netlab/boot_service.h"

#include <algorithm>

#include "netlab/text.h"
#include "service_impl.h"

namespace netlab::boot {

service::service(service_options options, service_world world) : impl_(std::make_shared<impl>()) {
  impl_->options = std::move(options);
  impl_->world = std::move(world);
  for (const auto& p : impl_->options.profiles) impl_->profiles.emplace(p.name, &p);
}

service::~service() {
  auto pending = std::move(impl_->images);
  impl_->images.clear();
  auto alive = std::move(impl_);
  std::weak_ptr<impl> gone = alive;
  alive.reset();
  for (auto& [key, waiting] : pending)
    for (auto& reply : waiting.replies) reply(refuse(uki_failed, "the boot service has stopped"));
}

void service::open(const asset_request& request, asset_reply_fn reply) {
  impl_->open(request, std::move(reply));
}

boot_reply service::decide(const boot_request& request) { return impl_->decide(request); }

boot_policy_fn service::policy() {
  return [this](const boot_request& request) { return decide(request); };
}

void service::served_by_http(std::uint16_t port) { impl_->options.http_port = port; }
void service::served_by_tftp(bool yes) { impl_->options.tftp = yes; }

result<void> service::boot_once(const node_identity& who, const std::string& profile_name,
                                const std::string& origin, duration within) {
  if (!impl_->profiles.contains(profile_name)) {
    std::vector<std::string_view> names;
    for (const auto& [name, p] : impl_->profiles) names.push_back(name);
    return fail(errc::not_found,
                "there is no profile \"" + printable(profile_name) + "\"" + did_you_mean(profile_name, names),
                "boot.once");
  }
  std::string key;
  if (who.mac)
    key = "mac:" + who.mac->to_string();
  else if (who.uuid)
    key = "uuid:" + who.uuid->to_string();
  else if (!who.name.empty())
    key = "name:" + to_lower(who.name);
  else
    return fail(errc::invalid, "boot once: for which machine? Give its MAC, UUID or name", "boot.once");
  cancel_boot_once(who);
  impl_->overrides.push_back({key, profile_name, origin, impl_->now() + within});
  impl_->world.log(override_set, key + " boots once from profile \"" + profile_name + "\", within " +
                                     format_duration(within) + " (set by " + origin + ")");
  if (impl_->world.on_overrides) impl_->world.on_overrides();
  return {};
}

bool service::cancel_boot_once(const node_identity& who) {
  machine m;
  m.identity = who;
  auto* o = impl_->override_for(m);
  if (!o) return false;
  auto node = o->node;
  std::erase_if(impl_->overrides, [&](const auto& other) { return other.node == node; });
  if (impl_->world.on_overrides) impl_->world.on_overrides();
  return true;
}

std::vector<boot_override> service::boot_overrides() const {
  auto out = impl_->overrides;
  std::erase_if(out, [&](const auto& o) { return o.expires <= impl_->now(); });
  return out;
}

const service_options& service::options() const { return impl_->options; }

} // namespace netlab::boot
