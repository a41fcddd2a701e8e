#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "netlab/net.h"
#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab {

// How TFTP and HTTP servers get what they send, without knowing what a boot profile is.

enum class asset_protocol { tftp, http };

struct asset_request {
  asset_protocol protocol = asset_protocol::http;
  endpoint client;   // who asks
  ip_address server; // the address it asked, for building URLs that this client can reach
  std::uint16_t server_port = 0;
  bool secure = false;
  bool head = false; // only the size and type are wanted (HTTP HEAD, TFTP size probe)
  std::string path;  // decoded, always begins with "/", no "//", ".", or ".." inside
  std::string query; // raw, without "?"
  std::string user_agent;
};

struct transfer_report {
  std::uint64_t bytes = 0; // sent
  std::uint64_t size = 0;  // of the whole thing
  duration elapsed{};
  bool completed = false;
  bool probe = false; // the client only wanted the size (HEAD, EDK2's ERROR 8)
  std::string reason; // why it did not complete
};

// What to send: text made for this request, a file that is open already, or the path of one that the
// server opens on its own loop, because a cold disk must not hold the control loop.
struct asset {
  struct file_path {
    std::string path;
  };
  std::variant<std::shared_ptr<const std::string>, std::shared_ptr<open_file>, file_path> content;
  std::string content_type = "application/octet-stream";
  // Runs once, on the thread that answered the request, when the transfer ended either way.
  std::function<void(const transfer_report&)> on_done;
};

// errc::not_found is a quiet 404; every other error is a refusal that is logged.
using asset_reply_fn = std::function<void(result<asset>)>;

class asset_source {
public:
  virtual ~asset_source() = default;
  // Called on the source's own loop; `reply` runs once, there, now or later.
  virtual void open(const asset_request& request, asset_reply_fn reply) = 0;
};

// A source that lives on `home` seen from a server on another loop: requests are posted to `home`,
// replies posted back to `server`, on_done to `home`. All three outlive the result.
std::unique_ptr<asset_source> make_remote_source(asset_source& source, class scheduler& home,
                                                 class scheduler& server);

} // namespace netlab
