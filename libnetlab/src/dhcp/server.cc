#include "netlab/dhcp_server.h"

#include <algorithm>
#include <map>

#include "frame.h"
#include "netlab/dhcp_messages.h"
#include "netlab/log_batch.h"

namespace netlab::dhcp {

namespace {
constexpr std::uint64_t lease_lines_per_second = 20; // beyond it the log would cost more than the leases
// A Raspberry Pi 3 loads for half a minute; its table entry outlives that, and a machine that gave up.
constexpr auto arp_kept_for = std::chrono::minutes(5);
constexpr duration nudges_after[] = {std::chrono::milliseconds(600), std::chrono::milliseconds(1200)};
constexpr std::size_t max_helped = 256;
const mac_address everybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
} // namespace

struct server::impl : std::enable_shared_from_this<server::impl> {
  struct link {
    interface_info info;
    int network = -1;
    bool proxy = false; // on port 4011
    std::unique_ptr<udp_socket> udp;
    std::unique_ptr<packet_socket> arp, raw;
    bool raw_tried = false;
    struct framed_reply {
      reply* what;
      std::size_t offset; // of its frame in `frames`
    };
    std::vector<framed_reply> framed; // of this turn
    byte_vector frames;
    std::vector<datagram> batch;
    bool probed_ahead = false; // since the configuration was set
  };

  impl(const runtime& r, lease_store& s, server_options o)
      : rt(r), store(s), options(std::move(o)), policy(options.config, options.hooks) {
    for (std::size_t i = 0; i < published.size(); ++i)
      counter_of[i] = &rt.metrics.get(
          "netlab_dhcp_packets_total",
          {{"server", options.config.name}, {"what", std::string(to_string(static_cast<count>(i)))}});
  }

  moment at() const { return {rt.clock.now(), rt.clock.wall()}; }

  // Interfaces come and go: open what is there, close what is gone, say what is missing.
  result<void> open_links() {
    if (options.listen) return open_listen();
    auto present = rt.net.interfaces();
    if (!present) return tl::unexpected(present.error());
    const auto& networks = policy.config().networks;
    std::vector<std::unique_ptr<link>> next;
    std::optional<error> failed;
    for (std::size_t i = 0; i < networks.size(); ++i) {
      const auto& n = networks[i];
      bool found = false;
      for (const auto& info : *present) {
        bool serves = !n.interface.empty() ? info.name == n.interface
                                           : std::any_of(info.addresses.begin(), info.addresses.end(), [&](const auto& a) {
                                               return n.subnet.contains(a.address);
                                             });
        if (!serves) continue;
        found = true;
        for (bool proxy : {false, true}) {
          if (proxy && n.mode != service::proxy) continue;
          auto same = [&](const auto& l) { return l && l->info.index == info.index && l->proxy == proxy; };
          if (std::any_of(next.begin(), next.end(), same)) continue; // a second network on one wire
          if (auto old = std::find_if(links.begin(), links.end(), same); old != links.end()) {
            (*old)->network = static_cast<int>(i);
            (*old)->info = info;
            next.push_back(std::move(*old));
            continue;
          }
          auto made = open_link(info, static_cast<int>(i), proxy);
          if (made)
            next.push_back(std::move(*made));
          else
            failed = made.error();
        }
      }
      // Relays reach a network that no interface is in.
      if (!found && warned.insert({n.name, true}).second)
        rt.log(messages::no_interface, "network \"" + n.name + "\" (" + n.subnet.to_string() +
                                           "): no interface has an address in it yet");
    }
    links = std::move(next);
    probe_ahead();
    if (failed) return tl::unexpected(*failed);
    return {};
  }

