#include "dns/records.h"

#include <limits>

#include "dns/upstreams.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

// The record types that a recipe names, each with what it writes.
struct written_type {
  const char* word;
  std::uint16_t type;
  const char* help;
};
constexpr written_type written[] = {
    {"a", dns::rtype::a, "an IPv4 address, or a list"},
    {"aaaa", dns::rtype::aaaa, "an IPv6 address, or a list"},
    {"cname", dns::rtype::cname, "the name that it is another name for"},
    {"txt", dns::rtype::txt, "a text, or a list; quotation marks inside cut it into strings"},
    {"srv", dns::rtype::srv, "\"priority weight port name\", or a list"},
    {"mx", dns::rtype::mx, "\"preference name\", or a list"},
    {"ptr", dns::rtype::ptr, "the name that an address of in-addr.arpa or ip6.arpa leads to"},
    {"caa", dns::rtype::caa, "\"flags tag value\", or a list"},
    {"ns", dns::rtype::ns, "a name server's name, or a list"},
    {"https", dns::rtype::https, "\"priority name key=value …\", or a list"},
    {"svcb", dns::rtype::svcb, "\"priority name key=value …\", or a list"},
    {"naptr", dns::rtype::naptr, "\"order preference flags service regexp replacement\", or a list"},
    {"sshfp", 44, "\"algorithm type fingerprint\", or a list"},
    {"tlsa", 52, "\"usage selector matching data\", or a list"},
    {"uri", 256, "\"priority weight target\", or a list"},
    {"ds", dns::rtype::ds, "\"tag algorithm digest-type digest\", or a list"},
};

} // namespace

option_type dns_records_type() {
  std::vector<option> fields;
  for (const auto& w : written)
    fields.push_back(optional(w.word, type::one_of({type::string(), type::list(type::string())}), w.help));
  fields.push_back(optional("other", type::map(type::one_of({type::string(), type::list(type::string())})),
                            "records of any other type, by its name or number: { TYPE65280 = \"\\\\# 4 "
                            "0a000001\" }, with their data as RFC 3597 writes it"));
  fields.push_back(optional("ttl", type::duration(), "instead of the server's"));
  fields.push_back(with_default("ptr_back", type::boolean(), true, "whether its addresses lead back to it"));
  return type::map(type::one_of({type::ip(), type::list(type::ip()), type::table(std::move(fields))}));
}

result<std::vector<recipe_record>> read_dns_record(const std::string& name, const value& what,
                                                   const std::string& at, const dns::name& domain,
                                                   std::uint32_t ttl) {
  std::vector<recipe_record> out;
  auto owner = dns::name::parse(name);
  if (!owner) return fail(errc::invalid, owner.error().message, at);
  std::vector<dns::name> owners;
  if (owner->labels() == 1 && name.back() != '.') {
    auto whole = owner->under(domain);
    if (!whole) return fail(errc::invalid, "\"" + name + "\" is too long with its domain", at);
    owners.push_back(*whole);
  }
  if (owners.empty() || !domain.is_root()) owners.push_back(*owner);
  std::vector<ip_address> addresses;
  if (what.is<ip_address>()) addresses.push_back(what.as<ip_address>());
  if (what.is<value_list>())
    for (const auto& each : what.as<value_list>()) addresses.push_back(each.as<ip_address>());
  std::vector<recipe_record> of_name;
  for (const auto& a : addresses) {
    auto bytes = a.bytes();
    of_name.push_back(
        {{}, a.is_v4() ? dns::rtype::a : dns::rtype::aaaa, ttl, byte_vector(bytes.begin(), bytes.end())});
  }
  bool back = true;
  if (what.is<options>()) {
    const auto& table = what.as<options>();
    auto own_ttl = ttl;
    back = table.get<bool>("ptr_back");
    if (auto given = table.maybe<duration>("ttl"))
      own_ttl = static_cast<std::uint32_t>(std::min<std::int64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(*given).count(), 0x7fffffff));
    for (const auto& w : written)
      for (const auto& text : table.list<std::string>(w.word)) {
        auto data = dns::parse_rdata(w.type, text, domain);
        if (!data) return fail(errc::invalid, data.error().message, at + "." + w.word);
        of_name.push_back({{}, w.type, own_ttl, std::move(*data)});
      }
    for (const auto& item : table.maybe<value_map>("other").value_or(value_map{}).items) {
      auto here = at + ".other." + item.name;
      auto type = dns::parse_type(item.name);
      // What is about messages and zones, and not about a name, is no record that one can have.
      bool possible = type && *type != 0 && *type != dns::rtype::opt && (*type < 128 || *type > 255) &&
                      *type != dns::rtype::soa;
      if (!possible) return fail(errc::invalid, "\"" + printable(item.name) + "\" is no record type", here);
      for (const auto& text : one_or_more_texts(item.value)) {
        auto data = dns::parse_rdata(*type, text, domain);
        if (!data) return fail(errc::invalid, data.error().message, here);
        of_name.push_back({{}, *type, own_ttl, std::move(*data)});
      }
    }
    if (of_name.empty()) return fail(errc::invalid, "it has no record", at);
  }
  for (const auto& each : owners)
    for (auto r : of_name) {
      r.owner = each;
      r.back = back;
      out.push_back(std::move(r));
    }
  return out;
}

result<std::vector<recipe_record>> read_dns_records(const options& o, const dns::name& domain,
                                                    std::uint32_t ttl) {
  std::vector<recipe_record> out;
  auto records = o.maybe<value_map>("records");
  if (!records) return out;
  for (const auto& item : records->items) {
    auto of_name = read_dns_record(item.name, item.value, "records." + item.name, domain, ttl);
    if (!of_name) return of_name;
    out.insert(out.end(), of_name->begin(), of_name->end());
  }
  return out;
}

std::vector<dns::name> reverse_zones(const cidr& network) {
  std::vector<dns::name> out;
  unsigned step = network.address.is_v4() ? 8 : 4; // bits of one label
  unsigned labels = (network.prefix + step - 1) / step;
  unsigned open = labels * step - network.prefix; // bits of the last label that vary
  auto first = network.network();
  std::array<std::uint8_t, 16> bytes{};
  auto raw = first.bytes();
  std::copy(raw.begin(), raw.end(), bytes.begin());
  if (labels == 0) {
    out.push_back(*dns::name::parse(network.address.is_v4() ? "in-addr.arpa" : "ip6.arpa"));
    return out;
  }
  for (unsigned i = 0; i < 1u << open; ++i) {
    auto here = bytes;
    auto last = labels - 1;
    if (step == 8)
      here[last] = static_cast<std::uint8_t>(here[last] + i);
    else
      here[last / 2] = static_cast<std::uint8_t>(here[last / 2] + (last % 2 == 0 ? i << 4 : i));
    auto address =
        network.address.is_v4() ? ip_address::v4(here[0], here[1], here[2], here[3]) : ip_address::v6(here);
    auto zone = dns::name::reverse(address);
    unsigned whole = network.address.is_v4() ? 4 : 32;
    for (unsigned cut = labels; cut < whole; ++cut) zone = zone.parent();
    out.push_back(zone);
  }
  return out;
}

} // namespace netlab::lua
