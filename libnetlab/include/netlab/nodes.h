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
  std::vector<mac_address> macs; // declared ones first
  std::optional<netlab::uuid> uuid;
  std::string serial;
  std::optional<ip_address> ip;      // the address the recipe reserves
  std::optional<ip_address> address; // the address it has now
  std::string role;
  std::map<std::string, std::string> labels; // whatever else the recipe says: for matching and templates
  bool declared = false;                     // in the recipe
};

// The name, else the MAC, UUID, serial or address: what a message calls the node.
std::string label_of(const node& n);
std::string label_of(const node_identity& who);

// False for the UUIDs and serials that vendors leave in every board ("To Be Filled By O.E.M.", all zeros):
// they say nothing about who it is.
bool is_telling(const netlab::uuid& uuid);
bool is_telling_serial(std::string_view serial);

// One place for who is who: joins MAC, UUID, serial, address and name. Owns the nodes. Control loop only.
// Every look-up is O(1).
//
// A pointer to a declared node stays valid and the same machine's as long as the directory. One to a
// stranger stays readable as long, but after a later observe() or declare() it may describe another
// machine: keep the identity, not the pointer.
//
// Runtime facts never overwrite declared ones, and a machine that shows hardware of its own never becomes
// a declared node by its name or address alone: both are what a client says of itself.
class node_directory {
public:
  node_directory();
  ~node_directory();
  // Fails with errc::conflict, naming both, when another declared node has the same name, MAC, UUID,
  // serial or address; with errc::invalid when there is nothing to know the node by. A stranger that turns
  // out to be this node is merged into it.
  result<const node*> declare(node n);
  const node* find(const node_identity& who) const;   // best evidence: MAC, UUID, serial, name, address
  const node* find_name(std::string_view name) const; // in any case of letters
  // Learns: finds or makes the node that `who` describes and fills in what was not known. Strangers that
  // turn out to be one machine are merged. Unknown machines are bounded (the oldest unseen one is
  // forgotten beyond `max_strangers`). An empty identity gives an empty node that is not kept.
  const node& observe(const node_identity& who);
  // The address left this node (lease ended).
  void forget_address(const ip_address& address);
  std::vector<const node*> all() const; // declared first, in the recipe's order; then the latest seen
  std::size_t max_strangers = 4096;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// {"name", "macs", "uuid", "serial", "ip", "address", "role", "labels", "declared"}, without what is not
// known.
json to_json(const node& n);

} // namespace netlab
