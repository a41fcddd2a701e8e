#include <algorithm>
#include <nlohmann/json.hpp>

#include "dns/operated.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/dns_client.h"
#include "netlab/files.h"
#include "netlab/text.h"

// Questions of the recipe itself: netlab.dns.resolve, and netlab.dns.probe, which tells every step.

namespace netlab::lua {

namespace {

option server_option() {
  return optional(
      "server", type::one_of({type::string(), type::list(type::string())}),
      "who is asked, as in dns.server's `upstreams`; unless given, the recipe's own DNS server, and "
      "without one the system's, which also find the address of a server that is named");
}

const schema& resolve_schema() {
  static const schema s = [] {
    schema out;
    out.name = "dns.resolve";
    out.options = {
        server_option(),
        optional("ca_file", type::path(), "certificates that servers may show, instead of the system's"),
        with_default("timeout", type::duration(), "5s", "for everything"),
    };
    return out;
  }();
  return s;
}

const schema& probe_schema() {
  static const schema s = [] {
    schema out;
    out.name = "dns.probe";
    out.options = {
        required("name", type::string(), "the name"),
        with_default("type", type::string(), "A", "the record type"),
        server_option(),
        optional("ca_file", type::path(), "certificates that servers may show, instead of the system's"),
        with_default("tcp", type::boolean(), false, "ask plain servers by TCP"),
        with_default("edns", type::boolean(), true, "send an OPT record"),
        with_default("dnssec", type::boolean(), false, "ask for DNSSEC's records (DO)"),
        with_default("recursion", type::boolean(), true, "ask for recursion (RD)"),
        with_default("retry_by_tcp", type::boolean(), true, "ask again by TCP when an answer does not fit"),
        with_default("timeout", type::duration(), "5s", "for everything"),
    };
    return out;
  }();
  return s;
}

double seconds(duration d) { return static_cast<double>(d.count()) / 1e9; }

// The recipe's own server, else what the system asks.
std::vector<dns::upstream> usual_servers(host& h) {
  for (const auto& o : h.graph().objects())
    if (auto* s = dynamic_cast<dns_operated*>(o.get()); s && s->is_running())
      if (auto at = s->own_endpoint()) {
        s->settle();
        dns::upstream u;
        u.address = *at;
        u.text = at->to_string();
        return {u};
      }
  auto text = h.world().files.read("/etc/resolv.conf", 1u << 20);
  return text ? dns::parse_resolv_conf(*text) : std::vector<dns::upstream>{};
}

dns::client_question read_question(call& c, const std::string& name, const std::string& type_word,
                                   const options& o) {
  dns::client_question q;
  auto parsed = dns::name::parse(name);
  if (!parsed) c.refuse(parsed.error().message);
  q.qname = *parsed;
  auto type = dns::parse_type(type_word);
  if (!type) c.refuse("\"" + printable(type_word) + "\" is no record type");
  q.type = *type;
  q.timeout = o.get<duration>("timeout");
  auto texts = o.list<std::string>("server");
  for (const auto& text : texts) {
    auto u = dns::upstream::parse(text);
    if (!u) c.refuse(u.error().message);
    if (!u->host.empty() && q.finders.empty()) q.finders = usual_servers(c.owner);
    u->ca_file = o.maybe<file_path>("ca_file").value_or(file_path{}).path;
    q.servers.push_back(std::move(*u));
  }
  if (texts.empty()) q.servers = usual_servers(c.owner);
  return q;
}

json to_json(const std::vector<dns::record>& records) {
  json out = json::array();
  for (const auto& r : records)
    out.push_back({{"name", r.owner.to_string()},
                   {"type", dns::type_name(r.type)},
                   {"ttl", r.ttl},
                   {"data", dns::rdata_text(r.type, r.data)}});
  return out;
}

int ask(call& c, const char* what, dns::client_question q,
        const std::function<int(lua_State*, const dns::client_report&)>& push_report) {
  auto& world = c.owner.world();
  auto limit = q.timeout + std::chrono::seconds(1);
  return c.wait(std::string(what) + " " + q.qname.to_string(), limit, [&](waker w) -> std::shared_ptr<void> {
    auto begun = dns::client::start(world, std::move(q), [w, push_report](dns::client_report r) {
      auto kept = std::make_shared<dns::client_report>(std::move(r));
      w([kept, push_report](lua_State* L) { return push_report(L, *kept); });
    });
    if (begun) return std::shared_ptr<dns::client>(std::move(*begun));
    world.scheduler.post([w, e = begun.error()] { w.fail(e); });
    return nullptr;
  });
}

int resolve(call& c) {
  auto name = c.text(1, "the name");
  auto type = c.text_or(2, "the record type", "A");
  if (!c.given(3)) {
    lua_settop(c.L, 2);
    lua_newtable(c.L);
  }
  auto o = c.table(3, resolve_schema());
  auto q = read_question(c, name, type, o);
  auto wanted = q.type;
  return ask(c, "dns.resolve", std::move(q), [name, wanted](lua_State* L, const dns::client_report& r) {
    if (r.failure) return push_failure(L, *r.failure);
    const auto& m = *r.reply;
    if (m.rcode == dns::rcode::name_error)
      return push_failure(L, error{errc::not_found, name + " does not exist", "dns.resolve"});
    if (m.rcode != dns::rcode::no_error)
      return push_failure(L, error{errc::refused,
                                   r.server + " answered " + dns::rcode_name(m.rcode) + " for " + name,
                                   "dns.resolve"});
    std::vector<dns::record> of_type;
    for (const auto& each : m.answers)
      if (each.type == wanted || wanted == dns::rtype::any) of_type.push_back(each);
    auto out = to_json(of_type);
    push(L, out);
    return 1;
  });
}

json report_json(const dns::client_report& r) {
  json out = {{"elapsed", seconds(r.took)}};
  json steps = json::array();
  for (const auto& s : r.steps) {
    json step = {{"server", s.server},
                 {"transport", dns::to_string(s.over)},
                 {"at", seconds(s.at)},
                 {"elapsed", seconds(s.took)},
                 {"bytes", s.bytes}};
    if (!s.trouble.empty()) step["trouble"] = s.trouble;
    steps.push_back(std::move(step));
  }
  out["steps"] = std::move(steps);
  if (r.failure) out["failure"] = r.failure->message;
  if (!r.reply) return out;
  const auto& m = *r.reply;
  out["server"] = r.server;
  out["transport"] = dns::to_string(r.over);
  out["rcode"] = dns::rcode_name(m.rcode);
  json flags = json::array();
  for (auto [bit, word] : {std::pair{dns::flag::aa, "aa"},
                           {dns::flag::tc, "tc"},
                           {dns::flag::rd, "rd"},
                           {dns::flag::ra, "ra"},
                           {dns::flag::ad, "ad"},
                           {dns::flag::cd, "cd"}})
    if (m.flags & bit) flags.push_back(word);
  out["flags"] = std::move(flags);
  out["answers"] = to_json(m.answers);
  out["authorities"] = to_json(m.authorities);
  if (m.opt) {
    out["edns"] = {{"udp_size", m.opt->udp_size}, {"dnssec", m.opt->dnssec_ok}};
    for (const auto& each : m.opt->options)
      if (each.code == dns::edns_code::extended_error && each.data.size() >= 2)
        out["extended_error"] = {{"code", each.data[0] << 8 | each.data[1]},
                                 {"text", printable(as_text(byte_view(each.data).subspan(2)))}};
  }
  return out;
}

int probe(call& c) {
  auto o = c.table(1, probe_schema());
  auto q = read_question(c, o.get<std::string>("name"), o.get<std::string>("type"), o);
  q.edns = o.get<bool>("edns");
  q.dnssec_ok = o.get<bool>("dnssec");
  q.recursion = o.get<bool>("recursion");
  q.retry_by_tcp = o.get<bool>("retry_by_tcp");
  q.rounds = 1;
  if (o.get<bool>("tcp"))
    for (auto& u : q.servers)
      if (u.over == dns::transport::udp) u.over = dns::transport::tcp;
  return ask(c, "dns.probe", std::move(q), [](lua_State* L, const dns::client_report& r) {
    push(L, report_json(r));
    return 1;
  });
}

// Which servers a probe asks unless it is told; for its first line.
int servers(call& c) {
  json out = json::array();
  for (const auto& u : usual_servers(c.owner)) out.push_back(u.text);
  return c.give(out);
}

} // namespace

void bind_dns_resolve(api& a) {
  a.function(
      {"dns.resolve",
       resolve,
       "Asks for the records of a name: those of the type at the end of its CNAMEs, none when it has no such "
       "record. A name that does not exist is an error with the code \"not_found\".",
       {{"name", "string", ""}, {"type?", "string", "\"A\" unless given"}, {"options?", "table", ""}},
       {{"records", "table[]?", "{ name, type, ttl, data } each"}, {"err?", "netlab.error", ""}},
       true,
       resolve_schema()});
  a.function(
      {"dns.probe",
       probe,
       "Asks one question and reports how the answer came.",
       {{"options", "table", ""}},
       {{"report", "table?",
         "{ rcode, flags, answers, authorities, edns?, extended_error?, server, transport, elapsed, steps, "
         "failure? }"},
        {"err?", "netlab.error", ""}},
       true,
       probe_schema()});
  a.function({"dns.servers",
              servers,
              "The addresses that netlab.dns.resolve asks unless it is told.",
              {},
              {{"", "string[]", ""}},
              false,
              {}});
}

} // namespace netlab::lua
