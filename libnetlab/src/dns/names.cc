#include "netlab/dns_names.h"

#include <algorithm>

#include "netlab/text.h"

namespace netlab::dns {

namespace {

std::string_view key_of(const name& n) { return as_text(n.wire()); }

bool is_wildcard(const name& n) { return n.wire()[0] == 1 && n.wire()[1] == '*'; }

} // namespace

unsigned top_labels::bit_of(const name& lower) {
  auto wire = lower.wire();
  std::size_t last = 0;
  for (std::size_t at = 0; wire[at] != 0; at += wire[at] + std::size_t{1}) last = at;
  // The length, and the first and last letters: enough to tell "com" from "internal".
  auto length = wire[last];
  unsigned mixed = length * 7u + (length > 0 ? wire[last + 1] * 31u + wire[last + length] * 17u : 0u);
  return mixed & 63;
}

void top_labels::add(const name& lower) {
  // The root's wildcard stands for every name.
  bool every = lower.is_root() || (lower.labels() == 1 && is_wildcard(lower));
  bits_ |= every ? ~std::uint64_t{0} : std::uint64_t{1} << bit_of(lower);
}

const name_table::records* name_table::find(const name& lower) const {
  if (!tops_.may_hold(lower)) return nullptr;
  auto found = names_.find(key_of(lower));
  return found == names_.end() ? nullptr : &found->second;
}

const name_table::records* name_table::find_wildcard(const name& lower) const {
  if (!wildcards_ || !tops_.may_hold(lower)) return nullptr;
  std::string key;
  for (auto above = lower.parent();; above = above.parent()) {
    key.assign("\1*", 2);
    key += key_of(above);
    if (auto found = names_.find(key); found != names_.end()) return &found->second;
    // The closest name that exists decides; wildcards above it do not reach past it.
    if (above.is_root() || names_.contains(key_of(above))) return nullptr;
  }
}

result<void> name_table_builder::add(const name& owner, std::uint16_t type, std::uint32_t ttl,
                                     byte_vector data) {
  auto lower = owner.lower();
  table_->tops_.add(lower);
  auto& known = table_->names_[std::string(key_of(lower))];
  for (const auto& r : known) {
    if (r.type == type && r.data == data) return {};
    if ((r.type == rtype::cname) != (type == rtype::cname) ||
        (r.type == rtype::cname && type == rtype::cname))
      return fail(errc::conflict,
                  owner.to_string() + " has a CNAME, so that it can have no other record: " +
                      type_name(type == rtype::cname ? r.type : type),
                  "dns.records");
  }
  known.push_back({type, ttl, std::move(data)});
  table_->wildcards_ = table_->wildcards_ || is_wildcard(lower);
  for (const auto& zone : zones_) {
    if (!lower.is_within(zone)) continue;
    for (auto above = lower.parent(); above.size() > zone.size(); above = above.parent())
      table_->names_.try_emplace(std::string(key_of(above)));
  }
  return {};
}

result<void> name_table_builder::add_host(const name& owner, const ip_address& address, std::uint32_t ttl) {
  auto bytes = address.bytes();
  auto added =
      add(owner, address.is_v4() ? rtype::a : rtype::aaaa, ttl, byte_vector(bytes.begin(), bytes.end()));
  if (!added || is_wildcard(owner)) return added;
  auto back = name::reverse(address);
  if (const auto* there = table_->find(back); there && !there->empty()) return added;
  return add(back, rtype::ptr, ttl, byte_vector(owner.wire().begin(), owner.wire().end()));
}

bool name_table_builder::holds(const name& owner) const {
  const auto* found = table_->find(owner.lower());
  return found && !found->empty();
}

std::shared_ptr<const name_table> name_table_builder::build() {
  return std::exchange(table_, std::make_shared<name_table>());
}

void add_standard_names(name_table_builder& names) {
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  for (auto text : {"localhost", "*.localhost"})
    for (const auto& address : {ip_address::v4(127, 0, 0, 1), ip_address::v6(one)})
      (void)names.add_host(*name::parse(text), address, 86400);
}

std::vector<std::size_t> parse_hosts(std::string_view text,
                                     const std::function<void(const ip_address&, const name&)>& fn) {
  std::vector<std::size_t> wrong;
  std::size_t number = 0;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    line = trim(line.substr(0, line.find('#')));
    std::optional<ip_address> address;
    bool bad = false;
    while (!line.empty()) {
      auto length = std::min(line.find_first_of(" \t\r"), line.size());
      auto word = line.substr(0, length);
      line = trim(line.substr(length));
      if (!address) {
        auto parsed = ip_address::parse(word.substr(0, word.find('%')));
        bad = !parsed;
        if (bad) break;
        address = *parsed;
      } else if (auto n = name::parse(word)) {
        fn(*address, *n);
      } else {
        bad = true;
      }
    }
    if (bad) wrong.push_back(number);
  }
  return wrong;
}

void route_table::add(const name& zone, route_kind kind, std::uint8_t group) {
  auto lower = zone.lower();
  route r{kind, group, lower};
  if (!lower.is_root()) tops_.add(lower);
  if (lower.is_root())
    rest_ = r;
  else
    zones_.insert_or_assign(std::string(key_of(lower)), r);
}

const route& route_table::find(const name& lower) const {
  if (!tops_.may_hold(lower)) return rest_;
  auto wire = as_text(lower.wire());
  for (std::size_t at = 0; wire[at] != 0; at += static_cast<std::uint8_t>(wire[at]) + std::size_t{1})
    if (auto found = zones_.find(wire.substr(at)); found != zones_.end()) return found->second;
  return rest_;
}

void add_standard_routes(route_table& table, bool special) {
  auto zone = [&](std::string_view text, route_kind kind) { table.add(*name::parse(text), kind); };
  for (auto text :
       {"10.in-addr.arpa", "168.192.in-addr.arpa", "0.in-addr.arpa", "127.in-addr.arpa",
        "254.169.in-addr.arpa", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa",
        "255.255.255.255.in-addr.arpa", "d.f.ip6.arpa", "c.f.ip6.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa",
        "a.e.f.ip6.arpa", "b.e.f.ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "home.arpa", "localhost"})
    zone(text, route_kind::local);
  for (int i = 16; i < 32; ++i) zone(std::to_string(i) + ".172.in-addr.arpa", route_kind::local);
  for (int i = 64; i < 128; ++i) zone(std::to_string(i) + ".100.in-addr.arpa", route_kind::local);
  for (const char* digit : {"0", "1"}) {
    std::string text = digit; // :: and ::1
    for (int i = 0; i < 31; ++i) text += ".0";
    zone(text + ".ip6.arpa", route_kind::local);
  }
  for (auto text : {"invalid", "onion", "local", "test"}) zone(text, route_kind::nxdomain);
  if (!special) return;
  for (auto text : {"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"})
    zone(text, route_kind::nxdomain);
  zone("resolver.arpa", route_kind::nodata);
}

} // namespace netlab::dns
