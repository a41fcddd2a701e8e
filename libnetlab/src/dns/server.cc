#include "netlab/dns_server.h"

#include <algorithm>
#include <array>

#include "hook_desk.h"
#include "messages.h"
#include "netlab/late_binding.h"
#include "server_metrics.h"
#include "stream_clients.h"
#include "upstream_addresses.h"
#include "upstream_links.h"

namespace netlab::dns {

namespace {

constexpr std::size_t batch_size = 64;
constexpr std::size_t slot_size = 4096; // the largest UDP answer (engine_config::udp_size)
constexpr duration drain_limit = std::chrono::seconds(2);
constexpr std::uint64_t asked_token = std::uint64_t{1} << 60; // 61 is the hook desk's

struct listening {
  endpoint wanted;
  bool tls = false;
  std::size_t number = 0;          // by which late replies find their way back
  std::unique_ptr<udp_socket> udp; // none while the address is missing, and for TLS
  std::unique_ptr<listener> tcp;
  bool bound() const { return tcp != nullptr; }
};

} // namespace

struct server::impl {
  runtime& world;
  server_config config;
  engine resolver;
  server_metrics published;
  upstream_links links;
  stream_clients streams;
  std::unique_ptr<hook_desk> hook; // none: no query waits for a program
  std::vector<std::unique_ptr<listening>> listeners;
  late_binding late;
  std::unique_ptr<std::uint8_t[]> slots{new std::uint8_t[batch_size * slot_size]};
  std::array<datagram, batch_size> outgoing;
  engine_actions todo; // being done; takes turns with the engine's own, so that neither grows anew
  timer alarm;
  std::optional<boot_time> alarm_at;
  std::string last_bogus;
  std::optional<boot_time> bogus_said;
  std::uint64_t bogus_unsaid = 0;
  bool pumping = false, pump_posted = false, draining = false;
  std::function<void()> drained;
  timer drain_deadline;
  std::optional<upstream_addresses> addresses;
  std::unordered_map<std::uint64_t, std::function<void(byte_view)>> asked; // by token
  std::uint64_t next_asked = 0;
  std::shared_ptr<impl*> self = std::make_shared<impl*>(this);

  static server_config with_clock(server_config c, const netlab::clock& clock) {
    c.engine.clock = &clock;
    return c;
  }

  impl(runtime& w, server_config c)
      : world(w), config(with_clock(std::move(c), w.clock)), resolver(config.engine, world.random),
        published(w.metrics, config.name, config.worker),
        links(w, {[this](std::uint64_t attempt, const endpoint& from, byte_view bytes) {
                    resolver.on_upstream(attempt, from, bytes, world.clock.now());
                  },
                  [this](std::uint64_t attempt, std::string why) {
                    resolver.on_upstream_failure(attempt, std::move(why), world.clock.now());
                  },
                  [this] { pump_soon(); }}),
        streams(
            w.clock, w.scheduler, {config.max_streams, config.max_streams_per_client, config.stream_idle},
            [this](std::uint64_t stream, const endpoint& client, byte_view query, byte_span out) {
              request r;
              r.bytes = query;
              r.client = client;
              r.stream = true;
              r.token = stream;
              return answer(r, world.clock.now(), out);
            },
            [this] { pump(); }),
        late(w, config.name) {
    resolver.observe(config.sink);
    if (config.hook)
      hook = std::make_unique<hook_desk>(
          w, resolver, config,
          [this](const late_reply& r) {
            send_late({&r, 1});
          },
          [this] { pump(); });
  }
  ~impl() { self.reset(); }

  // --- endpoints

  result<void> start() {
    if (config.listen.empty() && config.listen_tls.empty())
      return fail(errc::invalid, config.name + ": no endpoint to listen on");
    if (auto fine = check(config); !fine) return fine;
    for (bool tls : {false, true})
      for (const auto& wanted : tls ? config.listen_tls : config.listen) {
        listeners.push_back(std::make_unique<listening>());
        auto& at = *listeners.back();
        at.wanted = wanted;
        at.tls = tls;
        at.number = listeners.size() - 1;
        auto bound = late.bind(wanted, [this, &at] { return bind(at); });
        if (bound) continue;
        late.stop();
        listeners.clear();
        return bound;
      }
    addresses.emplace(
        world, config.name, config.engine.groups, config.bootstrap,
        [this](const std::string& host, const ip_address& at) { resolver.set_upstream_address(host, at); });
    return {};
  }

