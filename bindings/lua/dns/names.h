#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dns/records.h"
#include "host/object.h"

namespace netlab::lua {

// netlab.dns.names: records that the recipe sets and removes while it runs, for the servers that are given
// it. Kept in memory. Control loop only.
class dns_names final : public object {
public:
  std::uint32_t ttl = 60; // seconds
  std::string default_name() const override { return "names"; }
  json status() const override;

  // The records as a server with that domain has them; what has become impossible there is left out.
  std::vector<recipe_record> records(const dns::name& domain) const;
  // `fn` runs after every change, for as long as the object lives.
  void on_change(std::function<void()> fn) { listeners_.push_back(std::move(fn)); }
  // Why a name cannot be set, or nothing: servers keep the recipe's own names.
  void on_ask(std::function<std::string(const dns::name&)> fn) { holders_.push_back(std::move(fn)); }

  result<void> set(const std::string& name, value what);
  bool remove(const std::string& name);
  const std::map<std::string, value>& all() const { return all_; }

private:
  std::map<std::string, value> all_; // by the name as it was written, in lower case
  std::vector<std::function<void()>> listeners_;
  std::vector<std::function<std::string(const dns::name&)>> holders_;
};

} // namespace netlab::lua
