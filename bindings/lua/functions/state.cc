#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/files.h"

namespace netlab::lua {

namespace {

int state(call& c) {
  if (!c.given(1)) return c.nothing(); // an optional argument of the recipe that was not given
  auto path = c.text(1, "the folder");
  if (path.empty()) c.refuse("the folder is empty");
  if (c.owner.now() != phase::declare) c.refuse("belongs at the recipe's top level");
  c.owner.set_state_folder(join_path(c.owner.recipe_folder(), path));
  return c.give(std::string_view(c.owner.state_folder()));
}

} // namespace

void bind_state(api& a) {
  a.function(
      {"state",
       state,
       "Names the folder for everything that must survive a restart: leases, timelines, assets, the control "
       "socket. It is made when the services start.",
       {{"path", "string?", "relative names start at the recipe's folder; nil changes nothing"}},
       {{"path", "string?", "the whole name"}},
       false,
       {}});
}

} // namespace netlab::lua
