#include "import_text.h"

namespace netlab::dhcp {

namespace {

// One dhcp-host value: identifiers, address, name and lease time in any order.
std::optional<fixed_host> parse_host(std::string_view value, std::string& why) {
  fixed_host out;
  for (auto part : split(value, ',')) {
    part = trim(part);
    if (part.empty()) continue;
    if (auto mac = mac_address::parse(part)) {
      out.macs.push_back(*mac);
    } else if (auto ip = ip_address::parse(part); ip && ip->is_v4()) {
      out.address = *ip;
    } else if (part.starts_with("id:")) {
      if (part == "id:*") continue;
      auto id = part.substr(3);
      if (!from_hex(id, out.client_id) || id.find(':') == std::string_view::npos) {
        out.client_id.assign(1, 0); // a text identifier has type 0
        out.client_id.insert(out.client_id.end(), id.begin(), id.end());
      }
    } else if (part.starts_with("set:") || part.starts_with("tag:") || part.starts_with("[") ||
               part.starts_with("net:")) {
      why = "\"" + printable(part) + "\" is not taken over";
    } else if (part == "ignore") {
      why = "\"ignore\" hosts are not taken over";
      return std::nullopt;
    } else if (part == "infinite") {
      out.options.lease = duration::max();
    } else if (auto seconds = whole_number(part)) {
      if (*seconds >= 120 && *seconds < 4'000'000'000) out.options.lease = std::chrono::seconds(*seconds);
    } else if (auto term = parse_duration(part)) {
      out.options.lease = *term;
    } else if (auto name = clean_hostname(part); !name.empty()) {
      out.name = name;
    } else {
      why = "\"" + printable(part) + "\" is not understood";
      return std::nullopt;
    }
  }
  if (out.macs.empty() && out.client_id.empty()) {
    why = "it names no hardware address and no client id";
    return std::nullopt;
  }
  return out;
}

void take_host(std::size_t number, std::string_view value, imported_hosts& out) {
  std::string why;
  auto host = parse_host(value, why);
  if (!why.empty()) add_warning(out.warnings, number, (host ? "" : "left out: ") + why);
  if (!host) return;
  if (host->name.empty() && !host->macs.empty()) host->name = "host-" + host->macs[0].to_string('-');
  out.hosts.push_back(std::move(*host));
}

} // namespace

result<imported_leases> import_dnsmasq(std::string_view text, wall_time now, duration term) {
  std::map<ip_address, lease> found;
  std::vector<import_warning> warnings;
  std::size_t lines = 0, understood = 0;
  bool v6 = false;
  each_line(text, [&](std::size_t number, std::string_view line) {
    line = trim(line);
    if (line.empty()) return;
    ++lines;
    if (line.starts_with("duid ")) { // DHCPv6 leases follow
      v6 = true;
      ++understood;
      return;
    }
    if (v6) return;
    std::vector<std::string_view> f;
    for (auto part : split(line, ' '))
      if (!part.empty()) f.push_back(part);
    if (f.size() < 4) return add_warning(warnings, number, "fewer than four fields");
    auto expiry = whole_number(f[0]);
    auto when = expiry ? epoch_time(*expiry) : std::nullopt;
    // Other hardware than Ethernet is written as "06-…".
    auto hardware = f[1].size() > 17 && f[1][2] == '-' ? f[1].substr(3) : f[1];
    auto mac = mac_address::parse(hardware);
    auto address = ip_address::parse(f[2]);
    if (!when) return add_warning(warnings, number, "\"" + printable(f[0]) + "\" is no expiry time");
    if (!mac) return add_warning(warnings, number, "\"" + printable(f[1]) + "\" is no hardware address");
    if (!address || !address->is_v4())
      return add_warning(warnings, number, "\"" + printable(f[2]) + "\" is no IPv4 address");
    ++understood;
    if (*expiry != 0 && *when <= now) return;
    lease l;
    l.address = *address;
    l.mac = *mac;
    l.client = hardware_client(*mac);
    if (f.size() > 4 && f[4] != "*") {
      byte_vector id;
      if (from_hex(f[4], id) && id.size() >= 2 && id.size() <= 255)
        l.client = id;
      else
        add_warning(warnings, number,
                    "client id \"" + printable(f[4]) + "\" is not understood; the hardware address is used");
    }
    if (f[3] != "*") l.hostname = clean_hostname(f[3]);
    l.expires = *expiry == 0 ? wall_time::max() : *when;
    l.starts = *expiry == 0 || *when - term > now ? now : *when - term;
    if (!found.insert_or_assign(l.address, l).second)
      add_warning(warnings, number, l.address.to_string() + " is there twice; the later line counts");
  });
  return finish_import(std::move(found), std::move(warnings), lines, understood, "dnsmasq lease file");
}

result<imported_hosts> import_dnsmasq_hosts(std::string_view text) {
  imported_hosts out;
  each_line(text, [&](std::size_t number, std::string_view line) {
    line = trim(line);
    if (line.empty() || line.front() == '#') return;
    constexpr std::string_view key = "dhcp-host=";
    if (line.starts_with(key)) return take_host(number, line.substr(key.size()), out);
    auto equals = line.find('=');
    if (equals != std::string_view::npos && line.find(',') > equals)
      return add_warning(out.warnings, number,
                         "\"" + printable(line.substr(0, equals)) + "\" is not taken over");
    take_host(number, line, out);
  });
  return out;
}

result<imported_hosts> import_pihole_toml(std::string_view text) {
  imported_hosts out;
  std::string section;
  bool inside = false;
  bool closed = true;
  each_line(text, [&](std::size_t number, std::string_view line) {
    line = trim(line);
    if (!inside) {
      if (line.empty() || line.front() == '#') return;
      if (line.front() == '[') {
        section = std::string(line.substr(1, line.find(']') - 1));
        return;
      }
      auto equals = line.find('=');
      if (section != "dhcp" || equals == std::string_view::npos || trim(line.substr(0, equals)) != "hosts")
        return;
      line = trim(line.substr(equals + 1));
      if (line.empty() || line.front() != '[')
        return add_warning(out.warnings, number, "dhcp.hosts is not a list");
      line.remove_prefix(1);
      inside = true;
      closed = false;
    }
    // Quoted entries, with a comment or the closing bracket behind them.
    while (inside && !line.empty()) {
      line = trim(line);
      if (line.empty() || line.front() == '#') return;
      if (line.front() == ']') {
        inside = false;
        closed = true;
      } else if (line.front() == '"' || line.front() == '\'') {
        auto end = line.find(line.front(), 1);
        if (end == std::string_view::npos)
          return add_warning(out.warnings, number, "a text without its closing quote");
        take_host(number, line.substr(1, end - 1), out);
        line.remove_prefix(end + 1);
      } else if (line.front() == ',') {
        line.remove_prefix(1);
      } else {
        return add_warning(out.warnings, number,
                           "\"" + printable(line.substr(0, 40)) + "\" is not understood");
      }
    }
  });
  if (!closed) return fail(errc::invalid, "the list dhcp.hosts has no end", "dhcp.import");
  return out;
}

} // namespace netlab::dhcp