  result<void> bind(listening& at) {
    // Any free port must be free for both; another program may take it in between.
    for (int attempt = 0;; ++attempt) {
      auto where = at.wanted;
      std::unique_ptr<udp_socket> udp;
      if (!at.tls) {
        udp_options o;
        o.local = where;
        o.reuse_port = config.reuse_port;
        o.receive_buffer = 1 << 20; // a burst of a whole house's devices
        auto socket = world.net.udp(o);
        if (!socket) return tl::unexpected(socket.error());
        udp = std::move(*socket);
        where.port = udp->local().port;
      }
      listen_options l;
      l.local = where;
      l.reuse_port = config.reuse_port;
      if (at.tls) l.tls = config.tls;
      auto tcp = world.net.listen(l, [this](std::unique_ptr<netlab::stream> s) {
        if (!draining) streams.accept(std::move(s));
      });
      if (!tcp) {
        if (tcp.error().code == errc::exists && at.wanted.port == 0 && attempt < 20) continue;
        return tl::unexpected(tcp.error());
      }
      at.tcp = std::move(*tcp);
      at.udp = std::move(udp);
      if (at.udp)
        at.udp->on_receive([this, &at](std::span<const datagram> batch) { on_datagrams(at, batch); });
      return {};
    }
  }

  // --- queries

  std::size_t waiting() const { return resolver.waiting() + (hook ? hook->waiting() : 0); }
  std::size_t answer(const request& r, boot_time now, byte_span out) {
    return hook ? hook->handle(r, now, out) : resolver.handle(r, now, out);
  }

  void on_datagrams(listening& at, std::span<const datagram> batch) {
    auto& socket = *at.udp;
    auto now = world.clock.now();
    auto& out = outgoing;
    std::size_t count = 0;
    // A socket of one address answers from it without being told, which spares the kernel a look-up.
    bool tell_source = at.wanted.address.is_unspecified();
    request r;
    r.token = at.number;
    if (batch.size() > 1 && !hook && !draining) {
      std::array<byte_view, engine::most_expected> queries;
      auto several = std::min(batch.size(), queries.size());
      for (std::size_t i = 0; i < several; ++i) queries[i] = batch[i].data;
      resolver.expect(std::span(queries.data(), several));
    }
    for (const auto& d : batch) {
      if (count == batch_size) {
        (void)socket.send(std::span(out.data(), count));
        count = 0;
      }
      byte_span slot(slots.get() + count * slot_size, slot_size);
      r.bytes = d.data;
      r.client = d.peer;
      r.local = tell_source ? d.local : ip_address();
      // The way back is routing's business, but for link-local addresses, which are on one interface only.
      r.interface = d.peer.address.is_link_local() ? d.interface : 0;
      auto size = draining ? 0 : answer(r, now, slot);
      if (size > 0) out[count++] = {r.client, r.local, r.interface, slot.first(size)};
    }
    if (count > 0) (void)socket.send(std::span(out.data(), count));
    pump();
  }

  // --- what the engine wants done

  void pump() {
    if (pumping) return;
    pumping = true;
    while (!resolver.actions().empty()) {
      std::swap(todo, resolver.actions());
      for (auto& t : todo.transmissions) links.send(std::move(t));
      if (!todo.transmissions.empty()) links.flush();
      for (auto attempt : todo.closed) links.close(attempt);
      send_late(todo.replies);
      for (const auto& h : todo.health) {
        if (h.up)
          world.log(msg_upstream_up, config.name + ": " + h.upstream + " answers again");
        else
          world.log(msg_upstream_down, config.name + ": " + h.upstream + " does not answer: " + h.why);
      }
      for (const auto& e : todo.bogus) say_bogus(e);
      for (const auto& e : todo.rebinds)
        world.log(msg_rebind, config.name + ": " + e.name + " leads to " + e.address, {{"client", e.client}});
      todo.clear();
    }
    pumping = false;
    published.publish(resolver.counts());
    arm();
    if (draining && drained && waiting() == 0) finish_drain();
  }

  // Answers of upstreams come by many sockets in one turn of the loop: what they lead to leaves together.
  void pump_soon() {
    if (std::exchange(pump_posted, true)) return;
    world.scheduler.post([this, weak = std::weak_ptr(self)] {
      if (weak.expired()) return;
      pump_posted = false;
      pump();
    });
  }

  // A zone that is broken is asked for again and again: one line in ten seconds tells it.
  void say_bogus(const engine_actions::bogus_event& e) {
    last_bogus = e.name + ": " + e.why;
    auto now = world.clock.now();
    ++bogus_unsaid;
    if (bogus_said && now - *bogus_said < std::chrono::seconds(10)) return;
    auto others = bogus_unsaid > 1 ? " (and " + std::to_string(bogus_unsaid - 1) + " more)" : std::string();
    world.log(msg_bogus, config.name + ": " + last_bogus + others, {{"name", e.name}});
    bogus_said = now;
    bogus_unsaid = 0;
  }

