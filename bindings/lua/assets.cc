#include <nlohmann/json.hpp>

#include "api.h"
#include "asset_function.h"
#include "bindings.h"
#include "handle.h"
#include "host.h"
#include "sources.h"

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
  static const schema s = [] {
    schema out;
    out.name = "assets.handler";
    out.options = {
        optional("name", type::string(), "how messages call it"),
        with_default("timeout", type::duration(), "30s", "for one answer; the task is cancelled then"),
    };
    return out;
  }();
  return s;
}

int handler(call& c) {
  c.need_function(1, "the handler");
  if (!c.given(2)) {
    lua_settop(c.L, 1);
    lua_newtable(c.L);
  }
  auto o = c.table(2, handler_schema());
  lua_pushvalue(c.L, 1);
  auto fn = std::make_shared<const reference>(c.L);
  auto made = std::make_shared<handler_object>(c.owner, std::move(fn), o.get<duration>("timeout"));
  if (auto ok = c.owner.graph().add(made, "assets.handler", where(c.L),
                                    o.maybe<std::string>("name").value_or(""), json::object());
      !ok)
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