  result<std::unique_ptr<link>> open_link(const interface_info& info, int network, bool proxy) {
    auto l = std::make_unique<link>();
    l->info = info;
    l->network = network;
    l->proxy = proxy;
    udp_options o;
    o.local = {ip_address::v4(0), proxy ? options.proxy_port : options.port};
    o.device = info.name;
    o.broadcast = true;
    o.receive_buffer = 1 << 20;
    auto socket = rt.net.udp(o);
    if (!socket) {
      rt.log(messages::bind_failed, info.name + ": " + socket.error().message);
      return tl::unexpected(socket.error());
    }
    l->udp = std::move(*socket);
    receive_on(*l);
    if (!proxy && !info.loopback) {
      if (auto arp = rt.net.packets(info.name, ethertype_arp)) {
        l->arp = std::move(*arp);
        l->arp->on_receive([this](const packet_socket::frame& f) { on_arp(f); });
      }
    }
    rt.log(messages::listening, "DHCP on " + info.name + " port " + std::to_string(l->udp->local().port) +
                                    " for network \"" +
                                    policy.config().networks[static_cast<std::size_t>(network)].name + "\"");
    return l;
  }

  result<void> open_listen() {
    if (!links.empty()) return {};
    for (bool proxy : {false, true}) {
      const auto& networks = policy.config().networks;
      if (proxy && std::none_of(networks.begin(), networks.end(),
                                [](const auto& n) { return n.mode == service::proxy; }))
        continue;
      auto l = std::make_unique<link>();
      l->network = 0;
      l->proxy = proxy;
      l->info.loopback = true;
      auto socket = rt.net.udp({.local = {*options.listen, proxy ? options.proxy_port : options.port},
                                .device = {},
                                .broadcast = true});
      if (!socket) {
        rt.log(messages::bind_failed, options.listen->to_string() + ": " + socket.error().message);
        return tl::unexpected(socket.error());
      }
      l->udp = std::move(*socket);
      receive_on(*l);
      links.push_back(std::move(l));
    }
    return {};
  }

  void receive_on(link& l) {
    l.udp->on_receive([this, &l](std::span<const datagram> batch) {
      if (stopping) return;
      auto keep = shared_from_this(); // a callback of ours may destroy the server
      auto t = at();
      for (const auto& d : batch) {
        arrival from;
        from.peer = d.peer;
        from.local = d.local;
        from.interface = d.interface != 0 ? d.interface : l.info.index;
        from.network = l.network;
        from.can_probe = l.arp != nullptr;
        from.proxy_port = l.proxy;
        policy.handle(d.data, from, t, out);
      }
      carry_out();
    });
  }

  // A network whose wire can be asked has free addresses verified before the first client comes.
  void probe_ahead() {
    for (auto& l : links)
      if (l->arp && !l->proxy && !std::exchange(l->probed_ahead, true))
        policy.probe_ahead(l->network, l->info.index, at(), out);
    send_probes();
  }

  void on_arp(const packet_socket::frame& f) {
    auto arp = parse_arp(f.payload);
    if (!arp || arp->sender_address.is_unspecified()) return;
    policy.address_seen(arp->sender_address, arp->sender, at(), out);
    if (!out.empty()) carry_out();
  }

  // Every action of a batch leaves together: one send per socket, one post for the store's answers.
  void carry_out() {
    auto keep = shared_from_this();
    // Commits first: their callbacks never run inside the call.
    auto commits = std::move(out.commits);
    out.commits.clear();
    for (auto& c : commits) {
      std::weak_ptr<impl> self = weak_from_this();
      store.claim(std::move(c.next), [self, token = c.token](lease_store::outcome outcome) {
        if (auto alive = self.lock()) alive->on_committed(token, std::move(outcome));
      });
    }
    send_probes();
    send_replies();
    auto notes = std::move(out.notes);
    auto events = std::move(out.events);
    auto changes = std::move(out.changes);
    out.clear();
    {
      log_batch together;
      for (const auto& n : notes) rt.log(*n.what, n.text, {{"server", policy.config().name}});
      if (options.on_event)
        for (const auto& e : events) options.on_event(e);
    }
    for (const auto& c : changes) tell(c);
    publish();
    arm();
  }

  void on_committed(std::uint64_t token, lease_store::outcome outcome) {
    policy.committed(token, std::move(outcome), at(), out);
    if (flush_posted) return;
    flush_posted = true;
    // The store calls back in batches; their ACKs leave in one.
    rt.scheduler.post([self = weak_from_this()] {
      if (auto alive = self.lock()) {
        alive->flush_posted = false;
        alive->carry_out();
      }
    });
  }

