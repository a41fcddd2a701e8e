#pragma once
#include <algorithm>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netlab/net.h"
#include "netlab/simulation.h"

// A network in memory for unit tests: UDP between hosts, driven by virtual time.
namespace netlab::test {

// A datagram under way, as a test's rules see it.
struct packet_in_flight {
  endpoint from, to;
  byte_vector bytes;
  std::size_t number = 0; // counts every datagram of the network from 0
};

// What happens to one datagram: how many copies arrive, how late.
struct fate {
  unsigned copies = 1; // 0: lost
  duration delay{};    // on top of the network's latency; enough of it reorders
};

class fake_network;

// One host's view of the network: netlab::net with UDP only; everything else is errc::unsupported.
class fake_host final : public net {
public:
  fake_host(fake_network& network, ip_address address, std::uint32_t mtu)
      : network_(network), address_(address), mtu_(mtu) {}

  result<std::unique_ptr<udp_socket>> udp(const udp_options& options) override;
  result<std::unique_ptr<listener>> listen(const listen_options&,
                                           std::function<void(std::unique_ptr<stream>)>) override {
    return fail(errc::unsupported, "no TCP in this network");
  }
  void connect(const connect_options&, std::function<void(result<std::unique_ptr<stream>>)> fn) override {
    fn(fail(errc::unsupported, "no TCP in this network"));
  }
  std::unique_ptr<host_lookup> look_up(host_question question,
                                       std::function<void(result<host_addresses>)> done) override;
  result<std::unique_ptr<packet_socket>> packets(const std::string&, std::uint16_t) override {
    return fail(errc::unsupported, "no frames in this network");
  }
  result<std::vector<interface_info>> interfaces() override {
    interface_info out;
    out.index = 1;
    out.name = "fake0";
    if (present) out.addresses = {cidr{address_, 24}};
    out.mtu = mtu_;
    out.up = true;
    return std::vector<interface_info>{out};
  }
  result<void> set_neighbour(std::uint32_t, const ip_address&, const mac_address&, bool) override {
    return {};
  }
  result<void> forget_neighbour(std::uint32_t, const ip_address&) override { return {}; }
  std::optional<mac_address> neighbour(const ip_address&) override { return std::nullopt; }
  result<std::shared_ptr<void>> watch_addresses(std::function<void()> fn) override {
    auto held = std::make_shared<std::function<void()>>(std::move(fn));
    watchers_.push_back(held);
    return std::shared_ptr<void>(held);
  }

  // The address appears or goes away; watchers run.
  void set_present(bool value) {
    present = value;
    auto all = watchers_;
    for (auto& each : all)
      if (auto fn = each.lock()) (*fn)();
  }

  bool present = true;
  int sockets_left = 1 << 20; // udp() fails with errc::limit when it reaches 0
  int open_sockets = 0;

private:
  friend class fake_socket;
  fake_network& network_;
  ip_address address_;
  std::uint32_t mtu_;
  std::vector<std::weak_ptr<std::function<void()>>> watchers_;
};

class fake_socket final : public udp_socket {
public:
  fake_socket(fake_host& host, endpoint local, std::optional<endpoint> peer)
      : host_(host), local_(local), peer_(peer) {}
  ~fake_socket() override;

  void on_receive(receive_fn fn) override { receive_ = std::make_shared<receive_fn>(std::move(fn)); }
  result<std::size_t> send(std::span<const datagram> batch) override;
  result<std::size_t> send_segments(const endpoint& peer, const ip_address& local, byte_view data,
                                    std::size_t segment) override {
    std::size_t sent = 0;
    for (; !data.empty(); ++sent) {
      auto part = data.first(std::min(segment, data.size()));
      auto one = udp_socket::send(datagram{peer, local, 0, part});
      if (!one) return one;
      data = data.subspan(part.size());
    }
    return sent;
  }
  endpoint local() const override { return local_; }

  void deliver(const packet_in_flight& packet) {
    if (!receive_ || !*receive_ || (peer_ && packet.from != *peer_)) return;
    auto keep = receive_; // the callback may destroy this socket
    datagram d{packet.from, packet.to.address, 1, packet.bytes};
    (*keep)(std::span(&d, 1));
  }

private:
  fake_host& host_;
  endpoint local_;
  std::optional<endpoint> peer_;
  std::shared_ptr<receive_fn> receive_;
};

// Owns the hosts. Datagrams arrive by virtual time, in order unless a rule says otherwise.
class fake_network {
public:
  explicit fake_network(manual_time& time) : time_(time) {}

