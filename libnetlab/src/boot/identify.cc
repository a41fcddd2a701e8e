#include <algorithm>

#include "netlab/text.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

constexpr std::size_t memory_limit = 4096;

std::vector<std::string> keys_of(const node_identity& who) {
  std::vector<std::string> out;
  if (who.mac) out.push_back("mac:" + who.mac->to_string());
  if (who.uuid && !who.uuid->is_nil()) out.push_back("uuid:" + who.uuid->to_string());
  if (!who.name.empty()) out.push_back("name:" + to_lower(who.name));
  return out;
}

std::string memory_key(const node_identity& who) {
  auto keys = keys_of(who);
  if (!keys.empty()) return keys.front();
  return who.address ? "ip:" + who.address->to_string() : std::string{};
}

} // namespace

std::string machine::label() const {
  if (!facts.name.empty()) return facts.name;
  if (identity.mac) return identity.mac->to_string();
  if (!facts.uuid.empty()) return facts.uuid;
  if (identity.address) return identity.address->to_string();
  return "a machine";
}

text_map parse_query(std::string_view query) {
  text_map out;
  std::size_t count = 0;
  for (auto pair : split(query, '&')) {
    if (pair.empty() || ++count > 64) continue;
    auto equals = pair.find('=');
    auto key = url_decode(pair.substr(0, equals), true);
    auto value =
        url_decode(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1), true);
    // iPXE sends settings that it does not have as empty values, and the first value counts as with matchbox.
    if (key && value) out.emplace(*key, *value);
  }
  // In EC2 the board's asset tag is the instance's id; elsewhere it is whatever the vendor left there.
  if (auto asset = out.find("board_asset"); asset != out.end()) {
    auto id = std::string_view(asset->second);
    if (id.starts_with("i-") && id.size() >= 10 && id.size() <= 19 &&
        id.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos)
      out.emplace("instance_id", id);
  }
  return out;
}

