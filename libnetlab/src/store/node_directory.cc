#include <algorithm>
#include <deque>
#include <list>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "netlab/nodes.h"
#include "netlab/text.h"

namespace netlab {

namespace {

// A machine that shows a new MAC at every request must not grow without bound.
constexpr std::size_t max_macs = 8;
constexpr std::size_t max_text = 128; // a longer serial or name from the wire is not taken

struct uuid_hash {
  std::size_t operator()(const netlab::uuid& u) const noexcept {
    return std::hash<std::string_view>{}(as_text(byte_view(u.bytes)));
  }
};

} // namespace

std::string label_of(const node& n) {
  if (!n.name.empty()) return n.name;
  if (!n.macs.empty()) return n.macs.front().to_string();
  if (n.uuid) return n.uuid->to_string();
  if (!n.serial.empty()) return n.serial;
  if (n.address) return n.address->to_string();
  return n.ip ? n.ip->to_string() : "unknown";
}

std::string label_of(const node_identity& who) {
  if (!who.name.empty()) return who.name;
  if (who.mac) return who.mac->to_string();
  if (who.uuid) return who.uuid->to_string();
  if (!who.serial.empty()) return who.serial;
  return who.address ? who.address->to_string() : "unknown";
}

bool is_telling(const netlab::uuid& uuid) {
  // Boards that were never given one carry a constant, or AMI's 03000200-0400-0500-0006-000700080009.
  static const auto ami = netlab::uuid::parse("03000200-0400-0500-0006-000700080009");
  if (ami && uuid == *ami) return false;
  return !std::all_of(uuid.bytes.begin(), uuid.bytes.end(), [&](auto b) { return b == uuid.bytes[0]; });
}

bool is_telling_serial(std::string_view serial) {
  serial = trim(serial);
  static constexpr std::string_view fillers[] = {
      "to be filled by o.e.m.", "default string", "none",    "not specified", "not applicable",
      "system serial number",   "0123456789",     "unknown", "n/a",           "123456789"};
  for (auto filler : fillers)
    if (iequals(serial, filler)) return false;
  return std::any_of(serial.begin(), serial.end(),
                     [](char c) { return c != '0' && c != '.' && c != '-' && c != ' ' && c != 'x'; });
}

struct node_directory::impl {
  struct entry {
    node what;
    std::size_t declared_macs = 0;
    bool declared_uuid = false, declared_serial = false;
    std::list<entry*>::iterator place; // among the strangers, latest seen first
  };

  // Entries are reused, never freed: a stale pointer stays readable.
  std::deque<entry> storage;
  std::vector<entry*> unused;
  std::vector<entry*> declared;
  std::list<entry*> strangers;
  std::unordered_map<mac_address, entry*> by_mac;
  std::unordered_map<netlab::uuid, entry*, uuid_hash> by_uuid;
  std::unordered_map<std::string, entry*> by_serial, by_name; // names in lower case
  std::unordered_map<ip_address, entry*> by_address, by_reserved;
  entry nobody;

  template<class Map, class Key>
  static entry* look(const Map& map, const Key& key) {
    auto it = map.find(key);
    return it == map.end() ? nullptr : it->second;
  }
  template<class Map, class Key>
  static void drop(Map& map, const Key& key, const entry* owner) {
    auto it = map.find(key);
    if (it != map.end() && it->second == owner) map.erase(it);
  }

  entry* take() {
    if (unused.empty()) return &storage.emplace_back();
    auto* e = unused.back();
    unused.pop_back();
    *e = entry{};
    return e;
  }
  entry* make_stranger() {
    auto* e = take();
    strangers.push_front(e);
    e->place = strangers.begin();
    return e;
  }
  void unindex(entry* e) {
    for (const auto& mac : e->what.macs) drop(by_mac, mac, e);
    if (e->what.uuid) drop(by_uuid, *e->what.uuid, e);
    if (!e->what.serial.empty()) drop(by_serial, e->what.serial, e);
    if (!e->what.name.empty()) drop(by_name, to_lower(e->what.name), e);
    if (e->what.address) drop(by_address, *e->what.address, e);
  }
  void forget(entry* stranger) {
    unindex(stranger);
    strangers.erase(stranger->place);
    unused.push_back(stranger);
  }