  link* find_link(std::uint32_t interface, bool proxy) {
    for (auto& l : links)
      if (l->proxy == proxy && (l->info.index == interface || options.listen)) return l.get();
    return nullptr;
  }

  void send_replies() {
    for (auto& r : out.replies) {
      if (r.size == 0) continue;
      help(r);
      auto* l = find_link(r.interface, r.proxy_port);
      if (!l) {
        rt.log(messages::send_failed, "no socket is open for the reply to " + r.to.to_string());
        continue;
      }
      if (r.how == destination::link && can_frame(*l)) {
        l->framed.push_back({&r, l->frames.size()});
        append_udp_frame(l->frames, {r.from, 67}, r.to, out.payload(r));
      } else {
        if (r.how == destination::link) without_frame(*l, r);
        l->batch.push_back(to_datagram(*l, r));
      }
    }
    for (auto& l : links) {
      if (!l->framed.empty()) send_frames(*l);
      if (!l->batch.empty()) send_batch(*l);
    }
  }

  datagram to_datagram(const link& l, const reply& r) const {
    datagram d;
    d.peer = r.to;
    // An alias is ours to send from only when the interface has it; else the kernel chooses.
    if (has_address(l, r.from)) d.local = r.from;
    d.interface = options.listen || r.how == destination::relay ? 0 : r.interface;
    d.data = out.payload(r);
    return d;
  }

  void send_batch(link& l) {
    std::span<const datagram> rest(l.batch);
    while (!rest.empty()) {
      auto sent = l.udp->send(rest);
      if (!sent) {
        rt.log(messages::send_failed,
               "reply to " + rest.front().peer.to_string() + ": " + sent.error().message);
        rest = rest.subspan(1); // the error is the first one's; the others may still go
        continue;
      }
      if (*sent == 0) break; // the kernel is full; UDP drops
      rest = rest.subspan(std::min(*sent, rest.size()));
    }
    l.batch.clear();
  }

  // A client that cannot answer ARP yet gets a frame of our making. (An entry in the kernel's neighbour table
  // does it too, but it costs two system calls for each reply and the table holds 1,024 by default.)
  bool can_frame(link& l) {
    if (options.listen || l.info.loopback) return false;
    if (!l.raw && !std::exchange(l.raw_tried, true))
      if (auto raw = rt.net.packets(l.info.name, ethertype_ipv4)) l.raw = std::move(*raw);
    return l.raw != nullptr;
  }

  void send_frames(link& l) {
    outgoing.clear();
    byte_view bytes(l.frames);
    for (std::size_t i = 0; i < l.framed.size(); ++i) {
      auto end = i + 1 < l.framed.size() ? l.framed[i + 1].offset : bytes.size();
      outgoing.push_back(
          {l.framed[i].what->mac, bytes.subspan(l.framed[i].offset, end - l.framed[i].offset)});
    }
    std::size_t done = 0;
    while (done < outgoing.size()) {
      done += l.raw->send_all(std::span<const packet_socket::outgoing>(outgoing).subspan(done));
      if (done == outgoing.size()) break;
      auto& refused = *l.framed[done++].what;
      without_frame(l, refused);
      l.batch.push_back(to_datagram(l, refused));
    }
    l.framed.clear();
    l.frames.clear();
  }

  // Without a packet socket (CAP_NET_RAW): tell the kernel the hardware address, else broadcast.
  void without_frame(const link& l, reply& r) {
    // A plain entry would take the place of the permanent one.
    if (kept.contains(r.to.address)) return;
    if (!options.listen && !l.info.loopback && rt.net.set_neighbour(l.info.index, r.to.address, r.mac))
      return;
    r.how = destination::broadcast;
    r.to.address = ip_address::v4(0xffffffff);
  }