  fake_host& host(std::string_view address, std::uint32_t mtu = 1500) {
    auto ip = *ip_address::parse(address);
    auto& slot = hosts_[ip];
    if (!slot) slot = std::make_unique<fake_host>(*this, ip, mtu);
    return *slot;
  }

  duration latency = std::chrono::microseconds(100);
  std::function<fate(const packet_in_flight&)> rule;    // none: everything arrives once
  std::function<void(const packet_in_flight&)> on_send; // sees every datagram, lost ones included
  std::size_t packets = 0;
  // What look-ups find, by name. Without an entry there is no such name; a time-out takes its time.
  std::map<std::string, result<host_addresses>> names;
  std::vector<host_question> looked_up;

private:
  friend class fake_host;
  friend class fake_socket;

  void send(packet_in_flight packet) {
    packet.number = packets++;
    if (on_send) on_send(packet);
    auto what = rule ? rule(packet) : fate{};
    auto shared = std::make_shared<const packet_in_flight>(std::move(packet));
    for (unsigned i = 0; i < what.copies; ++i) {
      auto id = next_id_++;
      under_way_.emplace(id, time_.after(latency + what.delay, [this, id, shared] {
        auto own = under_way_.extract(id); // ends with this call
        auto at = sockets_.find(shared->to);
        if (at == sockets_.end()) at = sockets_.find({ip_address{}, shared->to.port});
        if (at != sockets_.end()) at->second->deliver(*shared);
      }));
    }
  }

  manual_time& time_;
  std::map<ip_address, std::unique_ptr<fake_host>> hosts_;
  std::map<endpoint, fake_socket*> sockets_;
  std::map<std::uint64_t, timer> under_way_;
  std::uint64_t next_id_ = 0;
  std::uint16_t next_port_ = 40000;
};

inline fake_socket::~fake_socket() {
  host_.network_.sockets_.erase(local_);
  --host_.open_sockets;
}

inline result<std::size_t> fake_socket::send(std::span<const datagram> batch) {
  for (const auto& each : batch) {
    packet_in_flight packet;
    packet.from = {each.local.is_unspecified() ? local_.address : each.local, local_.port};
    packet.to = each.peer;
    packet.bytes.assign(each.data.begin(), each.data.end());
    host_.network_.send(std::move(packet));
  }
  return batch.size();
}

inline std::unique_ptr<host_lookup> fake_host::look_up(host_question question,
                                                       std::function<void(result<host_addresses>)> done) {
  struct lookup final : host_lookup {
    timer answer;
  };
  auto out = std::make_unique<lookup>();
  network_.looked_up.push_back(question);
  auto found = network_.names.find(question.name);
  result<host_addresses> answer = fail(errc::not_found, question.name + ": there is no such name");
  if (found != network_.names.end()) answer = found->second;
  bool silent = !answer && answer.error().code == errc::timeout;
  out->answer = network_.time_.after(silent ? question.timeout : network_.latency,
                                     [answer = std::move(answer), done = std::move(done)] { done(answer); });
  return out;
}

inline result<std::unique_ptr<udp_socket>> fake_host::udp(const udp_options& options) {
  if (sockets_left <= 0) return fail(errc::limit, "too many open files", "udp.bind");
  if (!present) return fail(errc::unreachable, options.local.to_string() + " is not here", "udp.bind");
  auto local = options.local;
  if (local.address.is_unspecified()) local.address = address_;
  if (local.address != address_)
    return fail(errc::unreachable, local.to_string() + " is not here", "udp.bind");
  while (local.port == 0) {
    endpoint candidate{local.address, network_.next_port_++};
    if (network_.next_port_ == 0) network_.next_port_ = 40000;
    if (!network_.sockets_.contains(candidate)) local = candidate;
  }
  if (network_.sockets_.contains(local))
    return fail(errc::exists, local.to_string() + " is taken", "udp.bind");
  auto out = std::make_unique<fake_socket>(*this, local, options.peer);
  network_.sockets_[local] = out.get();
  --sockets_left;
  ++open_sockets;
  return out;
}

} // namespace netlab::test
