#include "dns/names.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr std::size_t most_names = 100'000;

schema names_schema() {
  schema s;
  s.name = "dns.names";
  s.help = "Names that the recipe sets and removes while it runs, for the DNS servers that are given them.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      with_default("ttl", type::duration(), "60s", "of its records, unless they say otherwise"),
  };
  s.example = "local names = netlab.dns.names {}\n"
              "netlab.dns.server { listen = lan:at(53), upstreams = \"1.1.1.1\", names = names }\n"
              "netlab.main(function() names:set(\"build\", \"10.20.13.77\") end)";
  return s;
}

result<object_ptr> create_names(host&, const options& o) {
  auto out = std::make_shared<dns_names>();
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(o.get<duration>("ttl")).count();
  out->ttl = static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 0x7fffffff));
  return out;
}

int names_set(call& c) {
  auto& self = c.self<dns_names>();
  auto name = c.text(2, "the name");
  validation state;
  state.folder = c.owner.recipe_folder();
  auto what = validate_value(c.L, 3, dns_records_type().inner[0], name, state);
  if (!state.mistakes.empty()) c.refuse(state.mistakes[0].path + ": " + state.mistakes[0].text);
  return c.give(self.set(name, std::move(what)));
}

int names_remove(call& c) { return c.give(c.self<dns_names>().remove(c.text(2, "the name"))); }

int names_list(call& c) {
  json out = json::array();
  for (const auto& [name, what] : c.self<dns_names>().all()) out.push_back(name);
  return c.give(out);
}

} // namespace

json dns_names::status() const { return {{"names", all_.size()}}; }

std::vector<recipe_record> dns_names::records(const dns::name& domain) const {
  std::vector<recipe_record> out;
  for (const auto& [name, what] : all_) {
    auto made = read_dns_record(name, what, name, domain, ttl);
    if (made) out.insert(out.end(), made->begin(), made->end());
  }
  return out;
}

result<void> dns_names::set(const std::string& name, value what) {
  auto made = read_dns_record(name, what, name, dns::name(), ttl);
  if (!made) return fail(made.error().code, made.error().message, "dns.names");
  auto parsed = dns::name::parse(name);
  for (const auto& held_by : holders_)
    if (auto why = held_by(*parsed); !why.empty()) return fail(errc::conflict, why, "dns.names");
  auto key = to_lower(name);
  if (all_.size() >= most_names && !all_.contains(key))
    return fail(errc::limit, "more names than netlab.dns.names keeps", "dns.names");
  all_.insert_or_assign(key, std::move(what));
  for (const auto& fn : listeners_) fn();
  return {};
}

bool dns_names::remove(const std::string& name) {
  if (all_.erase(to_lower(name)) == 0) return false;
  for (const auto& fn : listeners_) fn();
  return true;
}

void bind_dns_names(api& a) {
  a.constructor(names_schema(), "dns.names", create_names);
  a.kind({"dns.names",
          "Names that the recipe sets and removes while it runs.",
          {{"set",
            names_set,
            "Gives a name its records, instead of those it had: an address, a list of them, or { a, aaaa, "
            "cname, "
            "txt, srv, mx, ptr, caa, ns, ttl }. A name of the recipe's own records is not taken over.",
            {{"name", "string", "without a dot: in the server's domain"}, {"records", "any", ""}},
            {{"ok", "boolean?", ""}, {"err?", "netlab.error", "\"conflict\" when the recipe holds the name"}},
            false,
            {}},
           {"remove",
            names_remove,
            "Takes a name away.",
            {{"name", "string", ""}},
            {{"known", "boolean", "whether it was there"}},
            false,
            {}},
           {"list", names_list, "The names that are set.", {}, {{"", "string[]", ""}}, false, {}}},
          {}});
}

} // namespace netlab::lua