  // What boot ROMs without a whole IP stack need beside the reply.
  void help(const reply& r) {
    if (r.keep_arp && !r.address.is_unspecified()) keep_arp(r.interface, r.address, r.mac);
    if (!r.nudge) return;
    std::erase_if(nudges, [now = rt.clock.now()](const auto& n) { return n.second.over <= now; });
    if (nudges.size() >= max_helped) return;
    std::vector<timer> timers;
    for (auto after : nudges_after)
      timers.push_back(rt.scheduler.after(after, [this, interface = r.interface, mac = r.mac, from = r.from] {
        // Any frame would do; one that wakes this very machine disturbs no other (AMD's magic packet).
        byte_vector magic(6, 0xff);
        for (int i = 0; i < 16; ++i) magic.insert(magic.end(), mac.octets.begin(), mac.octets.end());
        datagram d;
        d.peer = {ip_address::v4(0xffffffff), 9};
        auto* l = find_link(interface, false);
        if (!l) return;
        if (has_address(*l, from)) d.local = from;
        d.interface = options.listen ? 0 : interface;
        d.data = magic;
        (void)l->udp->send(d); // the client asks again when it missed this one too
      }));
    nudges[r.mac] = {rt.clock.now() + 2 * std::end(nudges_after)[-1], std::move(timers)};
  }

  void keep_arp(std::uint32_t interface, const ip_address& address, const mac_address& mac) {
    if (options.listen) return;
    auto found = kept.find(address);
    if (found == kept.end() && kept.size() >= max_helped) return;
    if (auto ok = rt.net.set_neighbour(interface, address, mac, true); !ok) {
      rt.log(messages::arp_not_kept,
             address.to_string() + " at " + mac.to_string() + ": " + ok.error().message);
      return;
    }
    kept[address] = {interface, rt.scheduler.after(arp_kept_for, [this, address] { forget_arp(address); })};
  }

  void forget_arp(const ip_address& address) {
    auto found = kept.extract(address);
    if (!found.empty()) (void)rt.net.forget_neighbour(found.mapped().interface, address);
  }

  void forget_helped() {
    nudges.clear();
    while (!kept.empty()) forget_arp(kept.begin()->first);
  }

  bool has_address(const link& l, const ip_address& a) const {
    return std::any_of(l.info.addresses.begin(), l.info.addresses.end(),
                       [&](const auto& c) { return c.address == a; });
  }

  void send_probes() {
    for (std::size_t i = 0; i < out.probes.size();) {
      auto* l = find_link(out.probes[i].interface, false);
      std::size_t n = 1;
      while (i + n < out.probes.size() && out.probes[i + n].interface == out.probes[i].interface) ++n;
      if (l && l->arp) {
        std::vector<byte_vector> bytes;
        outgoing.clear();
        for (std::size_t k = 0; k < n; ++k) {
          bytes.push_back(make_arp_probe(l->info.mac, out.probes[i + k].address));
          outgoing.push_back({everybody, bytes.back()});
        }
        // What does not leave is as good as a request that was lost on the wire.
        (void)l->arp->send_all(outgoing);
      }
      i += n;
    }
    out.probes.clear();
  }

  void tell(const lease_change& c) {
    auto name = c.what.hostname.empty() ? c.what.mac.to_string()
                                        : c.what.hostname + " (" + c.what.mac.to_string() + ")";
    auto second = std::chrono::duration_cast<std::chrono::seconds>(rt.clock.now().time_since_epoch()).count();
    if (second != line_second) {
      if (lines > lease_lines_per_second)
        rt.log(messages::lease_lines,
               std::to_string(lines - lease_lines_per_second) + " more leases changed");
      line_second = second;
      lines = 0;
    }
    if (++lines <= lease_lines_per_second)
      rt.log(messages::lease_granted,
             c.what.address.to_string() +
                 (c.ended     ? " " + std::string(to_string(c.reason)) + ": "
                  : c.renewed ? " renewed by "
                              : " leased to ") +
                 name,
             {{"network", c.what.network}});
    if (c.ended) {
      forget_arp(c.what.address);
      if (options.on_lease_end) options.on_lease_end(c.what, c.reason);
    } else if (options.on_lease) {
      options.on_lease(c.what);
    }
  }

