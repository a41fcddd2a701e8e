#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "netlab/dns_filter.h"
#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/units.h"

namespace netlab::dns {

// A minute of the week where the lab is: Monday 00:00 is 0.
using week_minute = std::uint16_t;
inline constexpr week_minute minutes_of_week = 7 * 24 * 60;

// Hours of some days. One that ends before it begins lasts past midnight and belongs to the day it began.
struct weekly_window {
  std::uint8_t days = 0x7f;   // bit 0 is Monday
  std::uint16_t from = 0;     // minute of the day
  std::uint16_t to = 24 * 60; // minute of the day, itself not included; equal to `from`: the whole day

  // "mon", "mon-fri", "sat,sun", "fri-mon", "daily"; "20:00", "24:00" only as the end.
  static result<weekly_window> parse(std::string_view days, std::string_view from, std::string_view to);
  bool contains(week_minute now) const;
  friend bool operator==(const weekly_window&, const weekly_window&) = default;
};

// Who belongs to a group: a network or address, a network card, or the name of a node or lease.
using group_member = std::variant<cidr, mac_address, std::string>;

struct filter_group {
  std::string name;
  std::vector<group_member> members;
  list_mask lists = all_lists;
  struct exception {
    weekly_window when;
    list_mask lists = all_lists; // instead of the group's
  };
  std::vector<exception> schedule; // the first that contains the time counts
};

// An address and whose it is, as nodes and leases tell.
struct known_client {
  ip_address address;
  std::optional<mac_address> mac;
  std::string name; // without domain; empty when it has none
};

// Which lists count for whom, and when. A value; what it says depends on its arguments only.
class filter_groups {
public:
  static constexpr std::size_t most = 31;

  // `everybody`: the lists of who is in no group. Errors: invalid (too many groups, two of a name, a member
  // that two groups claim).
  static result<filter_groups> make(list_mask everybody, std::vector<filter_group> groups);
  filter_groups() = default;

  // The lists of everybody else, then of each group in order.
  std::vector<list_mask> lists(week_minute now) const;
  // Minutes until lists() says something else; nothing when it never does.
  std::optional<unsigned> until_change(week_minute now) const;
  // Which place in lists() belongs to an address: single addresses first (a member's own address before its
  // MAC before its name), then networks, the narrowest first. The first that holds an address decides.
  std::vector<std::pair<cidr, std::uint8_t>> assignments(const std::vector<known_client>& clients) const;

  const std::vector<filter_group>& groups() const { return groups_; }
  bool names_machines() const; // some member is a MAC or a name, so that assignments() depends on leases

private:
  list_mask everybody_ = all_lists;
  std::vector<filter_group> groups_;
};

} // namespace netlab::dns
