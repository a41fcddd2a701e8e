#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dns/overlays.h"
#include "netlab/dns_engine.h"
#include "netlab/dns_filter_lists.h"

namespace netlab::lua {

// What decides about a question, as one server has it now.
struct dns_facts {
  const dns::snapshot& valid;
  const dns::engine_config& engine;
  const dns_overlays& overlays;
  std::shared_ptr<const dns::compiled_filter> filter; // null: no lists
  std::vector<std::string> groups;                    // names of the snapshot's policies
  bool hooked = false;                                // the recipe has an on_query
  // Where a name of ours comes from: "a record of the recipe", "a lease".
  std::function<std::string(const dns::name&)> origin;
  // What the workers keep for a question of that group of upstreams: the first that has it.
  std::function<std::optional<dns::kept_answer>(const dns::name&, std::uint16_t, std::uint8_t,
                                                dns::safe_search)>
      kept;
};

// {"name", "type", "client"?, "group", "outcome", "because", "steps": [text …], "rules": [{"list", "rule",
// "action"} …], "upstreams": [text …], "kept"?: {"rcode", "seconds_left"}}: the engine's order, without
// asking anybody outside.
json explain_question(const dns_facts& facts, const dns::name& qname, std::uint16_t type,
                      const std::optional<ip_address>& client);

} // namespace netlab::lua
