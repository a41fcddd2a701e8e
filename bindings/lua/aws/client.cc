#include "netlab/aws.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/text.h"

// netlab.aws.client: AWS' APIs as functions of a recipe.

namespace netlab::lua {

namespace {

// client.ec2:describe_vpcs { … } → client:call("ec2", "describe_vpcs", { … }). In Lua, so that it may wait.
constexpr std::string_view service_chunk = R"(local client, service = ...
return setmetatable({}, {
  __index = function(self, action)
    if action == "wait" then
      local waiters = require "netlab.waiters"
      return function(_, state, input, options)
        return waiters.wait(self, service, state, input, options)
      end
    end
    local function send(_, input, options)
      return client:call(service, action, input, options)
    end
    rawset(self, action, send)
    return send
  end,
  __newindex = function() error("an AWS service cannot be changed", 2) end,
  __tostring = function() return "aws service " .. service end,
}))";

class aws_client final : public object {
public:
  explicit aws_client(host& h) : host_(h) {}
  aws::client_options settings;
  shared_reference keys_fn;
  std::weak_ptr<object> self;

  std::string default_name() const override {
    return settings.profile.empty() ? "aws" : "aws-" + settings.profile;
  }
  json status() const override {
    json out = {{"requests", client_ ? client_->requests() : 0},
                {"repeats", client_ ? client_->repeats() : 0}};
    if (!settings.profile.empty()) out["profile"] = settings.profile;
    return out;
  }

  // Made at the first call: a recipe's top level only declares.
  result<aws::client*> get() {
    if (client_) return client_.get();
    if (keys_fn) {
      aws::credentials keys;
      auto asked = host_.ask(keys_fn, name() + " credentials", {}, [&](lua_State* L, int first, int count) {
        if (count < 1 || !lua_istable(L, first)) return;
        auto text = [&](const char* key) {
          lua_getfield(L, first, key);
          std::string out(text_at(L, -1));
          lua_pop(L, 1);
          return out;
        };
        keys.access_key = text("access_key");
        keys.secret_key = text("secret_key");
        keys.session_token = text("session_token");
      });
      if (!asked) return tl::unexpected(asked.error());
      if (keys.access_key.empty() || keys.secret_key.empty())
        return fail(errc::invalid, "credentials of aws.client \"" + name() +
                                       "\" must return { access_key = …, secret_key = … }");
      keys.source = "the recipe";
      keys.renew = "have the recipe's credentials function give new ones";
      settings.keys = std::move(keys);
    }
    client_ = aws::make_client(host_.world(), settings);
    return client_.get();
  }

