#include "netlab/timeline.h"

#include <algorithm>
#include <list>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "boot_history.h"
#include "netlab/text.h"

namespace netlab {

namespace {

// Stages by which a node is still on its way to its system.
bool is_early(boot_stage s) { return s < boot_stage::config; }
bool is_progress(boot_stage s) { return s != boot_stage::nak && s != boot_stage::refused; }

constexpr std::size_t max_keys = 16; // ways to find one node; the oldest makes room
// Firmware that refuses a program goes on to its next boot option; checking a large one takes it a while.
constexpr auto returns_within = std::chrono::minutes(2);

// Firmware says what it is when it asks DHCP; a system does not, and iPXE is no firmware.
bool asks_as_firmware(const boot_event& e) {
  return e.stage == boot_stage::discover && !e.architecture.empty() &&
         e.architecture.find("ipxe") == std::string::npos;
}

} // namespace

struct timeline::impl {
  struct track {
    boot_record boot;
    boot_time first{}, last{};
    bool loader = false;           // a boot file was fetched in this boot
    bool ack_after_loader = false; // and an address given after it
    std::string whole;             // the program that arrived last, while nothing tells that it runs
    boot_time whole_at{};
    std::vector<std::string> keys;
  };
  using tracks = std::list<track>; // the latest active first

  timeline_options options;
  const netlab::clock& clock;
  netlab::scheduler& scheduler;
  const node_directory* nodes;
  tracks boots;
  std::unordered_map<std::string, tracks::iterator> by_key;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  std::unique_ptr<boot_history> history;

  impl(timeline_options o, const netlab::clock& c, netlab::scheduler& s, const node_directory* n)
      : options(std::move(o)), clock(c), scheduler(s), nodes(n) {}

  node_identity known(const boot_event& event) const;
  std::vector<std::string> keys_of(const node_identity& who) const;
  tracks::iterator look(const std::string& key) {
    auto it = by_key.find(key);
    return it == by_key.end() ? boots.end() : it->second;
  }
  tracks::iterator track_of(const node_identity& who, const std::vector<std::string>& keys);
  void drop(tracks::iterator t) {
    for (const auto& key : t->keys)
      if (look(key) == t) by_key.erase(key);
    boots.erase(t);
  }
  bool begins_new(const track& t, const boot_event& event, boot_time now) const;
  std::optional<boot_return> returned(const track& t, const boot_event& event, boot_time now) const;
  static void note_program(track& t, const boot_event& event, boot_time now);
  void add(track& t, const boot_event& event, boot_time now);
  boot_record show(const track& t) const {
    auto out = t.boot;
    out.idle = clock.now() - t.last;
    return out;
  }
  const track* named(std::string_view text) const;
};

// What the event says, completed by what the directory knows.
node_identity timeline::impl::known(const boot_event& event) const {
  auto who = event.node;
  const node* n = nodes ? nodes->find(who) : nullptr;
  if (!n) return who;
  if (!n->name.empty()) who.name = n->name;
  if (!who.mac && !n->macs.empty()) who.mac = n->macs.front();
  if (!who.uuid) who.uuid = n->uuid;
  if (who.serial.empty()) who.serial = n->serial;
  if (!who.address) who.address = n->address;
  return who;
}

// Best evidence first. A name counts only when the directory vouches for it.
std::vector<std::string> timeline::impl::keys_of(const node_identity& who) const {
  std::vector<std::string> out;
  if (!who.name.empty() && (!nodes || nodes->find_name(who.name))) out.push_back("n" + to_lower(who.name));
  if (who.mac) out.push_back("m" + who.mac->to_string());
  if (who.uuid && is_telling(*who.uuid)) out.push_back("u" + who.uuid->to_string());
  if (is_telling_serial(who.serial)) out.push_back("s" + who.serial);
  if (who.address && !who.address->is_unspecified()) out.push_back("a" + who.address->to_string());
  return out;
}

timeline::impl::tracks::iterator timeline::impl::track_of(const node_identity& who,
                                                          const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    auto t = look(key);
    if (t == boots.end()) continue;
    // Without a directory a name, like an address, may have gone to another machine.
    bool weak = key[0] == 'a' || (key[0] == 'n' && !nodes);
    if (weak && who.mac && t->boot.node.mac && *who.mac != *t->boot.node.mac) continue;
    return t;
  }
  return boots.end();
}