service::impl::memory& service::impl::remember(const node_identity& who) {
  auto key = memory_key(who);
  auto found = machines.find(key);
  if (found == machines.end()) {
    if (machines.size() >= memory_limit) {
      auto oldest = std::min_element(machines.begin(), machines.end(),
                                     [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
      machines.erase(oldest);
    }
    found = machines.emplace(key, memory{}).first;
  }
  auto& m = found->second;
  m.at = now();
  if (who.mac) m.node.mac = who.mac;
  if (who.uuid && !who.uuid->is_nil()) m.node.uuid = who.uuid;
  if (!who.serial.empty()) m.node.serial = who.serial;
  if (!who.name.empty()) m.node.name = who.name;
  if (who.address && !who.address->is_unspecified()) {
    // An address belongs to whoever used it last.
    for (auto& [other, known] : machines)
      if (other != key && known.node.address == who.address) known.node.address.reset();
    m.node.address = who.address;
  }
  return m;
}

const service::impl::memory* service::impl::recall(const node_identity& who) const {
  if (auto found = machines.find(memory_key(who)); found != machines.end()) return &found->second;
  for (const auto& [key, known] : machines) {
    if (who.mac && known.node.mac == who.mac) return &known;
    if (who.uuid && known.node.uuid == who.uuid) return &known;
    if (!who.mac && !who.uuid && !who.serial.empty() && known.node.serial == who.serial) return &known;
    if (!who.mac && !who.uuid && who.address && known.node.address == who.address) return &known;
  }
  return nullptr;
}

machine service::impl::identify(const node_identity& seen, const text_map& query) {
  machine out;
  auto& id = out.identity;
  id = seen;
  auto parameter = [&](const char* key) -> std::string {
    auto found = query.find(key);
    return found == query.end() ? std::string{} : found->second;
  };
  if (!id.mac)
    if (auto mac = mac_address::parse(parameter("mac"))) id.mac = *mac;
  if (!id.uuid)
    if (auto uuid = uuid::parse(parameter("uuid")); uuid && !uuid->is_nil()) id.uuid = *uuid;
  if (id.serial.empty()) id.serial = parameter("serial");

  // Who says its MAC or UUID is not taken for the node that had its address before.
  auto find = [&](node_identity by) -> const node* {
    if (by.mac || by.uuid) by.address.reset();
    return world.find_node ? world.find_node(by) : nullptr;
  };
  const node* known = find(id);
  const memory* met = recall(id);
  if (!known && met) known = find(met->node);
  if (met) {
    if (!id.mac) id.mac = met->node.mac;
    if (!id.uuid) id.uuid = met->node.uuid;
    if (id.serial.empty()) id.serial = met->node.serial;
    if (!id.address) id.address = met->node.address;
    out.facts.cpu = met->cpu;
    out.facts.firmware = met->firmware;
  }
  if (known) {
    if (id.name.empty()) id.name = known->name;
    if (!id.mac && !known->macs.empty()) id.mac = known->macs.front();
    if (!id.uuid) id.uuid = known->uuid;
    if (id.serial.empty()) id.serial = known->serial;
    if (!id.address) id.address = known->address ? known->address : known->ip;
    out.facts.macs = known->macs;
    out.facts.role = known->role;
    out.facts.labels = known->labels;
    if (known->ip) out.facts.address = known->ip->to_string();
  }
  if (id.mac) {
    // The one that asks comes first: it is what {{mac}} means.
    std::erase(out.facts.macs, *id.mac);
    out.facts.macs.insert(out.facts.macs.begin(), *id.mac);
  }
  if (id.uuid) out.facts.uuid = id.uuid->to_string();
  out.facts.serial = id.serial;
  out.facts.name = id.name;
  if (out.facts.address.empty() && id.address) out.facts.address = id.address->to_string();
  if (auto arch = parse_cpu(parameter("arch")); arch != cpu::unknown) {
    // iPXE for BIOS is built for i386 and says so; the machine behind it is not.
    out.facts.cpu = arch == cpu::i386 && parameter("platform") != "efi" ? cpu::amd64 : arch;
  }
  out.facts.query = query;
  // What the loader said holds for the boot's later requests, which say less.
  if (met)
    for (const auto& [key, value] : met->told) out.facts.query.emplace(key, value);
  if (world.lease_name) out.facts.hostname = world.lease_name(id);
  return out;
}

boot_override* service::impl::override_for(const machine& m) {
  std::erase_if(overrides, [&](const auto& o) { return o.expires <= now(); });
  for (const auto& key : keys_of(m.identity))
    for (auto& o : overrides)
      if (o.node == key) return &o;
  return nullptr;
}

// An override ends with the boot's last step: the configuration, or the kernel when there is none to fetch.
void service::impl::consume_override(const machine& m, boot_stage stage, const boot::profile& p) {
  auto* o = override_for(m);
  if (!o || o->profile != p.name) return;
  bool last =
      p.config ? stage == boot_stage::config : stage == boot_stage::kernel || stage == boot_stage::uki;
  if (!last) return;
  world.log(override_set, m.label() + " has booted once from profile \"" + p.name + "\"",
            {{"node", m.label()}});
  auto node = o->node;
  std::erase_if(overrides, [&](const auto& other) { return other.node == node; });
  if (world.on_overrides) world.on_overrides();
}

answer<choice> service::impl::choose(const machine& m) {
  choice out;
  out.group = select_group(options.groups, m.facts);
  if (auto* o = override_for(m)) {
    if (auto found = profiles.find(o->profile); found != profiles.end()) {
      out.profile = found->second;
      return out;
    }
  }
  if (!out.group) {
    std::string what = m.facts.firmware.empty() ? std::string(to_string(m.facts.cpu)) : m.facts.firmware;
    if (options.groups.empty() && !options.sources.empty())
      return refuse(no_group,
                    "no source of the boot service has anything for " + m.label() + " (" + what + ")");
    return refuse(no_group,
                  "no group matches " + m.label() + " (" + what + "), and there is no default group");
  }
  auto found = profiles.find(out.group->profile);
  if (found == profiles.end())
    return refuse(unknown_profile, m.label() + ": its group names profile \"" + out.group->profile +
                                       "\", which does not exist");
  out.profile = found->second;
  return out;
}

std::optional<std::string> service::impl::variable(const machine& m, const choice& c, std::string_view base,
                                                   std::string_view arch, std::string_view name) const {
  const auto& f = m.facts;
  if (name == "name") return f.name;
  if (name == "mac") return f.macs.empty() ? std::string{} : f.macs.front().to_string();
  if (name == "mac_hyphen") return f.macs.empty() ? std::string{} : f.macs.front().to_string('-');
  if (name == "uuid") return f.uuid;
  if (name == "serial") return f.serial;
  if (name == "ip") return f.address;
  if (name == "role") return f.role;
  if (name == "arch") return arch == "unknown" ? std::string{} : std::string(arch);
  if (name == "firmware") return f.firmware;
  if (name == "profile") return c.profile ? c.profile->name : std::string{};
  if (name == "group") return c.group ? c.group->name : std::string{};
  if (name == "boot_url") return std::string(base);
  auto in = [](const text_map& map, std::string_view key) -> std::optional<std::string> {
    auto found = map.find(std::string(key));
    if (found == map.end()) return std::nullopt;
    return found->second;
  };
  auto under = [&](std::string_view prefix) { return name.starts_with(prefix); };
  static const text_map empty;
  const auto& metadata = c.group ? c.group->metadata : empty;
  if (under("metadata.")) return in(metadata, name.substr(9));
  if (under("labels.")) return in(f.labels, name.substr(7));
  if (under("query.")) return in(f.query, name.substr(6));
  if (auto value = in(metadata, name)) return value;
  return in(f.labels, name);
}

} // namespace netlab::boot
