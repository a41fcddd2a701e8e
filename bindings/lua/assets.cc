#include <nlohmann/json.hpp>

#include "api.h"
#include "bindings.h"
#include "handle.h"
#include "host.h"
#include "netlab/files.h"
#include "sources.h"

// netlab.assets.handler: files that a recipe makes when they are asked for, over TFTP and HTTP alike.

namespace netlab::lua {

namespace {

// What a handler returned: text, { file = … }, { text = …, content_type = … }, nil, or nil and why.
result<asset> read_asset(lua_State* L, int first, const std::string& folder) {
  asset out;
  auto text = [&](std::string_view bytes) {
    out.content = std::make_shared<const std::string>(bytes);
    out.content_type = "text/plain; charset=utf-8";
  };
  if (lua_isnil(L, first)) {
    if (lua_isnil(L, first + 1)) return fail(errc::not_found, "the recipe has no such file");
    return fail(errc::refused, error_text(L, first + 1));
  }
  if (lua_type(L, first) == LUA_TSTRING) {
    text(text_at(L, first));
    return out;
  }
  auto wrong = [&](const std::string& got) {
    return fail(errc::io,
                "the recipe's handler must return text, { text = … }, { file = … } or nil, got " + got);
  };
  if (!lua_istable(L, first)) return wrong(describe_value(L, first));
  bool has_text = false, has_file = false;
  lua_pushnil(L);
  while (lua_next(L, first) != 0) {
    std::string key(lua_type(L, -2) == LUA_TSTRING ? text_at(L, -2) : std::string_view("?"));
    if (lua_type(L, -1) != LUA_TSTRING) return wrong(key + " = " + describe_value(L, -1));
    if (key == "text") {
      has_text = true;
      out.content = std::make_shared<const std::string>(text_at(L, -1));
    } else if (key == "file") {
      has_file = true;
      out.content = asset::file_path{join_path(folder, text_at(L, -1))};
    } else if (key != "content_type") {
      return wrong("a table with \"" + key + "\"");
    }
    lua_pop(L, 1);
  }
  if (has_text == has_file)
    return wrong(has_text ? "both text and file" : "a table with neither text nor file");
  if (has_text) out.content_type = "text/plain; charset=utf-8";
  lua_getfield(L, first, "content_type");
  if (lua_type(L, -1) == LUA_TSTRING) out.content_type = text_at(L, -1);
  return out;
}

// Owned by the graph; asked on the control loop. A request that waits for its handler is answered when the
// handler's task ends, its deadline passes or the host goes, whichever comes first.
class handler_object final : public object, public served_source, public asset_source {
public:
  handler_object(host& h, shared_reference fn, duration limit)
      : host_(h), fn_(std::move(fn)), limit_(limit) {}

  bool fits(std::string_view kind) const override { return kind == "asset.source"; }
  asset_source* source() override { return this; }

  void open(const asset_request& r, asset_reply_fn reply) override {
    if (host_.now() == phase::stop) return reply(fail(errc::closed, "netlab stops"));
    lua_State* L = host_.machine().main();
    stack_guard guard(L);
    fn_->push(L);
    push(L, json{{"protocol", r.protocol == asset_protocol::tftp ? "tftp" : "http"},
                 {"path", r.path},
                 {"query", r.query},
                 {"client", r.client.address.to_string()},
                 {"server", r.server.to_string()},
                 {"head", r.head},
                 {"secure", r.secure},
                 {"user_agent", r.user_agent}});
    auto t = host_.tasks().spawn(L, 1, {"assets.handler " + name(), where(), nullptr, false, {}, true});
    struct pending {
      asset_reply_fn reply;
      timer deadline;
    };
    auto open = std::make_shared<pending>();
    open->reply = std::move(reply);
    auto answer = [open](result<asset> what) {
      open->deadline.cancel();
      if (auto fn = std::exchange(open->reply, nullptr)) fn(std::move(what));
    };
    open->deadline =
        host_.world().scheduler.after(limit_, [this, t, late = std::weak_ptr(open), path = r.path] {
          auto still = late.lock();
          if (!still || !still->reply) return;
          std::exchange(still->reply,
                        nullptr)(fail(errc::timeout, path + ": the recipe's handler did not answer in time"));
          host_.tasks().cancel(t);
        });
    host_.tasks().when_finished(t, [this, t, answer, path = r.path] {
      const auto& outcome = t->outcome();
      if (!outcome.ok)
        return answer(fail(errc::io, path + ": the recipe's handler failed, as its own log line tells"));
      lua_State* S = host_.machine().main();
      stack_guard inner(S);
      outcome.values->push(S);
      int table = lua_gettop(S);
      lua_rawgeti(S, table, 1);
      lua_rawgeti(S, table, 2);
      answer(read_asset(S, table + 1, host_.recipe_folder()));
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
