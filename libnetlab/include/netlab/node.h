#pragma once
#include <optional>
#include <string>

#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/uuid.h"

namespace netlab {

// What is known of a machine at some moment: each room fills in what it saw, and the node directory
// joins it with what is already known. Empty fields mean "not known here".
struct node_identity {
  std::string name;
  std::optional<mac_address> mac;
  std::optional<netlab::uuid> uuid;
  std::string serial;
  std::optional<ip_address> address;
};

} // namespace netlab