  static bool has_hardware(const node& n) { return !n.macs.empty() || n.uuid || !n.serial.empty(); }
  // Could both be one machine? Several MACs may be; two UUIDs or serials may not.
  static bool agree(const node& a, const node& b) {
    if (a.uuid && b.uuid && *a.uuid != *b.uuid) return false;
    return a.serial.empty() || b.serial.empty() || a.serial == b.serial;
  }

  void learn_mac(entry* e, const mac_address& mac) {
    if (std::find(e->what.macs.begin(), e->what.macs.end(), mac) == e->what.macs.end()) {
      if (e->what.macs.size() >= std::max(max_macs, e->declared_macs + 1)) {
        // The oldest learned one makes room.
        auto oldest = e->what.macs.begin() + static_cast<std::ptrdiff_t>(e->declared_macs);
        drop(by_mac, *oldest, e);
        e->what.macs.erase(oldest);
      }
      e->what.macs.push_back(mac);
    }
    by_mac[mac] = e;
  }
  void learn_uuid(entry* e, const netlab::uuid& uuid) {
    if (e->declared_uuid || e->what.uuid == uuid) return;
    if (e->what.uuid) drop(by_uuid, *e->what.uuid, e);
    e->what.uuid = uuid;
    by_uuid[uuid] = e;
  }
  void learn_serial(entry* e, const std::string& serial) {
    if (e->declared_serial || e->what.serial == serial) return;
    drop(by_serial, e->what.serial, e);
    e->what.serial = serial;
    by_serial[serial] = e;
  }
  void learn_name(entry* e, const std::string& name) {
    if (e->what.declared || name.size() > max_text) return;
    auto key = to_lower(name);
    auto* owner = look(by_name, key);
    if (owner == e || (owner && owner->what.declared)) return;
    if (owner) owner->what.name.clear(); // the latest to use it has it
    drop(by_name, to_lower(e->what.name), e);
    e->what.name = name;
    by_name[key] = e;
  }
  void learn_address(entry* e, const ip_address& address) {
    if (e->what.address == address) return;
    if (e->what.address) drop(by_address, *e->what.address, e);
    if (auto* before = look(by_address, address)) {
      before->what.address.reset();
      // Somebody of whom nothing else is known is nobody now.
      if (!before->what.declared && !has_hardware(before->what) && before->what.name.empty()) forget(before);
    }
    e->what.address = address;
    by_address[address] = e;
  }

