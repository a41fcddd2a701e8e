#include "dns/filter.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

schema pihole_schema() {
  schema s;
  s.name = "dns.pihole";
  s.help = "What a Pi-hole does, version 5 or 6, for a dns.server: its lists, domains, groups, clients and "
           "records.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      with_default("path", type::path(), "/etc/pihole", "its folder, with gravity.db; it is only read"),
  };
  s.example =
      "netlab.dns.server { listen = lan:at(53), upstreams = \"1.1.1.1\", pihole = netlab.dns.pihole {} }";
  return s;
}

result<object_ptr> create_pihole(host& h, const options& o) {
  auto out = std::make_shared<pihole_import>();
  auto setup = dns::read_pihole(o.get<file_path>("path").path);
  if (!setup) return fail(setup.error().code, setup.error().message, "path");
  out->setup = std::move(*setup);
  for (const auto& w : out->setup.warnings) h.world().log.write(log_level::warn, "Pi-hole: " + w, {});
  return out;
}

} // namespace

void bind_dns_pihole(api& a) {
  a.constructor(pihole_schema(), "dns.pihole", create_pihole);
  a.kind({"dns.pihole", "What was read of a Pi-hole's folder.", {}, {}});
}

} // namespace netlab::lua
