#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "netlab/net.h"

// One Ethernet segment in memory with one interface. Sent datagrams and frames are recorded and can be
// delivered by the test; nothing happens by itself.
class memory_net final : public netlab::net {
public:
  struct sent_datagram {
    netlab::endpoint from, to;
    netlab::byte_vector data;
  };
  struct sent_frame {
    netlab::mac_address to;
    std::uint16_t protocol;
    netlab::byte_vector payload;
  };

  memory_net() {
    netlab::interface_info i;
    i.index = 7;
    i.name = "lab0";
    i.mac = {{2, 0, 0, 0, 0xff, 1}};
    i.addresses = {netlab::cidr::parse("10.0.0.1/24").value()};
    i.up = true;
    present.push_back(i);
  }

  class socket final : public netlab::udp_socket {
  public:
    socket(memory_net& n, netlab::udp_options o) : net_(n), options(std::move(o)) {
      net_.sockets.push_back(this);
    }
    ~socket() override { std::erase(net_.sockets, this); }
    void on_receive(receive_fn fn) override { receive = std::move(fn); }
    netlab::result<std::size_t> send(std::span<const netlab::datagram> batch) override {
      ++net_.sends;
      for (const auto& d : batch)
        net_.datagrams.push_back({local(), d.peer, netlab::byte_vector(d.data.begin(), d.data.end())});
      return batch.size();
    }
    netlab::result<std::size_t> send_segments(const netlab::endpoint&, const netlab::ip_address&,
                                              netlab::byte_view, std::size_t) override {
      return netlab::fail(netlab::errc::unsupported, "not used");
    }
    netlab::endpoint local() const override { return options.local; }
    memory_net& net_;
    netlab::udp_options options;
    receive_fn receive;
  };

  class packets_socket final : public netlab::packet_socket {
  public:
    packets_socket(memory_net& n, std::uint16_t p) : net_(n), protocol(p) {
      net_.packet_sockets.push_back(this);
    }
    ~packets_socket() override { std::erase(net_.packet_sockets, this); }
    void on_receive(std::function<void(const frame&)> fn) override { receive = std::move(fn); }
    netlab::result<void> send(const netlab::mac_address& to, netlab::byte_view payload) override {
      net_.frames.push_back({to, protocol, netlab::byte_vector(payload.begin(), payload.end())});
      return {};
    }
    std::size_t send_all(std::span<const outgoing> batch) override {
      ++net_.frame_sends;
      if (net_.refuse_frames) return 0;
      return netlab::packet_socket::send_all(batch);
    }
    memory_net& net_;
    std::uint16_t protocol;
    std::function<void(const frame&)> receive;
  };

  netlab::result<std::unique_ptr<netlab::udp_socket>> udp(const netlab::udp_options& o) override {
    if (refuse_udp) return netlab::fail(netlab::errc::exists, "port in use");
    return std::make_unique<socket>(*this, o);
  }
  netlab::result<std::unique_ptr<netlab::listener>>
  listen(const netlab::listen_options&, std::function<void(std::unique_ptr<netlab::stream>)>) override {
    return netlab::fail(netlab::errc::unsupported, "not used");
  }
  void connect(const netlab::connect_options&,
               std::function<void(netlab::result<std::unique_ptr<netlab::stream>>)>) override {}
  std::unique_ptr<netlab::host_lookup>
  look_up(netlab::host_question, std::function<void(netlab::result<netlab::host_addresses>)>) override {
    return nullptr;
  }
  netlab::result<std::unique_ptr<netlab::packet_socket>> packets(const std::string&,
                                                                 std::uint16_t protocol) override {
    if (refuse_packets) return netlab::fail(netlab::errc::denied, "no CAP_NET_RAW");
    return std::make_unique<packets_socket>(*this, protocol);
  }
  netlab::result<std::vector<netlab::interface_info>> interfaces() override { return present; }
  netlab::result<void> set_neighbour(std::uint32_t, const netlab::ip_address& a, const netlab::mac_address& m,
                                     bool permanent) override {
    if (refuse_neighbours) return netlab::fail(netlab::errc::denied, "no CAP_NET_ADMIN");
    neighbours.emplace_back(a, m);
    if (permanent) kept[a] = m;
    return {};
  }
  netlab::result<void> forget_neighbour(std::uint32_t, const netlab::ip_address& a) override {
    kept.erase(a);
    return {};
  }
  std::optional<netlab::mac_address> neighbour(const netlab::ip_address&) override { return std::nullopt; }
  netlab::result<std::shared_ptr<void>> watch_addresses(std::function<void()> fn) override {
    changed = std::move(fn);
    return std::make_shared<int>(0);
  }

  socket* at_port(std::uint16_t port) {
    for (auto* s : sockets)
      if (s->options.local.port == port) return s;
    return nullptr;
  }
  void deliver(std::uint16_t port, const netlab::endpoint& from, netlab::byte_view data) {
    netlab::datagram d;
    d.peer = from;
    d.local = netlab::ip_address::v4(0xffffffff);
    d.interface = 7;
    d.data = data;
    if (auto* s = at_port(port); s && s->receive) s->receive(std::span<const netlab::datagram>(&d, 1));
  }
  void deliver_frame(std::uint16_t protocol, const netlab::mac_address& from, netlab::byte_view payload) {
    auto all = packet_sockets; // a callback may close some
    for (auto* s : all)
      if (s->protocol == protocol && s->receive &&
          std::count(packet_sockets.begin(), packet_sockets.end(), s) > 0)
        s->receive({from, protocol, payload});
  }

  std::vector<netlab::interface_info> present;
  std::vector<socket*> sockets;
  std::vector<packets_socket*> packet_sockets;
  std::vector<sent_datagram> datagrams;
  std::vector<sent_frame> frames;
  std::vector<std::pair<netlab::ip_address, netlab::mac_address>> neighbours;
  std::map<netlab::ip_address, netlab::mac_address> kept; // permanent neighbours
  std::function<void()> changed;
  std::size_t sends = 0, frame_sends = 0;
  bool refuse_udp = false, refuse_frames = false, refuse_packets = false, refuse_neighbours = false;
};
