#include <cstdio>

#include "import_text.h"

namespace netlab::dhcp {

namespace {

// "4 2026/01/02 03:04:05;" (UTC, the weekday first), "epoch 1767323045; # …" or "never;".
std::optional<wall_time> parse_when(std::string_view text) {
  text = trim(text.substr(0, text.find(';')));
  if (text == "never") return wall_time::max();
  if (text.starts_with("epoch ")) {
    auto seconds = whole_number(trim(text.substr(6)));
    return seconds ? epoch_time(*seconds) : std::nullopt;
  }
  int weekday, year, hour, minute, second;
  unsigned month, day;
  if (std::sscanf(std::string(text).c_str(), "%1d %4d/%2u/%2u %2d:%2d:%2d", &weekday, &year, &month, &day,
                  &hour, &minute, &second) != 7)
    return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || year < 1970 || year > 2200 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60)
    return std::nullopt;
  return wall_time{std::chrono::sys_days(date)} + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

// The bytes of a quoted text with \ooo escapes, or of hex pairs: how `uid` is written.
byte_vector parse_uid(std::string_view text) {
  text = trim(text.substr(0, text.rfind(';')));
  byte_vector out;
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') {
    if (!from_hex(text, out)) out.clear();
    return out;
  }
  text = text.substr(1, text.size() - 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3' &&
        text[i + 2] >= '0' && text[i + 2] <= '7' && text[i + 3] >= '0' && text[i + 3] <= '7') {
      out.push_back(static_cast<std::uint8_t>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                              (text[i + 3] - '0')));
      i += 3;
    } else if (text[i] == '\\' && i + 1 < text.size()) {
      out.push_back(static_cast<std::uint8_t>(text[++i]));
    } else {
      out.push_back(static_cast<std::uint8_t>(text[i]));
    }
  }
  return out;
}

} // namespace

result<imported_leases> import_isc(std::string_view text, wall_time now) {
  std::map<ip_address, lease> found;
  std::vector<import_warning> warnings;
  std::size_t blocks = 0, understood = 0;
  bool inside = false, given = false;
  lease l;
  byte_vector uid;
  each_line(text, [&](std::size_t number, std::string_view line) {
    line = trim(line);
    if (line.empty() || line.front() == '#') return;
    if (!inside) {
      if (!line.starts_with("lease ")) return;
      ++blocks;
      auto address = ip_address::parse(trim(line.substr(6, line.find('{') - 6)));
      if (!address || !address->is_v4())
        return add_warning(warnings, number, "a lease without an IPv4 address");
      inside = true;
      given = false;
      l = {};
      l.address = *address;
      uid.clear();
      return;
    }
    auto value = [&](std::string_view key) { return trim(line.substr(key.size())); };
    if (line == "}") {
      inside = false;
      ++understood;
      found.erase(l.address);
      if (!given || (l.state == lease_state::active && l.expires <= now)) return;
      if (uid.size() >= 2 && uid.size() <= 255)
        l.client = uid;
      else if (!l.mac.is_zero())
        l.client = hardware_client(l.mac);
      if (l.client.empty() && l.state == lease_state::active)
        return add_warning(warnings, number, l.address.to_string() + " has neither hardware address nor uid");
      found.emplace(l.address, l);
    } else if (line.starts_with("starts ")) {
      if (auto when = parse_when(value("starts ")))
        l.starts = *when;
      else
        add_warning(warnings, number, "the start is not understood");
    } else if (line.starts_with("ends ")) {
      if (auto when = parse_when(value("ends ")))
        l.expires = *when;
      else
        add_warning(warnings, number, "the end is not understood");
    } else if (line.starts_with("binding state ")) {
      auto state = value("binding state ");
      given = state == "active;" || state == "abandoned;";
      l.state = state == "abandoned;" ? lease_state::declined : lease_state::active;
    } else if (line.starts_with("hardware ethernet ")) {
      auto mac = mac_address::parse(trim(line.substr(18, line.find(';') - 18)));
      if (mac)
        l.mac = *mac;
      else
        add_warning(warnings, number, "the hardware address is not understood");
    } else if (line.starts_with("uid ")) {
      uid = parse_uid(value("uid "));
    } else if (line.starts_with("client-hostname ")) {
      auto name = value("client-hostname ");
      auto first = name.find('"'), last = name.rfind('"');
      if (first != last) l.hostname = clean_hostname(name.substr(first + 1, last - first - 1));
    }
  });
  if (inside) add_warning(warnings, 0, "the last block has no end and was left out");
  return finish_import(std::move(found), std::move(warnings), blocks, understood, "ISC dhcpd lease file");
}

} // namespace netlab::dhcp
