#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/host.h"
#include "host/object.h"
#include "http/sources.h"
#include "netlab/http_server.h"
#include "netlab/late_binding.h"

namespace netlab::lua {

// What a recipe says of an HTTP server.
struct http_settings {
  std::string name;
  listen_list listen;
  std::optional<tls_identity> tls;
  http_limits limits; // of each worker
  std::vector<object_ptr> entries;
  std::size_t workers = 1;
};

// One thread's share of an HTTP server: it listens where the others do, and the kernel deals the connections
// out. It lives on the bytes loop of its number, and is told what to do from the control loop.
class http_worker {
public:
  // Listens at `at`; with several workers none of these has port 0, but the first worker's.
  http_worker(host& h, const http_settings& settings, std::vector<endpoint> at, std::size_t number);

  result<void> start();
  // Stops listening, lets requests under way finish, then posts `done` to the control loop.
  void drain(std::function<void()> done);
  std::size_t connections() const;
  // Where it listens; port 0 where such an address is still waited for.
  std::vector<endpoint> bound() const;

private:
  // On the bytes loop:
  result<void> open();
  result<void> add(const object_ptr& entry);
  result<void> bind(std::size_t index);

  host& host_;
  const http_settings& settings_;
  const std::size_t number_;
  runtime& world_; // of the bytes loop
  served_sources sources_;
  asset_source* source_ = nullptr; // null when only folders and handlers are served
  // The rest lives on the bytes loop, which ends before the graph does.
  std::unique_ptr<http_server> server_;
  std::vector<endpoint> bound_;
  std::optional<late_binding> late_;
};

} // namespace netlab::lua