bool timeline::impl::begins_new(const track& t, const boot_event& event, boot_time now) const {
  const auto& boot = t.boot;
  if (boot.steps.empty()) return true;
  if (is_early(event.stage) && is_progress(event.stage) && now - t.last > options.new_boot_after) return true;
  if (event.stage != boot_stage::discover) return false;
  if (boot.ready()) return true;
  bool firmware = !event.architecture.empty();
  return firmware && (boot.furthest >= boot_stage::kernel || (t.loader && t.ack_after_loader));
}

std::optional<boot_return> timeline::impl::returned(const track& t, const boot_event& event,
                                                    boot_time now) const {
  if (!asks_as_firmware(event) || t.whole.empty() || now - t.whole_at > returns_within) return {};
  boot_return out{t.whole, now - t.whole_at, 1};
  if (t.boot.returned) out.times += t.boot.returned->times;
  return out;
}

void timeline::impl::note_program(track& t, const boot_event& event, boot_time now) {
  switch (event.stage) {
  case boot_stage::tftp:
  case boot_stage::http:
  case boot_stage::uki:
    if (!event.done) return;
    t.whole = event.detail;
    t.whole_at = now;
    return;
  case boot_stage::nak:
  case boot_stage::refused: return;
  case boot_stage::discover:
  case boot_stage::offer:
  case boot_stage::ack:
    if (asks_as_firmware(event)) t.whole.clear();
    if (!event.architecture.empty() && event.architecture.find("ipxe") == std::string::npos) return;
    break;
  default: break;
  }
  t.whole.clear();
  t.boot.returned.reset();
}

void timeline::impl::add(track& t, const boot_event& event, boot_time now) {
  auto& boot = t.boot;
  auto offset = now - t.first;
  t.last = now;
  if (is_progress(event.stage)) boot.furthest = std::max(boot.furthest, event.stage);
  if (!event.architecture.empty()) boot.architecture = event.architecture;
  if ((event.stage == boot_stage::tftp || event.stage == boot_stage::http) && event.done) {
    t.loader = true;
    t.ack_after_loader = false;
  }
  if (event.stage == boot_stage::ack && t.loader) t.ack_after_loader = true;

  if (!boot.steps.empty()) {
    auto& last = boot.steps.back();
    if (last.event.stage == event.stage && last.event.detail == event.detail &&
        last.event.done == event.done && last.event.message_id == event.message_id) {
      ++last.repeats;
      last.last = offset;
      return;
    }
  }
  auto limit = std::max<std::size_t>(4, options.max_steps);
  if (boot.steps.size() >= limit) {
    boot.steps.erase(boot.steps.begin() + static_cast<std::ptrdiff_t>(limit / 2));
    ++boot.omitted;
  }
  boot.steps.push_back({clock.wall(), offset, event, 1, offset});
}

const timeline::impl::track* timeline::impl::named(std::string_view text) const {
  std::vector<std::string> keys{"n" + to_lower(text)};
  if (auto mac = mac_address::parse(text)) keys.push_back("m" + mac->to_string());
  if (auto id = uuid::parse(text)) keys.push_back("u" + id->to_string());
  keys.push_back("s" + std::string(text));
  if (auto address = ip_address::parse(text)) keys.push_back("a" + address->to_string());
  for (const auto& key : keys)
    if (auto it = by_key.find(key); it != by_key.end()) return &*it->second;
  return nullptr;
}

timeline::timeline(timeline_options options, const netlab::clock& clock, netlab::scheduler& scheduler,
                   netlab::log log, metrics& counters, const node_directory* nodes)
    : impl_(std::make_unique<impl>(std::move(options), clock, scheduler, nodes)) {
  if (!impl_->options.history.empty())
    impl_->history = std::make_unique<boot_history>(impl_->options, clock, scheduler, log, counters);
}
timeline::~timeline() { *impl_->alive = false; }

