#pragma once
#include "object.h"

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
  std::vector<cidr> networks; // further client networks that reach us through a router or relay

  bool contains(const ip_address& a) const;
  std::string default_name() const override;
  json status() const override;
};

} // namespace netlab::lua
