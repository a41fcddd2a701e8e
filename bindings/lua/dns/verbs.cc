#include <nlohmann/json.hpp>

#include "dns/operated.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/dns_query_log.h"
#include "netlab/text.h"

// The control socket's verbs about DNS servers: what netlab dns asks a running instance.

namespace netlab::lua {

namespace {

constexpr duration flush_patience = std::chrono::seconds(2);

std::string text_of(const json& request, const char* key) {
  return request.contains(key) && request[key].is_string() ? request[key].get<std::string>() : std::string();
}

struct named_server {
  std::string name;
  dns_operated* server;
};

// The server that the request names, or every one.
result<std::vector<named_server>> servers_of(host& h, const json& request) {
  std::vector<named_server> out;
  auto wanted = text_of(request, "server");
  std::string known;
  for (const auto& o : h.graph().objects()) {
    auto* s = dynamic_cast<dns_operated*>(o.get());
    if (!s || !s->is_running()) continue;
    known += (known.empty() ? "" : ", ") + o->name();
    if (wanted.empty() || o->name() == wanted) out.push_back({o->name(), s});
  }
  if (known.empty()) return fail(errc::not_found, "the recipe runs no DNS server");
  if (out.empty())
    return fail(errc::not_found, "there is no DNS server \"" + wanted + "\": there is " + known);
  return out;
}

result<dns::name> name_of(const json& request) {
  auto parsed = dns::name::parse(text_of(request, "name"));
  if (!parsed) return parsed;
  if (parsed->is_root()) return fail(errc::invalid, "the root is no name to decide about");
  return parsed->lower();
}

result<std::optional<duration>> lasting(const json& request) {
  auto text = text_of(request, "for");
  if (text.empty()) return std::optional<duration>();
  auto parsed = parse_duration(text);
  if (!parsed) return tl::unexpected(parsed.error());
  if (*parsed <= duration{}) return fail(errc::invalid, "\"" + text + "\" is no time to last");
  if (*parsed > std::chrono::hours(24 * 366))
    return fail(errc::invalid, "a change for longer than a year belongs into the recipe");
  return std::optional(*parsed);
}

control_verb change(host& h, dns::overlay::kind what) {
  return [&h, what](const json& request) -> result<json> {
    auto servers = servers_of(h, request);
    if (!servers) return tl::unexpected(servers.error());
    dns::overlay o;
    o.what = what;
    if (what != dns::overlay::kind::pause) {
      auto target = name_of(request);
      if (!target) return tl::unexpected(target.error());
      o.target = *target;
    }
    o.origin = printable(text_of(request, "origin").substr(0, 200));
    if (o.origin.empty()) o.origin = "control socket";
    auto lasts = lasting(request);
    if (!lasts) return tl::unexpected(lasts.error());
    if (what == dns::overlay::kind::pause && !*lasts)
      return fail(errc::invalid, "a pause has an end: netlab dns pause 5m");
    json out = json::array();
    for (const auto& s : *servers) {
      auto made = s.server->overlays()->add(o, *lasts);
      made["server"] = s.name;
      out.push_back(std::move(made));
    }
    return out;
  };
}

control_verb take_back(host& h, bool pause) {
  return [&h, pause](const json& request) -> result<json> {
    auto servers = servers_of(h, request);
    if (!servers) return tl::unexpected(servers.error());
    std::optional<dns::name> target;
    if (!pause) {
      auto parsed = name_of(request);
      if (!parsed) return tl::unexpected(parsed.error());
      target = *parsed;
    }
    json out = json::array();
    error why;
    for (const auto& s : *servers) {
      auto gone = s.server->overlays()->remove(target, printable(text_of(request, "origin").substr(0, 200)));
      if (!gone) {
        why = gone.error();
        continue;
      }
      (*gone)["server"] = s.name;
      out.push_back(std::move(*gone));
    }
    if (out.empty()) return tl::unexpected(why);
    return out;
  };
}

} // namespace

void add_dns_verbs(host& h) {
  h.on_control("dns.allow", change(h, dns::overlay::kind::allow));
  h.on_control("dns.block", change(h, dns::overlay::kind::block));
  h.on_control("dns.pause", change(h, dns::overlay::kind::pause));
  h.on_control("dns.remove", take_back(h, false));
  h.on_control("dns.resume", take_back(h, true));
  // Where the logs are, with everything in them that was asked until now.
  h.on_control("dns.log", [&h](const json& request) -> result<json> {
    auto servers = servers_of(h, request);
    if (!servers) return tl::unexpected(servers.error());
    json out = json::array();
    for (const auto& s : *servers) {
      json entry = {
          {"server", s.name}, {"folder", s.server->log_folder()}, {"privacy", s.server->log_privacy()}};
      if (auto* log = s.server->log()) {
        entry["written"] = log->flush(flush_patience);
        auto status = log->status();
        if (!status.trouble.empty()) entry["trouble"] = printable(status.trouble);
      }
      out.push_back(std::move(entry));
    }
    return out;
  });
  h.on_control("dns.why", [&h](const json& request) -> result<json> {
    auto servers = servers_of(h, request);
    if (!servers) return tl::unexpected(servers.error());
    auto target = name_of(request);
    if (!target) return tl::unexpected(target.error());
    auto word = text_of(request, "type");
    auto type = word.empty() ? std::optional(dns::rtype::a) : dns::parse_type(word);
    if (!type) return fail(errc::invalid, "\"" + printable(word) + "\" is no record type");
    std::optional<ip_address> client;
    if (auto text = text_of(request, "client"); !text.empty()) {
      auto parsed = ip_address::parse(text);
      if (!parsed) {
        // A machine's name stands for the address that it has.
        const auto* node = h.nodes().find_name(text);
        auto address = node ? (node->address ? node->address : node->ip) : std::nullopt;
        if (!address)
          return fail(errc::invalid, "\"" + printable(text) + "\" is neither an address nor a node");
        parsed = *address;
      }
      client = *parsed;
    }
    json out = json::array();
    for (const auto& s : *servers) {
      auto told = s.server->why(*target, *type, client);
      told["server"] = s.name;
      told["log"] = s.server->log_folder();
      out.push_back(std::move(told));
      if (auto* log = s.server->log()) (void)log->flush(flush_patience);
    }
    return out;
  });
}

} // namespace netlab::lua
