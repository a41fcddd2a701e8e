#include <algorithm>
#include <map>

#include "frame.h"
#include "netlab/dhcp_client.h"

namespace netlab::dhcp {

struct client::impl : std::enable_shared_from_this<client::impl> {
  impl(const runtime& r, client_options o, std::function<void(client_report)> d)
      : rt(r), engine(std::move(o), r.random.u32()), done(std::move(d)) {}

  void carry_out() {
    for (const auto& m : out) send(m);
    out.clear();
    if (engine.done()) {
      if (!done) return;
      alarm.cancel();
      auto tell = std::move(done);
      done = nullptr;
      tell(engine.report()); // may drop us
      return;
    }
    auto wait = std::max(engine.next_deadline() - rt.clock.now(), duration{});
    alarm = rt.scheduler.after(wait, [this] {
      auto keep = shared_from_this();
      engine.advance(rt.clock.now(), out);
      carry_out();
    });
  }

  void send(const client_output& m) {
    if (udp) {
      // A proxy is reached at its own port; everything else goes to the given server.
      auto to = m.to.port == 67 ? server : m.to;
      (void)udp->send(datagram{to, {}, 0, m.message});
      return;
    }
    endpoint from{ip_address::v4(0), 68};
    if (!m.to.address.is_broadcast() && engine.report().lease) from.address = engine.report().lease->address;
    mac_address to{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    if (auto known = neighbours.find(m.to.address); known != neighbours.end()) to = known->second;
    // A lost frame is the retry timer's business.
    (void)packets->send(to, make_udp_frame(from, m.to, m.message));
  }

  void receive(byte_view message) {
    auto keep = shared_from_this();
    engine.receive(message, rt.clock.now(), out);
    carry_out();
  }

  runtime rt;
  client_engine engine;
  std::function<void(client_report)> done;
  std::vector<client_output> out;
  std::unique_ptr<udp_socket> udp;
  std::unique_ptr<packet_socket> packets, arp;
  mac_address mac; // of the virtual client
  endpoint server;
  std::map<ip_address, mac_address> neighbours; // who sent us something
  timer alarm;
};

result<std::unique_ptr<client>> client::start(const runtime& rt, const client_transport& transport,
                                              client_options options,
                                              std::function<void(client_report)> done) {
  std::shared_ptr<impl> i;
  mac_address mac;
  if (transport.server) {
    i = std::make_shared<impl>(rt, std::move(options), std::move(done));
    i->server = *transport.server;
    udp_options o;
    o.local = {transport.server->address.is_loopback() ? ip_address::v4(127, 0, 0, 1) : ip_address::v4(0), 0};
    auto socket = rt.net.udp(o);
    if (!socket) return tl::unexpected(socket.error());
    i->udp = std::move(*socket);
    i->udp->on_receive([self = i.get()](std::span<const datagram> batch) {
      auto keep = self->shared_from_this();
      for (const auto& d : batch) self->receive(d.data);
    });
  } else {
    auto present = rt.net.interfaces();
    if (!present) return tl::unexpected(present.error());
    auto link = std::find_if(present->begin(), present->end(),
                             [&](const auto& l) { return l.name == transport.interface; });
    if (link == present->end())
      return fail(errc::not_found, "there is no interface \"" + transport.interface + "\"", "dhcp.client");
    if (!link->up)
      return fail(errc::unreachable, "interface \"" + transport.interface + "\" is down", "dhcp.client");
    if (options.mac.is_zero()) options.mac = link->mac;
    mac = options.mac;
    // The interface drops unicast frames to a made-up hardware address.
    if (options.mac != link->mac) options.broadcast = true;
    i = std::make_shared<impl>(rt, std::move(options), std::move(done));
    auto socket = rt.net.packets(transport.interface, ethertype_ipv4);
    if (!socket) return tl::unexpected(socket.error());
    i->packets = std::move(*socket);
    i->packets->on_receive([self = i.get()](const packet_socket::frame& f) {
      auto datagram = parse_udp_frame(f.payload);
      if (!datagram || datagram->to.port != 68) return;
      if (self->neighbours.size() < 64) self->neighbours[datagram->from.address] = f.source;
      self->receive(datagram->payload);
    });
  }
  // Answers to the address it was given must reach it, and the kernel does not have that address.
  if (i->packets) {
    i->mac = mac;
    if (auto socket = rt.net.packets(transport.interface, ethertype_arp)) {
      i->arp = std::move(*socket);
      i->arp->on_receive([self = i.get()](const packet_socket::frame& f) {
        auto asked = parse_arp(f.payload);
        const auto& lease = self->engine.report().lease;
        if (!asked || asked->reply || !lease || asked->target_address != lease->address) return;
        (void)self->arp->send(
            asked->sender, make_arp_reply(self->mac, lease->address, asked->sender, asked->sender_address));
      });
    }
  }
  // First output later, so that `done` never runs inside start().
  rt.scheduler.post([weak = std::weak_ptr<impl>(i)] {
    if (auto self = weak.lock()) {
      self->engine.start(self->rt.clock.now(), self->out);
      self->carry_out();
    }
  });
  return std::unique_ptr<client>(new client(std::move(i)));
}

client::~client() {
  impl_->done = nullptr;
  impl_->alarm.cancel();
  impl_->udp.reset();
  impl_->packets.reset();
  impl_->arp.reset();
}

} // namespace netlab::dhcp