void timeline::record(const boot_event& event) {
  auto& i = *impl_;
  auto now = i.clock.now();
  auto who = i.known(event);
  auto label = label_of(who);
  if (i.history) {
    history_event row;
    row.time = i.clock.wall();
    row.node = label;
    if (who.mac) row.mac = who.mac->to_string();
    if (who.address) row.address = who.address->to_string();
    row.architecture = event.architecture;
    row.stage = to_string(event.stage);
    row.detail = event.detail;
    row.bytes = event.bytes;
    row.elapsed = event.elapsed;
    row.done = event.done;
    row.id = event.message_id;
    i.history->add(std::move(row));
  }

  auto keys = i.keys_of(who);
  if (keys.empty()) return; // nobody's step
  auto t = i.track_of(who, keys);
  if (t == i.boots.end()) {
    // The renewal of a machine that booted before our time is no boot.
    if (event.stage == boot_stage::ack) return;
    i.boots.emplace_front();
    t = i.boots.begin();
  } else {
    bool renewal = t->boot.ready() && event.stage == boot_stage::ack;
    if (renewal) return;
    i.boots.splice(i.boots.begin(), i.boots, t);
  }
  auto returned = i.returned(*t, event, now);
  if (i.begins_new(*t, event, now)) {
    auto node = std::move(t->boot.node);
    t->boot = {};
    t->boot.node = std::move(node);
    t->boot.started = i.clock.wall();
    t->first = t->last = now;
    t->loader = t->ack_after_loader = false;
    t->whole.clear();
  }
  if (returned) t->boot.returned = std::move(returned);
  i.note_program(*t, event, now);

  auto& node = t->boot.node;
  if (!who.name.empty()) node.name = who.name;
  if (who.mac) node.mac = who.mac;
  if (who.uuid) node.uuid = who.uuid;
  if (!who.serial.empty()) node.serial = who.serial;
  if (who.address) node.address = who.address;
  t->boot.label = label_of(node);
  for (auto& key : keys) {
    auto [it, fresh] = i.by_key.try_emplace(key, t);
    if (!fresh && it->second == t) continue;
    it->second = t;
    if (std::find(t->keys.begin(), t->keys.end(), key) != t->keys.end()) continue;
    t->keys.push_back(std::move(key));
    if (t->keys.size() > max_keys) {
      if (i.look(t->keys.front()) == t) i.by_key.erase(t->keys.front());
      t->keys.erase(t->keys.begin());
    }
  }
  i.add(*t, event, now);
  while (i.boots.size() > std::max<std::size_t>(1, i.options.max_nodes)) i.drop(std::prev(i.boots.end()));
}

boot_event_fn timeline::recorder() {
  return [this](const boot_event& event) { record(event); };
}

std::vector<boot_record> timeline::boots() const {
  std::vector<boot_record> out;
  out.reserve(impl_->boots.size());
  for (const auto& t : impl_->boots) out.push_back(impl_->show(t));
  return out;
}

std::optional<boot_record> timeline::boot(std::string_view node) const {
  auto* t = impl_->named(node);
  if (!t) return {};
  return impl_->show(*t);
}

std::optional<diagnosis> timeline::why(std::string_view node, const boot_evidence& evidence) const {
  auto found = boot(node);
  return found ? diagnose(*found, evidence) : std::nullopt;
}

result<std::string> timeline::story(std::string_view node, const boot_evidence& evidence) const {
  auto found = boot(node);
  if (!found)
    return fail(errc::not_found, "no boot of \"" + printable(node) + "\" was seen since this netlab started",
                "timeline.story");
  return format_story(*found, diagnose(*found, evidence));
}

void timeline::history(std::string node, std::size_t limit, history_fn fn) {
  auto& i = *impl_;
  if (i.history) return i.history->query(std::move(node), limit, std::move(fn));
  i.scheduler.post([still = i.alive, fn = std::move(fn)] {
    if (*still)
      fn(fail(errc::unsupported, "no history is kept: the recipe has no state folder", "timeline.history"));
  });
}

void timeline::drain(std::function<void()> fn) {
  auto& i = *impl_;
  if (i.history) return i.history->drain(std::move(fn));
  i.scheduler.post([still = i.alive, fn = std::move(fn)] {
    if (*still) fn();
  });
}

} // namespace netlab
