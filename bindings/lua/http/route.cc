#include "http/route.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

http_reply read_reply(lua_State* L, int first) {
  http_reply out;
  auto refuse = [&](const std::string& why) {
    out.status = 500;
    out.body = "the recipe's handler " + why + "\n";
  };
  if (lua_type(L, first) == LUA_TSTRING) {
    out.body = std::string(text_at(L, first));
  } else if (lua_type(L, first) == LUA_TNUMBER) {
    out.status = static_cast<int>(lua_tointeger(L, first));
    out.body = std::string(lua_type(L, first + 1) == LUA_TSTRING ? text_at(L, first + 1) : "");
  } else if (lua_istable(L, first)) {
    auto data = to_json(L, first);
    if (!data || !data->is_object()) {
      refuse("returned what is no reply");
      return out;
    }
    if (data->contains("status") && (*data)["status"].is_number())
      out.status = static_cast<int>((*data)["status"].get<double>());
    if (data->contains("content_type") && (*data)["content_type"].is_string())
      out.content_type = (*data)["content_type"];
    if (data->contains("headers") && (*data)["headers"].is_object())
      for (const auto& [key, value] : (*data)["headers"].items())
        if (value.is_string()) out.headers.emplace_back(key, value.get<std::string>());
    if (data->contains("json")) {
      out.content_type = "application/json";
      out.body = (*data)["json"].dump();
    } else if (data->contains("body") && (*data)["body"].is_string()) {
      out.body = (*data)["body"].get<std::string>();
    } else {
      out.body = std::string();
    }
  } else {
    refuse("returned no reply");
  }
  if (out.status < 200 || out.status > 599) refuse("returned status " + std::to_string(out.status));
  return out;
}

void push_call(lua_State* L, const http_call& c) {
  json headers = json::object();
  for (const auto& [name, value] : c.headers) headers[name] = value;
  push(L, json{{"method", c.method},
               {"path", c.path},
               {"query", c.query},
               {"headers", std::move(headers)},
               {"client", c.client.address.to_string()},
               {"secure", c.secure}});
  push(L, std::string_view(c.body));
  lua_setfield(L, -2, "body");
}

} // namespace

void ask_recipe(host& h, const shared_reference& handler, const std::string& name,
                const std::shared_ptr<borrowed_call>& asked) {
  lua_State* L = h.machine().main();
  stack_guard guard(L);
  handler->push(L);
  push_call(L, *asked->call);
  auto t = h.tasks().spawn(L, 1, {name, {}, nullptr, false, {}, true});
  h.tasks().when_finished(t, [&h, t, asked] {
    const auto& outcome = t->outcome();
    if (!outcome.ok)
      return asked->reply({500,
                           "text/plain; charset=utf-8",
                           {},
                           std::string("the recipe's handler failed; see netlab's log\n")});
    lua_State* S = h.machine().main();
    stack_guard inner(S);
    asked->reply(read_reply(S, t->push_values(S, 2)));
  });
}

} // namespace netlab::lua
