#include "import_text.h"

namespace netlab::dhcp {

namespace {
// Kea writes separators inside values as "&#x2c" (its csv_file.cc escapes every special byte so).
std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    byte_vector byte;
    if (text.size() >= 5 && text.starts_with("&#x") && from_hex(text.substr(3, 2), byte) &&
        byte.size() == 1) {
      out += static_cast<char>(byte[0]);
      text.remove_prefix(5);
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}
} // namespace

result<imported_leases> import_kea(std::string_view text, wall_time now) {
  std::map<ip_address, lease> found;
  std::vector<import_warning> warnings;
  std::map<std::string, std::size_t, std::less<>> columns;
  std::size_t lines = 0, understood = 0;
  std::string missing;
  each_line(text, [&](std::size_t number, std::string_view line) {
    line = trim(line);
    if (line.empty() || !missing.empty()) return;
    auto f = split(line, ',');
    if (columns.empty()) {
      for (std::size_t i = 0; i < f.size(); ++i) columns.emplace(std::string(trim(f[i])), i);
      for (auto needed : {"address", "hwaddr", "expire"})
        if (!columns.contains(needed)) missing = needed;
      return;
    }
    ++lines;
    auto field = [&](std::string_view name) -> std::string_view {
      auto it = columns.find(name);
      return it == columns.end() || it->second >= f.size() ? std::string_view{} : trim(f[it->second]);
    };
    auto address = ip_address::parse(field("address"));
    auto expire = whole_number(field("expire"));
    auto valid = whole_number(field("valid_lifetime"));
    auto state = field("state").empty() ? std::optional<std::int64_t>(0) : whole_number(field("state"));
    if (!address || !address->is_v4())
      return add_warning(warnings, number, "\"" + printable(field("address")) + "\" is no IPv4 address");
    auto when = expire ? epoch_time(*expire) : std::nullopt;
    if (!when)
      return add_warning(warnings, number, "\"" + printable(field("expire")) + "\" is no expiry time");
    if (!state || *state < 0 || *state > 3)
      return add_warning(warnings, number, "state \"" + printable(field("state")) + "\" is unknown");
    ++understood;
    found.erase(*address); // whatever the line says, it replaces the earlier one
    bool infinite = valid && *valid == 0xffffffff;
    // A valid lifetime of zero is how Kea writes that an address was given back.
    if (*state >= 2 || (valid && *valid == 0) || (!infinite && *when <= now)) return;
    lease l;
    l.address = *address;
    l.state = *state == 1 ? lease_state::declined : lease_state::active;
    auto mac = mac_address::parse(field("hwaddr"));
    byte_vector id;
    bool has_id = from_hex(field("client_id"), id) && id.size() >= 2 && id.size() <= 255;
    if (mac) {
      l.mac = *mac;
      l.client = hardware_client(*mac);
    }
    if (has_id) l.client = id;
    if (!mac && !has_id && l.state == lease_state::active)
      return add_warning(warnings, number,
                         address->to_string() + " has neither hardware address nor client id");
    l.hostname = clean_hostname(unescape(field("hostname")));
    l.expires = infinite ? wall_time::max() : *when;
    auto length = valid && *valid > 0 && *valid < 4'000'000'000 ? std::chrono::seconds(*valid)
                                                                : std::chrono::seconds(0);
    l.starts = infinite ? now : std::min(now, wall_time(*when - length));
    found.emplace(*address, std::move(l));
  });
  if (!missing.empty() || (columns.empty() && !trim(text).empty()))
    return fail(errc::invalid, "this is not a Kea lease file: its header has no column \"" + missing + "\"",
                "dhcp.import");
  return finish_import(std::move(found), std::move(warnings), lines, understood, "Kea lease file");
}

} // namespace netlab::dhcp
