#include "dns/hook.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/host.h"
#include "host/schema.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr int most_waiting = 256; // of one server
constexpr std::uint32_t default_ttl = 60;

std::optional<std::uint16_t> code_of(std::string_view word) {
  if (word == "refuse" || word == "refused") return dns::rcode::refused;
  if (word == "nxdomain") return dns::rcode::name_error;
  if (word == "nodata") return dns::rcode::no_error;
  if (word == "servfail") return dns::rcode::server_failure;
  return std::nullopt;
}

// The types that a handler may answer with, as in `records`.
constexpr std::pair<const char*, std::uint16_t> answer_types[] = {
    {"a", dns::rtype::a},     {"aaaa", dns::rtype::aaaa}, {"cname", dns::rtype::cname},
    {"txt", dns::rtype::txt}, {"srv", dns::rtype::srv},   {"mx", dns::rtype::mx},
    {"ptr", dns::rtype::ptr}, {"caa", dns::rtype::caa},   {"ns", dns::rtype::ns}};

result<void> add_records(dns::hook_answer& out, const dns::hook_question& q, std::uint16_t type,
                         const json& texts, std::uint32_t ttl, const dns::name& domain) {
  auto add = [&](const json& each) -> result<void> {
    if (!each.is_string())
      return fail(errc::invalid, "a record is a string, got " + printable(each.dump().substr(0, 80)));
    auto data = dns::parse_rdata(type, each.get<std::string>(), domain);
    if (!data) return tl::unexpected(data.error());
    if (type == q.type || type == dns::rtype::cname)
      out.records.push_back({q.qname, type, dns::class_in, ttl, std::move(*data)});
    return {};
  };
  if (!texts.is_array()) return add(texts);
  for (const auto& each : texts)
    if (auto added = add(each); !added) return added;
  return {};
}

result<void> add_address(dns::hook_answer& out, const dns::hook_question& q, const std::string& text,
                         std::uint32_t ttl) {
  auto address = ip_address::parse(text);
  if (!address) return tl::unexpected(address.error());
  return add_records(out, q, address->is_v4() ? dns::rtype::a : dns::rtype::aaaa, text, ttl, {});
}

} // namespace

result<dns::hook_answer> read_hook_answer(lua_State* L, int index, const dns::hook_question& q,
                                          const dns::name& domain, duration& delay) {
  dns::hook_answer out;
  auto data = lua::to_json(L, index);
  if (!data) return tl::unexpected(data.error());
  const auto& v = *data;
  if (v.is_null() || (v.is_boolean() && v.get<bool>())) return out;
  using kind = dns::hook_answer::kind;
  out.what = kind::answer;
  if (v.is_boolean()) {
    out.code = dns::rcode::refused;
    return out;
  }
  if (v.is_string()) {
    auto word = v.get<std::string>();
    if (word == "pass") return dns::hook_answer{};
    if (auto code = code_of(word)) {
      out.code = *code;
      return out;
    }
    if (auto added = add_address(out, q, word, default_ttl); !added)
      return fail(errc::invalid, "\"" + printable(word) +
                                     "\" is no answer: expected an address, \"pass\", \"refuse\", "
                                     "\"nxdomain\", \"nodata\" or a table");
    return out;
  }
  if (v.is_array()) {
    for (const auto& each : v) {
      auto added = each.is_string() ? add_address(out, q, each.get<std::string>(), default_ttl)
                                    : fail(errc::invalid, "a list of answers holds addresses");
      if (!added) return tl::unexpected(added.error());
    }
    return out;
  }
  if (!v.is_object()) return fail(errc::invalid, "a number is no answer");
  std::uint32_t ttl = default_ttl;
  bool answers = false;
  auto time = [&](const char* key) -> result<duration> {
    if (!v[key].is_string()) return fail(errc::invalid, std::string(key) + " is a duration such as \"1m\"");
    return parse_duration(v[key].get<std::string>());
  };
  if (v.contains("delay")) {
    auto given = time("delay");
    if (!given) return tl::unexpected(given.error());
    delay = *given;
  }
  if (v.contains("ttl")) {
    auto given = time("ttl");
    if (!given) return tl::unexpected(given.error());
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*given).count();
    ttl = static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 86400));
  }
  for (const auto& [key, item] : v.items()) {
    if (key == "delay" || key == "ttl") continue;
    if (key == "rewrite") {
      auto target = item.is_string() ? dns::name::parse(item.get<std::string>())
                                     : fail(errc::invalid, "rewrite is a name");
      if (!target) return tl::unexpected(target.error());
      if (target->labels() == 1)
        if (auto whole = target->under(domain)) target = *whole;
      out.what = kind::rewrite;
      out.target = target->lower();
      answers = true;
      continue;
    }
    if (key == "rcode") {
      auto code = item.is_string() ? code_of(item.get<std::string>()) : std::nullopt;
      if (!code) return fail(errc::invalid, "rcode is \"refused\", \"nxdomain\", \"nodata\" or \"servfail\"");
      out.code = *code;
      answers = true;
      continue;
    }
    bool known = false;
    for (const auto& [word, type] : answer_types)
      if (key == word) {
        known = true;
        answers = true;
        if (auto added = add_records(out, q, type, item, ttl, domain); !added)
          return tl::unexpected(added.error());
      }
    if (!known) return fail(errc::invalid, "\"" + printable(key) + "\" is no part of an answer");
  }
  if (!answers) out.what = kind::pass; // a delay alone
  return out;
}

