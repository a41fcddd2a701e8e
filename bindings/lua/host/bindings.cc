#include "host/bindings.h"

#include "host/api.h"

namespace netlab::lua {

api describe_everything() {
  api out;
  bind_args(out);
  bind_assets(out);
  bind_aws(out);
  bind_boot(out);
  bind_boot_raspberry(out);
  bind_boot_source(out);
  bind_boot_assets(out);
  bind_clock(out);
  bind_dhcp(out);
  bind_dhcp_proxy(out);
  bind_digest(out);
  bind_dns(out);
  bind_dns_names(out);
  bind_dns_pihole(out);
  bind_dns_resolve(out);
  bind_err(out);
  bind_fs(out);
  bind_http(out);
  bind_http_server(out);
  bind_http_metrics(out);
  bind_json(out);
  bind_log(out);
  bind_network(out);
  bind_nodes(out);
  bind_plugin(out);
  bind_probe(out);
  bind_process(out);
  bind_registry(out);
  bind_state(out);
  bind_talos(out);
  bind_tasks(out);
  bind_template(out);
  bind_test(out);
  bind_tftp(out);
  bind_yaml(out);
  return out;
}

} // namespace netlab::lua
