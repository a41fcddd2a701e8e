#include "dns/overlays.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/dns_operator_messages.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

std::string words_of(const dns::overlay& o) {
  if (o.what == dns::overlay::kind::pause) return "blocking is paused";
  return o.target.to_string() + (o.what == dns::overlay::kind::allow ? " is allowed" : " is blocked");
}

} // namespace

dns_overlays::dns_overlays(runtime& world, std::string server, std::string path,
                           std::function<void()> changed)
    : world_(world), server_(std::move(server)), path_(std::move(path)), changed_(std::move(changed)) {}

void dns_overlays::start() {
  if (path_.empty()) return;
  auto text = world_.files.read(path_, 4u << 20);
  if (!text) {
    if (text.error().code != errc::not_found)
      world_.log(dns::msg_overlays_unread, server_ + ": " + text.error().message);
    return;
  }
  auto read = dns::read_overlays(*text);
  if (!read || read->refused > 0)
    world_.log(dns::msg_overlays_unread,
               server_ + ": " + path_ + ": " +
                   (read ? std::to_string(read->refused) + " records are none" : read.error().message));
  if (!read) return;
  auto now = world_.clock.now();
  auto wall = world_.clock.wall();
  for (auto& o : read->all) {
    entry e{std::move(o), std::nullopt};
    if (e.what.expires) {
      // A clock that was set back must not make it longer than it was meant.
      auto left = std::min(*e.what.expires - wall, *e.what.expires - e.what.made);
      if (left <= duration{}) {
        world_.log(dns::msg_overlay_ended, server_ + ": " + words_of(e.what) + " no more: its time is over");
        continue;
      }
      e.ends = now + left;
    }
    all_.push_back(std::move(e));
  }
  plan();
}

json dns_overlays::shown(const entry& e) const {
  json out = {{"what", dns::to_string(e.what.what)}};
  if (e.what.what != dns::overlay::kind::pause) out["name"] = e.what.target.to_string();
  out["by"] = printable(e.what.origin);
  out["since"] = format_time(e.what.made, false);
  out["until"] = "it is taken back";
  if (e.ends) {
    auto left = std::max(duration{}, *e.ends - world_.clock.now());
    out["until"] = format_time(world_.clock.wall() + left, false);
    out["left"] = format_elapsed(left);
  }
  return out;
}

json dns_overlays::add(dns::overlay what, std::optional<duration> lasts) {
  std::erase_if(all_, [&](const entry& e) {
    bool same_pause = e.what.what == dns::overlay::kind::pause && what.what == dns::overlay::kind::pause;
    bool same_name = e.what.what != dns::overlay::kind::pause && what.what != dns::overlay::kind::pause &&
                     e.what.target == what.target;
    return same_pause || same_name;
  });
  what.made = world_.clock.wall();
  entry e{std::move(what), std::nullopt};
  if (lasts) {
    e.what.expires = e.what.made + *lasts;
    e.ends = world_.clock.now() + *lasts;
  }
  auto out = shown(e);
  world_.log(dns::msg_overlay_made,
             server_ + ": " + words_of(e.what) +
                 (lasts ? " for " + format_elapsed(*lasts) : std::string(" until it is taken back")),
             {{"by", e.what.origin}});
  all_.push_back(std::move(e));
  store();
  if (path_.empty()) out["kept"] = false;
  plan();
  changed_();
  return out;
}

result<json> dns_overlays::remove(const std::optional<dns::name>& target, const std::string& origin) {
  auto found = std::find_if(all_.begin(), all_.end(), [&](const entry& e) {
    bool is_pause = e.what.what == dns::overlay::kind::pause;
    return target ? !is_pause && e.what.target == *target : is_pause;
  });
  if (found == all_.end())
    return fail(errc::not_found, target ? "nobody allowed or blocked " + target->to_string() + " at run time"
                                        : "blocking is not paused");
  auto out = shown(*found);
  world_.log(dns::msg_overlay_ended, server_ + ": " + words_of(found->what) + " no more: it was taken back",
             {{"by", origin}});
  all_.erase(found);
  store();
  plan();
  changed_();
  return out;
}

void dns_overlays::store() {
  if (path_.empty()) {
    world_.log(dns::msg_overlays_unwritten, server_ + ": the recipe has no netlab.state");
    return;
  }
  if (auto written = world_.files.write(path_, dns::write_overlays(current()), 0640); !written)
    world_.log(dns::msg_overlays_unwritten, server_ + ": " + written.error().message);
}

void dns_overlays::plan() {
  next_.cancel();
  std::optional<boot_time> first;
  for (const auto& e : all_)
    if (e.ends && (!first || *e.ends < *first)) first = e.ends;
  if (first)
    next_ = world_.scheduler.after(std::max(duration{}, *first - world_.clock.now()), [this] { end_due(); });
}

void dns_overlays::end_due() {
  auto now = world_.clock.now();
  bool any = false;
  for (auto e = all_.begin(); e != all_.end();) {
    if (!e->ends || *e->ends > now) {
      ++e;
      continue;
    }
    world_.log(dns::msg_overlay_ended, server_ + ": " + words_of(e->what) + " no more: its time is over",
               {{"by", e->what.origin}});
    e = all_.erase(e);
    any = true;
  }
  if (any) store();
  plan();
  if (any) changed_();
}

std::vector<dns::overlay> dns_overlays::current() const {
  std::vector<dns::overlay> out;
  for (const auto& e : all_) out.push_back(e.what);
  return out;
}

bool dns_overlays::paused() const {
  return std::any_of(all_.begin(), all_.end(),
                     [](const entry& e) { return e.what.what == dns::overlay::kind::pause; });
}

json dns_overlays::status() const {
  json out = json::array();
  for (const auto& e : all_) out.push_back(shown(e));
  return out;
}

} // namespace netlab::lua
