#include "dns/server_options.h"
#include "host/api.h"
#include "host/bindings.h"

namespace netlab::lua {

namespace {

result<object_ptr> create_server(host&, const options& o) {
  auto made = read_dns_server(o);
  if (!made) return tl::unexpected(made.error());
  return object_ptr(std::move(*made));
}

int server_flush(call& c) {
  auto& self = c.self<dns_service>();
  c.need_running();
  self.flush();
  return c.nothing();
}

} // namespace

void bind_dns(api& a) {
  a.constructor(dns_server_schema(), "dns.server", create_server);
  a.kind({"dns.server",
          "A DNS server.",
          {{"flush",
            server_flush,
            "Forgets every answer that it keeps; what it is asked next goes to the upstreams again.",
            {},
            {},
            false,
            {}}},
          {}});
}

} // namespace netlab::lua
