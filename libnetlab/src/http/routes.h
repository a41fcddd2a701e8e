#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "netlab/http_server.h"

namespace netlab::http {

struct files_route {
  std::string folder;
  http_files_options options;
};

struct handler_route {
  http_handler handler;
  http_ready_fn ready; // may be empty
};

struct route {
  std::string prefix; // without a slash at its end, so that "" is everything
  std::variant<asset_source*, files_route, handler_route> target;
};

// Which route answers which path: the longest prefix of whole segments.
class route_table {
public:
  result<void> add(route added);
  // nullptr when nothing matches. `rest` is the path behind the prefix, without its first "/".
  const route* find(std::string_view path, std::string_view& rest) const;

private:
  std::vector<route> routes_; // longest prefix first
};

} // namespace netlab::http
