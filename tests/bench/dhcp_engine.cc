// Processor time of the DHCP engine alone per DISCOVER–OFFER–REQUEST–ACK of a new client: no socket, a store
// that answers at once. Prints nanoseconds.
#include <chrono>
#include <cstdio>
#include <ctime>

#include "netlab/dhcp_engine.h"

using namespace netlab;
using namespace netlab::dhcp;

namespace {
double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}
} // namespace

int main() {
  server_config c;
  network_config n;
  n.name = "lan";
  n.subnet = {ip_address::v4(10, 0, 0, 0), 15};
  n.server = ip_address::v4(10, 0, 0, 1);
  n.ranges = {{ip_address::v4(10, 0, 1, 0), ip_address::v4(10, 1, 255, 254)}};
  n.options.routers = {n.server};
  n.options.dns = {n.server};
  n.options.domain = "lab.internal";
  n.probe = false;
  c.networks.push_back(n);
  engine policy(c, {});
  actions out;
  moment at{boot_time{}, wall_time{std::chrono::seconds(1767225600)}};
  arrival from{{ip_address::v4(0), 68}, ip_address::v4(0xffffffff), 1, 0, false, false};
  constexpr unsigned clients = 100000;
  packet p;
  const std::uint8_t wanted[] = {1, 3, 6, 12, 15, 28, 42, 121};
  byte_vector discover(576), request(576);
  p.options.set_u8(option::type, 1);
  p.options.set(option::parameter_list, wanted);
  discover.resize(encode(p, discover).value().size);
  p.options.set_u8(option::type, 3);
  p.options.set_address(option::server_id, n.server);
  p.options.set_address(option::requested_address, n.server);
  auto size = encode(p, request).value().size;
  request.resize(size);
  std::size_t where = 0; // of option 50's value
  for (std::size_t i = 240; i + 6 <= request.size() && where == 0; ++i)
    if (request[i] == option::requested_address && request[i + 1] == 4) where = i + 2;

  std::uint64_t acks = 0;
  auto begin = cpu_ns();
  for (unsigned k = 0; k < clients; ++k) {
    for (auto* m : {&discover, &request}) {
      (*m)[28] = 2;
      (*m)[31] = static_cast<std::uint8_t>(k >> 16);
      (*m)[32] = static_cast<std::uint8_t>(k >> 8);
      (*m)[33] = static_cast<std::uint8_t>(k);
    }
    policy.handle(discover, from, at, out);
    auto offer = out.payload(out.replies.at(0));
    for (std::size_t i = 0; i < 4; ++i) request[where + i] = offer[16 + i];
    out.clear();
    policy.handle(request, from, at, out);
    auto commit = std::move(out.commits.at(0));
    out.clear();
    ++commit.next.version;
    policy.committed(commit.token, {lease_store::outcome::kind::stored, std::move(commit.next), {}}, at, out);
    acks += out.replies.size();
    out.clear();
    at.now += std::chrono::microseconds(50);
    at.wall += std::chrono::microseconds(50);
  }
  auto spent = cpu_ns() - begin;
  std::printf("dhcp_engine exchanges %llu ns_per_exchange %.0f\n", static_cast<unsigned long long>(acks),
              spent / clients);
  return acks == clients ? 0 : 1;
}
