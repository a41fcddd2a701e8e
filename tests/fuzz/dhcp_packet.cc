// Any bytes as a DHCP message: decoded, interpreted, written again, and given to a server that has leases.
#include <cstdlib>

#include "netlab/dhcp_engine.h"
#include "netlab/dhcp_import.h"

using namespace netlab;
using namespace netlab::dhcp;

namespace {
server_config make_config() {
  server_config c;
  network_config n;
  n.name = "lan";
  n.subnet = {ip_address::v4(10, 0, 0, 0), 24};
  n.server = ip_address::v4(10, 0, 0, 1);
  n.ranges = {{ip_address::v4(10, 0, 0, 100), ip_address::v4(10, 0, 0, 110)}};
  n.rapid_commit = n.bootp = true;
  c.networks.push_back(n);
  return c;
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view input(data, size);
  if (auto p = decode(input)) {
    (void)machine_uuid(*p);
    (void)machine_serial(*p);
    (void)architectures(*p);
    for (std::size_t i = 0; i < p->options.size(); ++i) {
      auto v = p->options.value_at(i);
      (void)decode_addresses(v);
      (void)decode_routes(v);
      (void)decode_domains(v);
      (void)decode_relay(v);
      (void)decode_fqdn(v);
      (void)decode_encapsulated(v);
      (void)user_class_text(v);
    }
    byte_vector out(max_message_size + 4096);
    // What was read can be written, and reads the same again.
    auto done = encode(*p, out, out.size());
    if (!done) std::abort();
    auto again = done->size <= max_message_size ? decode(byte_view(out).first(done->size)) : p;
    if (!again || (p->cookie && done->dropped == 0 && again->options.size() != p->options.size()))
      std::abort();
  }
  engine policy(make_config(), {});
  actions out;
  moment at{boot_time{}, wall_time{std::chrono::seconds(1767225600)}};
  arrival from{{ip_address::v4(0), 68}, ip_address::v4(0xffffffff), 1, 0, true, false};
  for (int turn = 0; turn < 3; ++turn) {
    policy.handle(input, from, at, out);
    auto commits = std::move(out.commits);
    out.clear();
    for (auto& c : commits) {
      ++c.next.version;
      policy.committed(c.token, {lease_store::outcome::kind::stored, c.next, {}}, at, out);
    }
    out.clear();
    at.now += std::chrono::minutes(5);
    at.wall += std::chrono::minutes(5);
    policy.advance(at, out);
    out.clear();
  }
  auto text = as_text(input);
  (void)import_dnsmasq(text, at.wall);
  (void)import_kea(text, at.wall);
  (void)import_isc(text, at.wall);
  (void)import_dnsmasq_hosts(text);
  (void)import_pihole_toml(text);
  return 0;
}