dns_lua_hook::dns_lua_hook(host& h, shared_reference fn, std::string name, dns::name domain, duration limit)
    : host_(h), fn_(std::move(fn)), name_(std::move(name)), domain_(domain), limit_(limit) {}

bool dns_lua_hook::ask(const dns::hook_question& question,
                       std::function<void(result<dns::hook_answer>)> reply) {
  if (waiting_->fetch_add(1) >= most_waiting) {
    waiting_->fetch_sub(1);
    return false;
  }
  // The answer may come twice (late, or at the end of the run): the desk takes the first.
  auto once = [count = waiting_, reply = std::move(reply),
               used = std::make_shared<std::atomic<bool>>(false)](result<dns::hook_answer> answer) {
    if (used->exchange(true)) return;
    count->fetch_sub(1);
    reply(std::move(answer));
  };
  host_.world().scheduler.post([weak = std::weak_ptr(self_), question, once] {
    if (auto alive = weak.lock())
      (*alive)->begin(question, once);
    else
      once(fail(errc::closed, "netlab stops"));
  });
  return true;
}

void dns_lua_hook::begin(const dns::hook_question& q,
                         const std::function<void(result<dns::hook_answer>)>& reply) {
  if (host_.now() == phase::stop) return reply(fail(errc::closed, "netlab stops"));
  lua_State* L = host_.machine().main();
  stack_guard guard(L);
  fn_->push(L);
  json told = {{"name", q.qname.to_string()},
               {"type", dns::type_name(q.type)},
               {"client", q.client.to_string()},
               {"transport", q.stream ? "tcp" : "udp"}};
  node_identity who;
  who.address = q.client;
  if (const auto* known = host_.nodes().find(who); known && !known->name.empty()) told["node"] = known->name;
  push(L, told);
  auto t = host_.tasks().spawn(L, 1, {name_, {}, nullptr, true, {}, false});
  auto deadline = std::make_shared<timer>(host_.world().scheduler.after(limit_, [&h = host_, t, reply] {
    reply(fail(errc::timeout, "the handler did not answer in time"));
    h.tasks().cancel(t);
  }));
  host_.tasks().when_finished(t, [this, weak = std::weak_ptr(self_), t, q, reply, deadline] {
    deadline->cancel();
    if (!weak.lock()) return reply(fail(errc::closed, "netlab stops"));
    const auto& outcome = t->outcome();
    if (!outcome.ok)
      return reply(fail(errc::io, outcome.failure.message +
                                      (outcome.frames.empty() ? "" : " (" + outcome.frames + ")")));
    lua_State* S = host_.machine().main();
    stack_guard inner(S);
    duration delay{};
    auto answer = read_hook_answer(S, t->push_values(S, 1), q, domain_, delay);
    if (!answer || delay <= duration{}) return reply(std::move(answer));
    auto wait = std::make_shared<timer>();
    *wait =
        host_.world().scheduler.after(std::min(delay, limit_), [wait, reply, answer = std::move(*answer)] {
          reply(answer);
          wait->cancel(); // it holds this function, and this it
        });
  });
}

} // namespace netlab::lua