  // Moves what is known of stranger `from` into `to`.
  void merge(entry* to, entry* from) {
    auto known = from->what;
    forget(from);
    for (const auto& mac : known.macs) learn_mac(to, mac);
    if (known.uuid && !to->what.uuid) learn_uuid(to, *known.uuid);
    if (!known.serial.empty() && to->what.serial.empty()) learn_serial(to, known.serial);
    if (!known.name.empty() && to->what.name.empty()) learn_name(to, known.name);
    if (known.address && !to->what.address) learn_address(to, *known.address);
  }
};

node_directory::node_directory() : impl_(std::make_unique<impl>()) {}
node_directory::~node_directory() = default;

result<const node*> node_directory::declare(node n) {
  auto& i = *impl_;
  auto label = label_of(n);
  if (n.name.empty() && !impl::has_hardware(n) && !n.ip)
    return fail(errc::invalid, "a node needs a name, MAC, UUID, serial or address to be known by", "nodes");
  if (n.uuid && !is_telling(*n.uuid))
    return fail(errc::invalid,
                "node \"" + label + "\": UUID " + n.uuid->to_string() +
                    " is one that vendors leave in every board: use the MAC or serial",
                "nodes");
  auto clash = [&](const impl::entry* other, const std::string& what) {
    return fail(errc::conflict,
                "node \"" + label + "\": " + what + " already belongs to node \"" + label_of(other->what) +
                    "\"",
                "nodes");
  };
  auto is_declared = [](const impl::entry* e) { return e && e->what.declared; };
  auto name = to_lower(n.name);
  if (auto* e = i.look(i.by_name, name); !name.empty() && is_declared(e)) return clash(e, "this name");
  std::vector<mac_address> once;
  for (const auto& mac : n.macs)
    if (std::find(once.begin(), once.end(), mac) == once.end()) once.push_back(mac);
  n.macs = std::move(once);
  auto declared_owner = [&](const mac_address& mac) -> impl::entry* {
    auto* e = i.look(i.by_mac, mac);
    if (!is_declared(e)) return nullptr;
    auto end = e->what.macs.begin() + static_cast<std::ptrdiff_t>(e->declared_macs);
    return std::find(e->what.macs.begin(), end, mac) != end ? e : nullptr;
  };
  for (const auto& mac : n.macs)
    if (auto* e = declared_owner(mac)) return clash(e, "MAC " + mac.to_string());
  if (n.uuid)
    if (auto* e = i.look(i.by_uuid, *n.uuid); is_declared(e) && e->declared_uuid)
      return clash(e, "UUID " + n.uuid->to_string());
  if (auto* e = i.look(i.by_serial, n.serial); !n.serial.empty() && is_declared(e) && e->declared_serial)
    return clash(e, "serial " + n.serial);
  if (n.ip)
    if (auto* e = i.look(i.by_reserved, *n.ip)) return clash(e, "address " + n.ip->to_string());

  auto* e = i.take();
  auto address = std::exchange(n.address, {});
  e->what = std::move(n);
  e->what.declared = true;
  e->declared_macs = e->what.macs.size();
  e->declared_uuid = e->what.uuid.has_value();
  e->declared_serial = !e->what.serial.empty();
  i.declared.push_back(e);

  // Strangers that this node turns out to be, found by hardware only.
  auto absorb = [&](impl::entry* other) {
    if (!other || other == e) return;
    if (other->what.declared) return; // a declared fact takes a learned one over, below
    if (impl::agree(e->what, other->what)) i.merge(e, other);
  };
  auto macs = e->what.macs;
  for (const auto& mac : macs) {
    auto* other = i.look(i.by_mac, mac);
    absorb(other);
    other = i.look(i.by_mac, mac);
    if (other && other != e) std::erase(other->what.macs, mac);
    i.by_mac[mac] = e;
  }
  if (e->what.uuid) {
    absorb(i.look(i.by_uuid, *e->what.uuid));
    if (auto* other = i.look(i.by_uuid, *e->what.uuid); other && other != e) other->what.uuid.reset();
    i.by_uuid[*e->what.uuid] = e;
  }
  if (!e->what.serial.empty()) {
    absorb(i.look(i.by_serial, e->what.serial));
    if (auto* other = i.look(i.by_serial, e->what.serial); other && other != e) other->what.serial.clear();
    i.by_serial[e->what.serial] = e;
  }
  if (!name.empty()) {
    if (auto* other = i.look(i.by_name, name); other && other != e) other->what.name.clear();
    i.by_name[name] = e;
  }
  if (e->what.ip) i.by_reserved[*e->what.ip] = e;
  if (address) i.learn_address(e, *address);
  return &e->what;
}

const node* node_directory::find(const node_identity& who) const {
  const auto& i = *impl_;
  impl::entry* e = nullptr;
  if (who.mac) e = i.look(i.by_mac, *who.mac);
  if (!e && who.uuid && is_telling(*who.uuid)) e = i.look(i.by_uuid, *who.uuid);
  if (!e && !who.serial.empty() && is_telling_serial(who.serial)) e = i.look(i.by_serial, who.serial);
  if (!e && !who.name.empty()) e = i.look(i.by_name, to_lower(who.name));
  if (!e && who.address) {
    e = i.look(i.by_address, *who.address);
    if (!e) e = i.look(i.by_reserved, *who.address);
  }
  return e ? &e->what : nullptr;
}

const node* node_directory::find_name(std::string_view name) const {
  auto* e = name.empty() ? nullptr : impl_->look(impl_->by_name, to_lower(name));
  return e ? &e->what : nullptr;
}

const node& node_directory::observe(const node_identity& seen) {
  auto& i = *impl_;
  node_identity who = seen;
  if (who.mac && (who.mac->is_zero() || who.mac->is_multicast())) who.mac.reset();
  if (who.uuid && !is_telling(*who.uuid)) who.uuid.reset();
  who.serial = std::string(trim(who.serial));
  if (who.serial.size() > max_text || !is_telling_serial(who.serial)) who.serial.clear();
  if (who.address &&
      (who.address->is_unspecified() || who.address->is_multicast() || who.address->is_broadcast()))
    who.address.reset();
  bool hardware = who.mac || who.uuid || !who.serial.empty();

  impl::entry* best = nullptr;
  node shown;
  shown.uuid = who.uuid;
  shown.serial = who.serial;
  // Every piece of hardware evidence leads to one node; two different strangers become one if nothing
  // that is known of them contradicts.
  auto join = [&](impl::entry* other) {
    if (!other || other == best) return;
    if (!best) {
      best = other;
      return;
    }
    if (!impl::agree(best->what, other->what)) return;
    if (!other->what.declared)
      i.merge(best, other);
    else if (!best->what.declared) {
      i.merge(other, best);
      best = other;
    }
  };
  if (who.mac) join(i.look(i.by_mac, *who.mac));
  if (who.uuid) join(i.look(i.by_uuid, *who.uuid));
  if (!who.serial.empty()) join(i.look(i.by_serial, who.serial));
  if (!hardware && !who.name.empty()) join(i.look(i.by_name, to_lower(who.name)));
  if (who.address) {
    auto* at = i.look(i.by_address, *who.address);
    if (!hardware) {
      join(at);
      if (!best) best = i.look(i.by_reserved, *who.address);
    } else if (at && impl::agree(at->what, shown) &&
               (!who.mac || (at->what.macs.empty() && !at->what.declared))) {
      // A request from the address shows the other half of the node's hardware. A MAC that is not the
      // node's own is another machine that has the address now.
      join(at);
    }
  }

  if (!best) {
    if (!hardware && who.name.empty() && !who.address) {
      i.nobody = {};
      return i.nobody.what;
    }
    best = i.make_stranger();
  } else if (!best->what.declared) {
    i.strangers.splice(i.strangers.begin(), i.strangers, best->place);
  }

  if (who.mac && !i.look(i.by_mac, *who.mac)) i.learn_mac(best, *who.mac);
  if (who.uuid) {
    auto* owner = i.look(i.by_uuid, *who.uuid);
    if (!owner) i.learn_uuid(best, *who.uuid);
  }
  if (!who.serial.empty() && !i.look(i.by_serial, who.serial)) i.learn_serial(best, who.serial);
  if (!who.name.empty()) i.learn_name(best, who.name);
  if (who.address) i.learn_address(best, *who.address);
  while (i.strangers.size() > std::max<std::size_t>(1, max_strangers)) i.forget(i.strangers.back());
  return best->what;
}

void node_directory::forget_address(const ip_address& address) {
  auto& i = *impl_;
  auto* e = i.look(i.by_address, address);
  if (!e) return;
  i.by_address.erase(address);
  e->what.address.reset();
  if (!e->what.declared && !impl::has_hardware(e->what) && e->what.name.empty()) i.forget(e);
}

std::vector<const node*> node_directory::all() const {
  std::vector<const node*> out;
  out.reserve(impl_->declared.size() + impl_->strangers.size());
  for (auto* e : impl_->declared) out.push_back(&e->what);
  for (auto* e : impl_->strangers) out.push_back(&e->what);
  return out;
}

json to_json(const node& n) {
  json out = json::object();
  if (!n.name.empty()) out["name"] = printable(n.name);
  if (!n.macs.empty()) {
    auto& macs = out["macs"] = json::array();
    for (const auto& mac : n.macs) macs.push_back(mac.to_string());
  }
  if (n.uuid) out["uuid"] = n.uuid->to_string();
  if (!n.serial.empty()) out["serial"] = printable(n.serial);
  if (n.ip) out["ip"] = n.ip->to_string();
  if (n.address) out["address"] = n.address->to_string();
  if (!n.role.empty()) out["role"] = printable(n.role);
  if (!n.labels.empty()) {
    auto& labels = out["labels"] = json::object();
    for (const auto& [key, value] : n.labels) labels[printable(key)] = printable(value);
  }
  out["declared"] = n.declared;
  return out;
}

} // namespace netlab
