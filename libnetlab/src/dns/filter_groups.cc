#include "netlab/dns_filter_groups.h"

#include <algorithm>
#include <array>
#include <set>

#include "netlab/text.h"

namespace netlab::dns {

namespace {

constexpr unsigned day_minutes = 24 * 60;
constexpr std::array<std::string_view, 7> day_names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

std::optional<unsigned> parse_day(std::string_view text) {
  for (unsigned i = 0; i < day_names.size(); ++i)
    if (istarts_with(text, day_names[i])) return i;
  return std::nullopt;
}

result<std::uint8_t> parse_days(std::string_view text) {
  auto wrong = [&] {
    return fail(errc::invalid,
                "\"" + printable(text) + "\" is no list of days such as \"mon-fri,sun\" or \"daily\"",
                "days");
  };
  if (iequals(text, "daily")) return std::uint8_t{0x7f};
  std::uint8_t out = 0;
  for (auto part : split(text, ',')) {
    part = trim(part);
    auto dash = part.find('-');
    auto first = parse_day(part.substr(0, dash));
    auto last = dash == std::string_view::npos ? first : parse_day(trim(part.substr(dash + 1)));
    if (!first || !last) return wrong();
    for (auto day = *first;; day = (day + 1) % 7) {
      out = static_cast<std::uint8_t>(out | 1u << day);
      if (day == *last) break;
    }
  }
  if (out == 0) return wrong();
  return out;
}

result<std::uint16_t> parse_clock(std::string_view text, const char* option) {
  auto digit = [&](std::size_t i) {
    return text[i] >= '0' && text[i] <= '9' ? unsigned(text[i] - '0') : 100u;
  };
  if (text.size() == 5 && text[2] == ':') {
    auto hour = digit(0) * 10 + digit(1), minute = digit(3) * 10 + digit(4);
    if (minute < 60 && (hour < 24 || (hour == 24 && minute == 0)))
      return static_cast<std::uint16_t>(hour * 60 + minute);
  }
  return fail(errc::invalid, "\"" + printable(text) + "\" is no time of day such as \"20:30\"", option);
}

std::string text_of(const group_member& m) {
  if (const auto* network = std::get_if<cidr>(&m)) return network->to_string();
  if (const auto* mac = std::get_if<mac_address>(&m)) return mac->to_string();
  return to_lower(std::get<std::string>(m));
}

cidr single(const ip_address& a) { return {a, static_cast<std::uint8_t>(a.is_v4() ? 32 : 128)}; }
bool is_single(const cidr& c) { return c.prefix == (c.address.is_v4() ? 32 : 128); }

} // namespace

result<weekly_window> weekly_window::parse(std::string_view days, std::string_view from,
                                           std::string_view to) {
  weekly_window out;
  auto on = parse_days(trim(days));
  if (!on) return tl::unexpected(on.error());
  auto begin = parse_clock(trim(from), "from"), end = parse_clock(trim(to), "to");
  if (!begin) return tl::unexpected(begin.error());
  if (!end) return tl::unexpected(end.error());
  if (*begin == day_minutes)
    return fail(errc::invalid, "\"24:00\" is the end of a day, not its beginning", "from");
  out.days = *on;
  out.from = *begin;
  out.to = *end;
  return out;
}

bool weekly_window::contains(week_minute now) const {
  unsigned day = now / day_minutes % 7, minute = now % day_minutes;
  auto on = [&](unsigned d) { return (days >> d & 1) != 0; };
  if (from < to) return on(day) && minute >= from && minute < to;
  return (on(day) && minute >= from) || (on((day + 6) % 7) && minute < to);
}

result<filter_groups> filter_groups::make(list_mask everybody, std::vector<filter_group> groups) {
  if (groups.size() > most)
    return fail(errc::invalid, "there are more than " + std::to_string(most) + " groups", "groups");
  std::set<std::string> names, members;
  for (const auto& g : groups) {
    if (!names.insert(g.name).second)
      return fail(errc::invalid, "two groups have the name \"" + printable(g.name) + "\"", "groups");
    for (const auto& m : g.members)
      if (!members.insert(text_of(m)).second)
        return fail(errc::invalid, "\"" + printable(text_of(m)) + "\" is in two groups, or twice in one",
                    "groups." + g.name);
  }
  filter_groups out;
  out.everybody_ = everybody;
  out.groups_ = std::move(groups);
  return out;
}

std::vector<list_mask> filter_groups::lists(week_minute now) const {
  std::vector<list_mask> out = {everybody_};
  for (const auto& g : groups_) {
    auto found = std::find_if(g.schedule.begin(), g.schedule.end(),
                              [&](const auto& e) { return e.when.contains(now); });
    out.push_back(found == g.schedule.end() ? g.lists : found->lists);
  }
  return out;
}

std::optional<unsigned> filter_groups::until_change(week_minute now) const {
  std::set<unsigned> borders; // minutes of a day
  for (const auto& g : groups_)
    for (const auto& e : g.schedule) borders.insert({e.when.from, e.when.to % day_minutes, 0u});
  if (borders.empty()) return std::nullopt;
  auto before = lists(now);
  for (unsigned day = 0; day <= 7; ++day)
    for (auto border : borders) {
      auto at = (now / day_minutes + day) * day_minutes + border;
      if (at > now && lists(static_cast<week_minute>(at % minutes_of_week)) != before) return at - now;
    }
  return std::nullopt;
}

std::vector<std::pair<cidr, std::uint8_t>>
filter_groups::assignments(const std::vector<known_client>& clients) const {
  std::vector<std::pair<cidr, std::uint8_t>> out, networks;
  std::set<ip_address> taken;
  auto each_member = [&](auto fn) {
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const auto& m : groups_[g].members) fn(static_cast<std::uint8_t>(g + 1), m);
  };
  auto give = [&](const ip_address& a, std::uint8_t group) {
    if (taken.insert(a).second) out.emplace_back(single(a), group);
  };
  each_member([&](std::uint8_t group, const group_member& m) {
    const auto* network = std::get_if<cidr>(&m);
    if (!network) return;
    if (is_single(*network))
      give(network->address, group);
    else
      networks.emplace_back(*network, group);
  });
  each_member([&](std::uint8_t group, const group_member& m) {
    if (const auto* mac = std::get_if<mac_address>(&m))
      for (const auto& c : clients)
        if (c.mac == *mac) give(c.address, group);
  });
  each_member([&](std::uint8_t group, const group_member& m) {
    if (const auto* name = std::get_if<std::string>(&m))
      for (const auto& c : clients)
        if (!c.name.empty() && iequals(c.name, *name)) give(c.address, group);
  });
  std::stable_sort(networks.begin(), networks.end(),
                   [](const auto& a, const auto& b) { return a.first.prefix > b.first.prefix; });
  out.insert(out.end(), networks.begin(), networks.end());
  return out;
}

bool filter_groups::names_machines() const {
  for (const auto& g : groups_)
    for (const auto& m : g.members)
      if (!std::holds_alternative<cidr>(m)) return true;
  return false;
}

} // namespace netlab::dns
