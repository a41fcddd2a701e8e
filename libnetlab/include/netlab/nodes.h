#pragma once
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "netlab/boot_event.h"
#include "netlab/clock.h"
#include "netlab/json.h"
#include "netlab/node.h"

namespace netlab {

// A machine of the lab: declared in the recipe, or met on the wire.
struct node {
  std::string name;
  std::vector<mac_address> macs;
  std::optional<netlab::uuid> uuid;
  std::string serial;
  std::optional<ip_address> ip;      // the address the recipe reserves
  std::optional<ip_address> address; // the address it has now
  std::string role;
  std::map<std::string, std::string> labels; // whatever else the recipe says: for matching and templates
  bool declared = false;                     // in the recipe
};

// One place for who is who: joins MAC, UUID, serial, address and name. Owns the nodes; pointers stay
// valid as long as the directory. Control loop only. Runtime facts never overwrite declared ones.
class node_directory {
public:
  node_directory();
  ~node_directory();
  // Fails with errc::conflict, naming both, when another declared node has the same name, MAC, UUID,
  // serial or address.
  result<const node*> declare(node n);
  const node* find(const node_identity& who) const; // best evidence: MAC, UUID, serial, name, address
  const node* find_name(std::string_view name) const;
  // Learns: finds or makes the node that `who` describes and fills in what was not known. Unknown
  // machines are bounded (the oldest unseen one is forgotten beyond `max_strangers`).
  const node& observe(const node_identity& who);
  // The address left this node (lease ended).
  void forget_address(const ip_address& address);
  std::vector<const node*> all() const; // declared first, in the recipe's order
  std::size_t max_strangers = 4096;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab
