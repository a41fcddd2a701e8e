#include "boot/asset_function.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "host/api.h"
#include "host/host.h"
#include "netlab/files.h"
#include "netlab/http_server.h"

namespace netlab::lua {

namespace {

result<made_asset> read_asset(lua_State* L, int first, const std::string& folder, bool staged) {
  made_asset out;
  auto& content = out.content;
  if (lua_isnil(L, first)) {
    if (lua_isnil(L, first + 1)) return fail(errc::not_found, "the recipe has no such file");
    return fail(errc::refused, error_text(L, first + 1));
  }
  if (lua_type(L, first) == LUA_TSTRING) {
    content.content = std::make_shared<const std::string>(text_at(L, first));
    content.content_type = "text/plain; charset=utf-8";
    return out;
  }
  auto wrong = [&](const std::string& got) {
    return fail(errc::io,
                "the recipe's handler must return text, { text = … }, { file = … } or nil, got " + got);
  };
  if (!lua_istable(L, first)) return wrong(describe_value(L, first));
  bool has_text = false, has_file = false;
  std::string content_type;
  lua_pushnil(L);
  while (lua_next(L, first) != 0) {
    std::string key(lua_type(L, -2) == LUA_TSTRING ? text_at(L, -2) : std::string_view("?"));
    if (lua_type(L, -1) != LUA_TSTRING) return wrong(key + " = " + describe_value(L, -1));
    if (key == "text") {
      has_text = true;
      content.content = std::make_shared<const std::string>(text_at(L, -1));
      content.content_type = "text/plain; charset=utf-8";
    } else if (key == "file") {
      has_file = true;
      auto path = join_path(folder, text_at(L, -1));
      content.content_type = content_type_of(path);
      content.content = asset::file_path{std::move(path)};
    } else if (key == "content_type") {
      content_type = text_at(L, -1);
    } else if (staged && key == "stage") {
      out.stage = text_at(L, -1);
    } else if (staged && key == "shown") {
      out.shown = text_at(L, -1);
    } else {
      return wrong("a table with \"" + key + "\"");
    }
    lua_pop(L, 1);
  }
  if (has_text == has_file)
    return wrong(has_text ? "both text and file" : "a table with neither text nor file");
  if (!content_type.empty()) content.content_type = std::move(content_type);
  return out;
}

} // namespace

json asset_request_data(const asset_request& r) {
  return {{"protocol", r.protocol == asset_protocol::tftp ? "tftp" : "http"},
          {"path", r.path},
          {"query", r.query},
          {"client", r.client.address.to_string()},
          {"server", r.server.to_string()},
          {"head", r.head},
          {"secure", r.secure},
          {"user_agent", r.user_agent}};
}

schema asset_function_schema(const char* constructor) {
  schema out;
  out.name = constructor;
  out.options = {
      optional("name", type::string(), "how messages call it"),
      with_default("timeout", type::duration(), "30s", "for one answer; the task is cancelled then"),
  };
  return out;
}

asset_function_arguments take_asset_function(call& c, const schema& s, const char* what) {
  c.need_function(1, what);
  if (!c.given(2)) {
    lua_settop(c.L, 1);
    lua_newtable(c.L);
  }
  auto o = c.table(2, s);
  lua_pushvalue(c.L, 1);
  return {std::make_shared<const reference>(c.L), o.maybe<std::string>("name").value_or(""),
          o.get<duration>("timeout")};
}

void ask_for_asset(host& h, const shared_reference& fn, const std::function<int(lua_State*)>& push,
                   task_options how, duration limit, bool staged,
                   std::function<void(result<made_asset>)> reply) {
  if (h.now() == phase::stop) return reply(fail(errc::closed, "netlab stops"));
  struct pending {
    std::function<void(result<made_asset>)> reply;
    timer deadline;
    void answer(result<made_asset> what) {
      deadline.cancel();
      if (auto fn = std::exchange(reply, nullptr)) fn(std::move(what));
    }
  };
  bool quiet = how.quiet;
  lua_State* L = h.machine().main();
  stack_guard guard(L);
  fn->push(L);
  int arguments = push(L);
  auto t = h.tasks().spawn(L, arguments, std::move(how));
  auto open = std::make_shared<pending>();
  open->reply = std::move(reply);
  open->deadline = h.world().scheduler.after(limit, [&h, t, late = std::weak_ptr(open)] {
    auto still = late.lock();
    if (!still || !still->reply) return;
    still->answer(fail(errc::timeout, "the recipe's handler did not answer in time"));
    h.tasks().cancel(t);
  });
  h.tasks().when_finished(t, [&h, t, open, quiet, staged] {
    const auto& outcome = t->outcome();
    if (!outcome.ok && outcome.failure.code == errc::cancelled)
      return open->answer(fail(errc::closed, "netlab stops"));
    if (!outcome.ok)
      return open->answer(fail(errc::io, quiet ? outcome.failure.message
                                               : "the recipe's handler failed, as its own log line tells"));
    lua_State* S = h.machine().main();
    stack_guard inner(S);
    open->answer(read_asset(S, t->push_values(S, 2), h.recipe_folder(), staged));
  });
}

} // namespace netlab::lua
