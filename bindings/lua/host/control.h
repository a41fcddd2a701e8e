#pragma once
#include <memory>
#include <string>

#include "netlab/json.h"
#include "netlab/net.h"
#include "netlab/result.h"

namespace netlab::lua {

class host;

// The Unix socket over which netlab status and its like talk to a running instance: one JSON object a line,
// {"verb": "status"} → {"ok": true, "result": …} or {"ok": false, "error": …}. Mode 0600. A lock beside it
// keeps a second instance off the same state folder and tells a stale socket from a living one. Control loop
// only; dropping it closes and removes the socket.
class control_server {
public:
  // Fails with errc::exists, naming the other's process id, when another instance holds the lock.
  static result<std::unique_ptr<control_server>> open(host& h, const std::string& socket_path);
  ~control_server();

private:
  struct impl;
  explicit control_server(std::unique_ptr<impl> made);
  std::unique_ptr<impl> impl_;
};

// Where a recipe's control socket is: --control, else in its state folder, else in the runtime folder.
std::string control_socket_path(const std::string& chosen, const std::string& state_folder);
// $XDG_RUNTIME_DIR/netlab, /run/netlab for root, else a folder of the user's in /tmp.
std::string runtime_folder();

// The answer to one request, for commands: blocks, at most `timeout`.
result<json> ask_control(const std::string& socket_path, const json& request, int timeout_ms = 5000);

} // namespace netlab::lua
