// netboot: DHCP, TFTP and HTTP for one folder of boot files, in one program without Lua.
//
//   netboot eth0 10.0.0.1/24 10.0.0.100-10.0.0.199 /srv/boot grubx64.efi
//
// libnetlab as a program of your own uses it: make a loop, gather a runtime from it, start servers, run.
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "netlab/dhcp_server.h"
#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/memory_lease_store.h"
#include "netlab/tftp_server.h"

using namespace netlab;

// Every machine that asks for a boot file gets the same one; the others get an address only.
boot_reply answer(const boot_request& request, const std::string& file) {
  boot_reply out;
  if (!request.vendor_class.starts_with("PXEClient")) return out;
  out.what = boot_reply::kind::boot;
  out.next_server = request.server;
  out.server_name_option = true;
  out.file = file;
  out.summary = request.vendor_class + " → " + file;
  return out;
}

result<void> serve(const std::string& interface, const cidr& address, const ip_range& range,
                   const std::string& folder, const std::string& file) {
  event_loop loop;
  auto http_out = make_http_client(loop); // part of every runtime; nothing here fetches
  auto sink = make_log_sink(STDERR_FILENO, log_format::text, log_level::info);
  metrics counters;
  runtime world{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
                loop.files(), loop.processes(), *http_out,     log(*sink, loop.clock()),
                counters};

  dhcp::network_config lan;
  lan.name = lan.interface = interface;
  lan.subnet = address;
  lan.server = address.address;
  lan.ranges = {range};
  dhcp::server_options dhcp_options;
  dhcp_options.config.networks = {lan};
  dhcp_options.hooks.boot = [&](const boot_request& request) { return answer(request, file); };
  memory_lease_store leases(world.scheduler); // lease_journal keeps them over a restart
  auto dhcp = dhcp::server::start(world, leases, dhcp_options);
  if (!dhcp) return tl::unexpected(dhcp.error());

  tftp::server_config tftp_config;
  tftp_config.listen = {{address.address, 69}};
  tftp_config.root = folder;
  tftp::server tftp(world, tftp_config);
  if (auto started = tftp.start(); !started) return started;

  auto http = make_http_server(world);
  if (auto served = http->files("/", folder, {.listing = true}); !served) return served;
  if (auto bound = http->listen({.local = {address.address, 80}}); !bound)
    return tl::unexpected(bound.error());

  auto interrupt = loop.on_signal(SIGINT, [&] { loop.stop(); });
  auto terminate = loop.on_signal(SIGTERM, [&] { loop.stop(); });
  loop.run();
  return {};
}

int main(int argc, char** argv) {
  auto address = cidr::parse(argc == 6 ? argv[2] : "");
  auto range = ip_range::parse(argc == 6 ? argv[3] : "");
  if (!address || !range) {
    std::cerr << "usage: netboot INTERFACE ADDRESS/PREFIX FIRST-LAST FOLDER BOOTFILE\n";
    return 2;
  }
  auto served = serve(argv[1], *address, *range, argv[4], argv[5]);
  if (!served) std::cerr << "netboot: " << served.error().message << "\n";
  return served ? 0 : 1;
}