  bool push_member(lua_State* L, std::string_view key) override {
    if (!aws::check_service(key)) return false;
    auto& machine = host_.machine();
    lua_State* M = machine.main();
    shared_reference bound;
    {
      stack_guard guard(M);
      if (!machine.load(service_chunk, std::string(internal_prefix) + "aws")) return false;
      auto me = self.lock();
      if (!me) return false;
      push_handle(M, me);
      push(M, key);
      if (!machine.call(M, 2, 1)) return false;
      bound = std::make_shared<const reference>(M);
    }
    bound->push(L);
    return true;
  }

private:
  host& host_;
  std::unique_ptr<aws::client> client_;
};

schema client_schema() {
  schema s;
  s.name = "aws.client";
  s.help = "Access to AWS: every action of its services as a function, tables in and out.";
  s.options = {
      optional("region", type::string(), "by default AWS_REGION, or that of the profile"),
      optional("profile", type::string(),
               "a profile of ~/.aws/config and ~/.aws/credentials; by default AWS_PROFILE, and keys in the "
               "environment go first"),
      optional("endpoint", type::url(),
               "the address of every service; by default AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, or "
               "AWS' own"),
      optional("mfa_code", type::string(), "for a profile with role_arn and mfa_serial"),
      optional("credentials", type::function("function()"),
               "returns { access_key, secret_key, session_token }; asked once, at the first call"),
      with_default("attempts", type::integer(1, 50), 10, "of one request, the first included"),
      with_default("backoff", type::duration(), "100ms",
                   "the first pause before a repeat is up to this; later ones double"),
      with_default("timeout", type::duration(), "30s", "of one attempt"),
      optional("ca_file", type::path(), "certificates to trust instead of the system's"),
  };
  s.example = "local aws = netlab.aws.client { region = \"eu-west-1\", profile = \"lab\" }\n"
              "netlab.main(function()\n"
              "  local got, err = aws.ec2:describe_vpcs { filters = { [\"tag:netlab:lab\"] = \"lab\" } }\n"
              "  if not got then return nil, err end\n"
              "  for _, vpc in ipairs(got.vpcs) do print(vpc.vpc_id, vpc.cidr_block) end\n"
              "end)";
  return s;
}

result<object_ptr> create_client(host& h, const options& o) {
  auto out = std::make_shared<aws_client>(h);
  out->self = out;
  auto& s = out->settings;
  s.region = o.maybe<std::string>("region").value_or("");
  s.profile = o.maybe<std::string>("profile").value_or("");
  s.endpoint = o.maybe<std::string>("endpoint").value_or("");
  s.mfa_code = o.maybe<std::string>("mfa_code").value_or("");
  s.attempts = static_cast<int>(o.get<std::int64_t>("attempts"));
  s.backoff = o.get<duration>("backoff");
  s.timeout = o.get<duration>("timeout");
  if (auto ca = o.maybe<file_path>("ca_file")) s.ca_file = ca->path;
  if (auto fn = o.maybe<shared_reference>("credentials")) out->keys_fn = *fn;
  s.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  return out;
}

const schema& call_schema() {
  static const schema s = [] {
    schema out;
    out.name = "aws.client:call";
    out.options = {
        optional("region", type::string(), "instead of the client's"),
        with_default("pages", type::integer(1, 100000), 1000,
                     "fetched and joined at most; the answer then holds the token of the next"),
        optional("timeout", type::duration(), "of one attempt"),
    };
    return out;
  }();
  return s;
}

int push_aws_failure(lua_State* L, const aws::failure& f) {
  lua_pushnil(L);
  push_error(L, f.why);
  if (!f.code.empty()) {
    push(L, f.code);
    lua_setfield(L, -2, "aws");
  }
  if (f.status) {
    lua_pushinteger(L, f.status);
    lua_setfield(L, -2, "status");
  }
  if (!f.request_id.empty()) {
    push(L, f.request_id);
    lua_setfield(L, -2, "request_id");
  }
  lua_pushboolean(L, f.ambiguous);
  lua_setfield(L, -2, "ambiguous");
  return 2;
}

int client_call(call& c) {
  auto& self = c.self<aws_client>();
  aws::call what;
  what.service = c.text(2, "the service");
  what.action = c.text(3, "the action");
  if (auto known = aws::check_service(what.service); !known) c.refuse(known.error().message);
  if (c.given(4)) {
    c.need_table(4, "the input");
    auto data = to_json(c.L, 4);
    if (!data) c.refuse(what.service + "." + what.action + ": " + data.error().message);
    what.input = std::move(*data);
  }
  if (c.given(5)) {
    auto o = c.table(5, call_schema());
    what.region = o.maybe<std::string>("region").value_or("");
    what.pages = static_cast<int>(o.get<std::int64_t>("pages"));
    what.timeout = o.maybe<duration>("timeout").value_or(duration::zero());
  }
  c.need_running();
  auto client = self.get();
  if (!client) return c.fail(client.error());
  auto title = "aws " + what.service + "." + what.action;
  return c.wait(title, std::nullopt, [&](waker w) -> std::shared_ptr<void> {
    return (*client)->send(std::move(what), [w](aws::outcome got) {
      w([got = std::move(got)](lua_State* L) {
        if (!got) return push_aws_failure(L, got.error());
        push(L, *got);
        return 1;
      });
    });
  });
}

int client_region(call& c) {
  auto& self = c.self<aws_client>();
  auto client = self.get();
  if (!client) return c.fail(client.error());
  return c.give((*client)->region());
}

} // namespace

void bind_aws(api& a) {
  a.constructor(client_schema(), "aws.client", create_client);
  std::vector<described> results = {
      {"answer", "table?", "the answer's members in snake_case"},
      {"err?", "netlab.error",
       "with aws (\"DependencyViolation\"), status, request_id, and ambiguous: it may "
       "have been carried out"}};
  a.kind(
      {"aws.client",
       "Access to AWS. Its services are fields (" + aws::service_list() +
           "), their actions functions in snake_case: client.ec2:describe_vpcs({ … }, { region = \"…\" "
           "}). Pages "
           "are joined, throttled requests repeated. client.ec2:wait(\"instance_running\", { instance_ids = "
           "{ … } }, { deadline = \"5m\" }) waits for a state.",
       {
           {"call",
            client_call,
            "Sends an action by name: client:call(\"ec2\", \"describe_vpcs\", { … }).",
            {{"service", "string", ""},
             {"action", "string", "in snake_case"},
             {"input?", "table", "members in snake_case; filters and tags may be tables of names"},
             {"options?", "table", ""}},
            results,
            true,
            call_schema()},
           {"region",
            client_region,
            "The region that calls go to unless they name another.",
            {},
            {{"region", "string?", ""}, {"err?", "netlab.error", ""}},
            false,
            {}},
       },
       {}});
}

} // namespace netlab::lua
