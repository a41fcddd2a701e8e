#pragma once

namespace netlab::lua {

class api;
class host;

// One function a file, one file a room: each adds its constructors, functions and handle kinds.
// A new room adds its line here and in describe_everything().
void bind_args(api&);
void bind_assets(api&);
void bind_aws(api&);
void bind_boot(api&);
void bind_boot_raspberry(api&);
void bind_boot_source(api&);
void bind_boot_assets(api&);
void bind_clock(api&);
void bind_dhcp(api&);
void bind_dhcp_proxy(api&);
void bind_digest(api&);
void bind_dns(api&);
void bind_dns_names(api&);
void bind_dns_pihole(api&);
void bind_dns_resolve(api&);
void bind_err(api&);
void bind_fs(api&);
void bind_http(api&);
void bind_http_server(api&);
void bind_http_metrics(api&);
void bind_json(api&);
void bind_log(api&);
void bind_network(api&);
void bind_nodes(api&);
void bind_plugin(api&);
void bind_probe(api&);
void bind_process(api&);
void bind_registry(api&);
void bind_state(api&);
void bind_talos(api&);
void bind_tasks(api&);
void bind_template(api&);
void bind_test(api&);
void bind_tftp(api&);
void bind_yaml(api&);

// The control socket's verbs about leases, and about DNS servers.
void add_dhcp_verbs(host& h);
void add_dns_verbs(host& h);
// And about registry proxies.
void add_registry_verbs(host& h);

// Everything that recipes can name.
api describe_everything();

} // namespace netlab::lua
