#pragma once
#include "host/object.h"

#include <optional>
#include <string>
#include <vector>

namespace netlab::lua {

// netlab.network: a network that services are for, and our address on it. Pure data: nothing is bound.
class network final : public object {
public:
  std::string interface; // empty: routing decides
  cidr address;          // ours, with the network's prefix length
  std::optional<ip_address> router;
  std::string domain;
  // Why this is a network of an EC2 VPC, which carries no broadcast and has its own DHCP; empty: it is none.
  std::string vpc;
  std::vector<cidr> networks; // further client networks that reach us through a router or relay

  bool contains(const ip_address& a) const;
  std::string default_name() const override;
  json status() const override;
  // Why `what`, such as "dhcp.server", stays off here; empty when it does not.
  std::string keeps_off(std::string_view what) const;
};

} // namespace netlab::lua
