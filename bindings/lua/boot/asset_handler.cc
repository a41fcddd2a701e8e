#include <nlohmann/json.hpp>

#include "boot/asset_function.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "http/sources.h"

// netlab.assets.handler: files that a recipe makes when they are asked for, over TFTP and HTTP alike.

namespace netlab::lua {

namespace {

// Owned by the graph; asked on the control loop. A request that waits for its handler is answered when the
// handler's task ends, its deadline passes or the host goes, whichever comes first.
class handler_object final : public object, public served_source, public asset_source {
public:
  handler_object(host& h, shared_reference fn, duration limit)
      : host_(h), fn_(std::move(fn)), limit_(limit) {}

  bool fits(std::string_view kind) const override { return kind == "asset.source"; }
  asset_source* source() override { return this; }

  void open(const asset_request& r, asset_reply_fn reply) override {
    auto push_arguments = [&r](lua_State* L) {
      push(L, asset_request_data(r));
      return 1;
    };
    ask_for_asset(host_, fn_, push_arguments, {"assets.handler " + name(), where(), nullptr, false, {}, true},
                  limit_, false, [path = r.path, reply = std::move(reply)](result<made_asset> made) {
                    if (made) return reply(std::move(made->content));
                    auto e = made.error();
                    if (e.code != errc::not_found) e.message = path + ": " + e.message;
                    reply(tl::unexpected(std::move(e)));
                  });
  }

private:
  host& host_;
  shared_reference fn_;
  duration limit_;
};

const schema& handler_schema() {
  static const schema s = asset_function_schema("assets.handler");
  return s;
}

int handler(call& c) {
  auto given = take_asset_function(c, handler_schema(), "the handler");
  auto made = std::make_shared<handler_object>(c.owner, std::move(given.fn), given.limit);
  if (auto ok = c.owner.graph().add(made, "assets.handler", where(c.L), given.name, json::object()); !ok)
    c.refuse(ok.error().message);
  push_handle(c.L, made);
  return 1;
}

} // namespace

void bind_assets(api& a) {
  a.kind({"assets.handler", "Files made on request, for `serve` of HTTP and TFTP servers.", {}, {}});
  a.function(
      {"assets.handler",
       handler,
       "Files that the recipe makes when they are asked for: an entry of `serve` of tftp.server and "
       "http.server. function(request) may wait; it returns text, { text, content_type }, { file = "
       "\"beside the recipe\" }, nil when there is no such file (the next of `serve` is asked), or nil "
       "and why. request is { protocol = \"tftp\" or \"http\", path, query, client, server, head, "
       "secure, user_agent }.",
       {{"handler", "function", ""}, {"options?", "table", ""}},
       {{"", "assets.handler", ""}},
       false,
       handler_schema()});
}

} // namespace netlab::lua
