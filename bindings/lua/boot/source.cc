#include "boot/source.h"

#include <nlohmann/json.hpp>

#include "boot/asset_function.h"
#include "boot/machine_data.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

constexpr duration usual_limit = std::chrono::seconds(30);

// The stages that a source may name: what a machine fetches after its address.
std::optional<boot_stage> stage_of(std::string_view name) {
  for (auto stage : {boot_stage::tftp, boot_stage::http, boot_stage::script, boot_stage::kernel,
                     boot_stage::initrd, boot_stage::uki, boot_stage::config})
    if (to_string(stage) == name) return stage;
  return std::nullopt;
}

void push_source_request(lua_State* L, const boot::source_request& r) {
  auto out = asset_request_data(r.asked);
  out["raw_query"] = out["query"];
  out["query"] = r.query;
  out["boot_url"] = r.boot_url;
  out["node"] = machine_data(r.facts, r.node.address);
  push(L, out);
}

// netlab.boot.source. Owned by the graph, control loop only.
class source_object final : public object, public source_function_handle {
public:
  source_object(shared_reference fn, duration limit) : fn_(std::move(fn)), limit_(limit) {}
  source_function asked() const override { return {"source " + name(), fn_, nullptr, where(), limit_}; }

private:
  shared_reference fn_;
  duration limit_;
};

const schema& source_schema() {
  static const schema s = asset_function_schema("boot.source");
  return s;
}

int source(call& c) {
  auto given = take_asset_function(c, source_schema(), "the function");
  auto made = std::make_shared<source_object>(std::move(given.fn), given.limit);
  if (auto ok = c.owner.graph().add(made, "boot.source", where(c.L), given.name, json::object()); !ok)
    c.refuse(ok.error().message);
  push_handle(c.L, made);
  return 1;
}

} // namespace

boot::source make_lua_source(host& h, source_function asked) {
  boot::source out;
  out.name = asked.name;
  if (asked.limit == duration{}) asked.limit = usual_limit;
  out.answer = [&h, asked = std::move(asked)](const boot::source_request& request,
                                              boot::source_reply_fn reply) {
    auto push_arguments = [&](lua_State* L) {
      if (asked.self) asked.self->push(L);
      push_source_request(L, request);
      return asked.self ? 2 : 1;
    };
    ask_for_asset(h, asked.fn, push_arguments, {"boot " + asked.name, asked.where, nullptr, true, {}, false},
                  asked.limit, true, [reply = std::move(reply)](result<made_asset> made) {
                    if (!made) return reply(tl::unexpected(made.error()));
                    boot::source_answer answer;
                    answer.content = std::move(made->content);
                    answer.shown = std::move(made->shown);
                    if (!made->stage.empty() && !(answer.stage = stage_of(made->stage)))
                      return reply(
                          fail(errc::io, "there is no stage \"" + made->stage +
                                             "\": script, config, kernel, initrd, uki, http or tftp"));
                    reply(std::move(answer));
                  });
  };
  return out;
}

void bind_boot_source(api& a) {
  a.kind({"boot.source",
          "What machines boot by a function of the recipe, for boot.service's `sources`.",
          {},
          {}});
  a.function(
      {"boot.source",
       source,
       "What machines boot, decided request by request: an element of boot.service's `sources`. "
       "function(request) may wait; it returns text, { text | file, content_type, stage, shown }, nil when "
       "the "
       "next source or the recipe's own profiles shall answer, or nil and why (404; the log and the node's "
       "timeline say why). stage is what the answer is to the boot (script, config, kernel, initrd, uki), "
       "shown "
       "its name in the timeline. request is { path, query = { … }, raw_query, node (the machine, as a "
       "group's "
       "match function gets it), boot_url, protocol, client, server, head, secure, user_agent }.",
       {{"fn", "function", ""}, {"options?", "table", ""}},
       {{"", "boot.source", ""}},
       false,
       source_schema()});
}

} // namespace netlab::lua
