#pragma once
#include <string>

#include "host/borrowed_call.h"
#include "host/object.h"
#include "host/vm.h"
#include "netlab/http_server.h"

namespace netlab::lua {

class host;

// What netlab.http.files and netlab.http.route return: one entry of a server's `serve` list.
class http_route final : public object {
public:
  std::string prefix;
  std::string folder;          // files
  http_files_options settings; // files
  shared_reference handler;    // route
  std::string default_name() const override { return prefix; }
  bool fits(std::string_view kind) const override { return kind == "http.entry"; }
};

// Has a recipe's handler answer, as a task with this name. On the control loop.
void ask_recipe(host& h, const shared_reference& handler, const std::string& name,
                const std::shared_ptr<borrowed_call>& asked);

} // namespace netlab::lua
