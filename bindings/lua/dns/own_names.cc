#include "dns/own_names.h"

#include <algorithm>
#include <set>

#include "netlab/text.h"
#include "network/lease_source.h"

namespace netlab::lua {

namespace {

constexpr std::uint32_t lease_ttl = 60; // seconds: a name may belong to another machine soon

// Names by which machines look for a proxy, a tunnel or themselves are nobody's to claim.
bool is_telltale(std::string_view host) {
  for (auto each : {"wpad", "isatap", "localhost", "_gateway"})
    if (iequals(host, each)) return true;
  return false;
}

} // namespace

result<void> dns_own_names::check() const {
  auto made = fixed_names();
  return made ? result<void>() : tl::unexpected(made.error());
}

result<void> dns_own_names::renew_fixed() {
  auto made = fixed_names();
  if (!made) return tl::unexpected(made.error());
  fixed_ = std::move(*made);
  return {};
}

result<std::shared_ptr<const dns::name_table>> dns_own_names::fixed_names() const {
  dns::name_table_builder b(domain.is_root() ? std::vector<dns::name>{} : std::vector{domain});
  dns::add_standard_names(b);
  for (const auto& r : records) {
    bool address = r.type == dns::rtype::a || r.type == dns::rtype::aaaa;
    auto added = result<void>();
    if (address && r.back) {
      auto parsed = ip_address::parse(dns::rdata_text(r.type, r.data));
      added = b.add_host(r.owner, *parsed, r.ttl);
    } else {
      added = b.add(r.owner, r.type, r.ttl, r.data);
    }
    if (!added) return fail(errc::conflict, added.error().message, "records");
  }
  for (const auto& z : zones.all)
    for (const auto& r : z.records) {
      bool address = r.type == dns::rtype::a || r.type == dns::rtype::aaaa;
      // A record of the recipe takes the place of a zone's CNAME, and the other way round.
      if (address)
        (void)b.add_host(r.owner, *ip_address::parse(dns::rdata_text(r.type, r.data)), r.ttl);
      else
        (void)b.add(r.owner, r.type, r.ttl, r.data);
    }
  for (const auto& [address, n] : from_files_) add_machine(b, n, address, ttl);
  for (const auto& p : piholes) add_pihole_names(b, p->setup);
  for (const auto& list : nodes)
    for (const auto* n : list->nodes)
      if (n->ip)
        if (auto parsed = dns::name::parse(n->name); parsed && !taken(b, *parsed))
          add_machine(b, *parsed, *n->ip, ttl);
  return b.build();
}

void dns_own_names::add_pihole_names(dns::name_table_builder& b, const dns::pihole_setup& from) const {
  std::set<std::string> free;
  for (const auto& [address, text] : from.hosts) {
    auto n = dns::name::parse(text);
    // A name may have several addresses.
    if (n && (free.count(text) > 0 || !taken(b, *n))) {
      add_machine(b, *n, address, ttl);
      free.insert(text);
    }
  }
  for (const auto& [alias, target] : from.cnames) {
    auto n = dns::name::parse(alias), to = dns::name::parse(target);
    if (!n || !to || taken(b, *n)) continue;
    (void)b.add(*n, dns::rtype::cname, ttl, {to->wire().begin(), to->wire().end()});
  }
}

bool dns_own_names::taken(const dns::name_table_builder& b, const dns::name& n) const {
  auto whole = n.labels() == 1 ? n.under(domain) : std::nullopt;
  return b.holds(n) || (whole && b.holds(*whole));
}

void dns_own_names::add_machine(dns::name_table_builder& b, const dns::name& n, const ip_address& address,
                                std::uint32_t seconds) const {
  if (n.labels() == 1 && !domain.is_root())
    if (auto whole = n.under(domain)) (void)b.add_host(*whole, address, seconds);
  (void)b.add_host(n, address, seconds);
}

void dns_own_names::renew_leased(const node_directory& directory) {
  dns::name_table_builder b(domain.is_root() ? std::vector<dns::name>{} : std::vector{domain});
  for (const auto& names : set_names)
    for (const auto& r : names->records(domain)) {
      if (held_by_recipe(r.owner)) continue;
      bool address = r.back && (r.type == dns::rtype::a || r.type == dns::rtype::aaaa);
      if (address)
        (void)b.add_host(r.owner, *ip_address::parse(dns::rdata_text(r.type, r.data)), r.ttl);
      else
        (void)b.add(r.owner, r.type, r.ttl, r.data);
    }
  std::vector<lease> all;
  for (const auto& each : leases)
    if (auto* source = dynamic_cast<lease_source*>(each.get()))
      for (auto& l : source->current_leases())
        if (l.state == lease_state::active) all.push_back(std::move(l));
  std::vector<const lease*> by_clients;
  for (const auto& l : all) {
    node_identity who;
    who.mac = l.mac;
    const auto* known = directory.find(who);
    if (!known || !known->declared) {
      by_clients.push_back(&l);
      continue;
    }
    if (known->ip) continue; // its reserved address is its name's
    if (auto n = dns::name::parse(known->name); n && !held_by_recipe(*n) && !taken(b, *n))
      add_machine(b, *n, l.address, lease_ttl);
  }
  for (const auto* l : by_clients) {
    auto n = dns::name::parse(l->hostname.substr(0, l->hostname.find('.')));
    if (!n || n->is_root() || held_by_recipe(*n) || is_telltale(n->to_string()) || taken(b, *n)) continue;
    const auto* holder = directory.find_name(n->to_string());
    if (holder && holder->declared) continue;
    add_machine(b, *n, l->address, lease_ttl);
  }
  dynamic_ = b.build();
}

bool dns_own_names::held_by_recipe(const dns::name& n) const {
  auto holds = [&](const dns::name& each) {
    const auto* found = fixed_->find(each.lower());
    return found && !found->empty();
  };
  auto whole = n.under(domain);
  return holds(n) || (whole && holds(*whole));
}

std::string dns_own_names::origin_of(const dns::name& n, const node_directory& directory) const {
  auto same = [&](const dns::name& each) {
    return each == n || (each.labels() == 1 && each.under(domain).value_or(each) == n);
  };
  auto covers = [&](const dns::name& each) {
    bool wild = each.wire()[0] == 1 && each.wire()[1] == '*';
    return same(each) || (wild && n.is_within(each.parent()));
  };
  for (const auto& r : records)
    if (covers(r.owner)) return "a record of the recipe";
  for (const auto& z : zones.all)
    for (const auto& r : z.records)
      if (covers(r.owner)) return "a record of " + z.path + ":" + std::to_string(r.line);
  for (const auto& [address, each] : from_files_)
    if (same(each)) return "a name of a hosts file";
  for (const auto& p : piholes) {
    for (const auto& [address, text] : p->setup.hosts)
      if (auto each = dns::name::parse(text); each && same(*each)) return "a local record of the Pi-hole";
    for (const auto& [alias, target] : p->setup.cnames)
      if (auto each = dns::name::parse(alias); each && same(*each)) return "a local record of the Pi-hole";
  }
  for (const auto& list : nodes)
    for (const auto* node : list->nodes)
      if (auto each = dns::name::parse(node->name); node->ip && each && same(*each))
        return "the node " + node->name + " with its reserved address";
  for (const auto& names : set_names)
    for (const auto& r : names->records(domain))
      if (covers(r.owner)) return "a name that the recipe set with \"" + names->name() + "\"";
  if (auto address = dns::address_of_reverse(n)) return "the reverse of a name of ours";
  for (const auto& c : known_clients(directory))
    if (auto each = dns::name::parse(c.name.substr(0, c.name.find('.'))); each && same(*each))
      return "the lease of " + c.address.to_string();
  return "a name that exists by itself";
}

std::vector<dns::known_client> dns_own_names::known_clients(const node_directory& directory) const {
  std::vector<dns::known_client> out;
  for (const auto& list : nodes)
    for (const auto* n : list->nodes)
      if (n->ip) {
        auto mac = n->macs.empty() ? std::optional<mac_address>() : n->macs.front();
        out.push_back({*n->ip, mac, n->name});
      }
  for (const auto& each : leases)
    if (auto* source = dynamic_cast<lease_source*>(each.get()))
      for (const auto& l : source->current_leases()) {
        if (l.state != lease_state::active) continue;
        node_identity who;
        who.mac = l.mac;
        const auto* known = directory.find(who);
        out.push_back({l.address, l.mac, known && known->declared ? known->name : l.hostname});
      }
  return out;
}

void dns_own_names::read_hosts_files(runtime& world, const std::string& server) {
  from_files_.clear();
  for (const auto& path : hosts_files) {
    auto text = world.files.read(path);
    if (!text) {
      world.log.write(log_level::warn, "hosts file: " + text.error().message, {{"server", server}});
      continue;
    }
    auto wrong = dns::parse_hosts(*text, [&](const ip_address& a, const dns::name& n) {
      // Every hosts file names the machine itself; others are not told that it is theirs.
      if (!a.is_loopback() && !a.is_unspecified() && !a.is_multicast()) from_files_.emplace_back(a, n);
    });
    if (!wrong.empty())
      world.log.write(log_level::warn,
                      path + ":" + std::to_string(wrong[0]) + ": no line of a hosts file" +
                          (wrong.size() > 1 ? ", and " + std::to_string(wrong.size() - 1) + " more" : ""),
                      {{"server", server}});
  }
}

} // namespace netlab::lua