  void publish() {
    const auto& now = policy.counters();
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i] != published[i]) {
        counter_of[i]->add(now[i] - published[i]);
        published[i] = now[i];
      }
  }

  // One timer for everything that runs out.
  void arm() {
    auto next = policy.next_deadline();
    if (next == boot_time::max()) {
      armed = boot_time::max();
      alarm.cancel();
      return;
    }
    // A far deadline still looks at the wall clock now and then, to see it being set.
    auto now = rt.clock.now();
    auto due = std::min(next, now + std::chrono::minutes(1));
    if (armed != boot_time::max() && armed <= due && armed > now) return; // it will re-arm itself
    armed = due;
    alarm = rt.scheduler.after(std::max(due - now, duration{}), [this] {
      armed = boot_time::max();
      policy.advance(at(), out);
      carry_out();
    });
  }

  runtime rt;
  lease_store& store;
  server_options options;
  engine policy;
  actions out;
  std::vector<std::unique_ptr<link>> links;
  std::vector<packet_socket::outgoing> outgoing; // scratch
  std::map<std::string, bool> warned;
  std::shared_ptr<void> watch;
  struct kept_entry {
    std::uint32_t interface = 0;
    timer until;
  };
  std::map<ip_address, kept_entry> kept; // permanent entries of ours in the kernel's neighbour table
  struct nudge_series {
    boot_time over; // all of its timers have run
    std::vector<timer> timers;
  };
  std::map<mac_address, nudge_series> nudges;
  timer alarm;
  boot_time armed = boot_time::max();
  bool stopping = false, flush_posted = false;
  std::uint64_t lines = 0;
  std::int64_t line_second = -1;
  counts published{};
  std::array<counter*, static_cast<std::size_t>(count::last_)> counter_of{};
};

result<std::unique_ptr<server>> server::start(const runtime& rt, lease_store& store, server_options options) {
  if (auto mistakes = check(options.config); !mistakes.empty()) return tl::unexpected(mistakes.front());
  auto i = std::make_shared<impl>(rt, store, std::move(options));
  auto stored = store.load();
  if (!stored) return tl::unexpected(stored.error());
  i->policy.load(std::move(*stored), i->at());
  if (auto ok = i->open_links(); !ok) return tl::unexpected(ok.error());
  if (!i->options.listen) {
    auto watch = rt.net.watch_addresses([weak = std::weak_ptr<impl>(i)] {
      // What cannot be opened now is logged and tried again at the next change.
      if (auto alive = weak.lock(); alive && !alive->stopping) (void)alive->open_links();
    });
    if (watch) i->watch = std::move(*watch);
  }
  i->arm();
  return std::unique_ptr<server>(new server(std::move(i)));
}

server::~server() {
  if (!impl_) return;
  impl_->stopping = true;
  impl_->alarm.cancel();
  impl_->forget_helped();
  impl_->watch.reset();
  impl_->links.clear();
}

result<void> server::reconfigure(server_config config) {
  if (auto mistakes = check(config); !mistakes.empty()) return tl::unexpected(mistakes.front());
  impl_->policy.reconfigure(std::move(config), impl_->at());
  impl_->warned.clear();
  for (auto& l : impl_->links) l->probed_ahead = false;
  auto ok = impl_->open_links();
  impl_->arm();
  return ok;
}

void server::stop(std::function<void()> done) {
  impl_->stopping = true;
  impl_->store.drain([self = std::weak_ptr<impl>(impl_), done = std::move(done)] {
    if (auto alive = self.lock()) {
      alive->carry_out(); // the last ACKs
      alive->alarm.cancel();
      alive->forget_helped();
      alive->links.clear();
    }
    if (done) done();
  });
}

void server::keep_arp(const ip_address& address, const mac_address& mac) {
  auto network = impl_->policy.find_network(address);
  for (const auto& l : impl_->links)
    if (network >= 0 && l->network == network && !l->proxy)
      return impl_->keep_arp(l->info.index, address, mac);
}

result<void> server::drop_lease(const ip_address& address) {
  auto ok = impl_->policy.drop(address, impl_->at(), impl_->out);
  impl_->carry_out();
  return ok;
}

std::vector<lease> server::leases() const { return impl_->policy.leases(impl_->at()); }
std::vector<foreign_server> server::foreign_servers() const { return impl_->policy.foreign_servers(); }
counts server::counters() const { return impl_->policy.counters(); }
std::vector<endpoint> server::endpoints() const {
  std::vector<endpoint> out;
  for (const auto& l : impl_->links) out.push_back(l->udp->local());
  return out;
}

} // namespace netlab::dhcp