  // Datagrams that leave by one socket leave together.
  void send_late(std::span<const late_reply> all) {
    std::size_t count = 0;
    std::uint64_t way = 0;
    auto flush = [&] {
      if (count > 0) (void)listeners[way]->udp->send(std::span<const datagram>(outgoing.data(), count));
      count = 0;
    };
    for (const auto& r : all) {
      // What these call may send as well.
      if (r.token & (asked_token | hook_desk::token_mark)) flush();
      if (r.token & asked_token) {
        on_asked(r);
      } else if (r.token & hook_desk::token_mark) {
        hook->on_rewritten(r);
      } else if (r.stream) {
        streams.reply(r.token, r.bytes);
      } else {
        if (count == batch_size || r.token != way) flush();
        way = r.token;
        outgoing[count++] = {r.client, r.local, r.interface, r.bytes};
      }
    }
    flush();
  }

  void arm() {
    auto next = resolver.deadline();
    if (!next || (alarm_at && *alarm_at <= *next)) return;
    alarm_at = next;
    alarm = world.scheduler.after(std::max(duration{}, *next - world.clock.now()), [this] {
      alarm_at.reset();
      resolver.on_time(world.clock.now());
      pump();
      arm();
    });
  }

  // --- queries that came in another way

  void ask(byte_view query, const endpoint& client, std::function<void(byte_view)> done) {
    if (draining || query.size() < header_size || (query[2] & 0x80) != 0) return done({});
    request r;
    r.bytes = query;
    r.client = client;
    r.stream = true;
    r.token = asked_token | next_asked++;
    byte_vector out(max_message);
    auto size = answer(r, world.clock.now(), out);
    if (size > 0)
      done(byte_view(out).first(size));
    else
      asked.emplace(r.token, std::move(done));
    pump();
  }

  void on_asked(const late_reply& r) {
    auto found = asked.find(r.token);
    if (found == asked.end()) return;
    auto done = std::move(found->second);
    asked.erase(found);
    done(r.bytes);
  }

  // --- the end

  void finish_drain() {
    drain_deadline.cancel();
    world.scheduler.post(std::exchange(drained, nullptr));
  }
};

result<void> check(const server_config& config) {
  for (const auto& g : config.engine.groups)
    for (const auto& u : g.members)
      if (!u.host.empty() && config.bootstrap.empty())
        return fail(errc::invalid,
                    "\"" + u.text +
                        "\" is named: give bootstrap = { \"9.9.9.9\" }, a resolver that finds its address",
                    "bootstrap");
  if (!config.bootstrap.empty())
    if (auto fine = bootstrap_question("localhost", config.bootstrap); !fine)
      return tl::unexpected(fine.error());
  return check(config.engine);
}

server::server(runtime& world, server_config config)
    : impl_(std::make_unique<impl>(world, std::move(config))) {}
server::~server() = default;
result<void> server::start() { return impl_->start(); }
void server::use(std::shared_ptr<const snapshot> now_valid) { impl_->resolver.use(std::move(now_valid)); }

void server::drain(std::function<void()> done) {
  impl_->draining = true;
  impl_->drained = std::move(done);
  impl_->addresses.reset();
  if (impl_->waiting() == 0) return impl_->finish_drain();
  impl_->drain_deadline = impl_->world.scheduler.after(drain_limit, [i = impl_.get()] {
    if (i->drained) i->finish_drain();
  });
}

std::vector<endpoint> server::local() const {
  std::vector<endpoint> out;
  for (const auto& l : impl_->listeners)
    if (l->bound()) out.push_back(l->udp ? l->udp->local() : l->tcp->local());
  return out;
}

server_status server::status() const {
  const auto& r = impl_->resolver;
  return {r.counts(),       r.health(),  r.cached_answers(),
          r.cached_bytes(), r.waiting(), impl_->streams.count(),
          impl_->last_bogus};
}

void server::ask(byte_view query, const endpoint& client, std::function<void(byte_view)> done) {
  impl_->ask(query, client, std::move(done));
}

byte_vector server::save_cache() const {
  return impl_->resolver.save_cache(impl_->world.clock.now(), impl_->world.clock.wall());
}
std::size_t server::load_cache(byte_view saved) {
  return impl_->resolver.load_cache(saved, impl_->world.clock.now(), impl_->world.clock.wall());
}

void server::clear_cache() { impl_->resolver.clear_cache(); }
std::optional<kept_answer> server::kept(const name& qname, std::uint16_t type, std::uint8_t group,
                                        safe_search safe) const {
  return impl_->resolver.kept(qname, type, group, safe, impl_->world.clock.now());
}

} // namespace netlab::dns
