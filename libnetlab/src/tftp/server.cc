#include "netlab/tftp_server.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "content.h"
#include "messages.h"
#include "netlab/late_binding.h"
#include "netlab/text.h"
#include "packet.h"
#include "path.h"
#include "root_folder.h"
#include "sender.h"

namespace netlab::tftp {

namespace {

// How long a source may take before the client, which repeats its request meanwhile, is told.
constexpr duration source_patience = std::chrono::seconds(30);
// Deadlines need no precision, and many transfers share a wake-up this way.
constexpr duration timer_grain = std::chrono::milliseconds(50);
constexpr duration mtu_lifetime = std::chrono::seconds(10);

struct listening {
  endpoint wanted;
  std::unique_ptr<udp_socket> socket; // none while its address is missing
};

struct transfer {
  endpoint client;
  listening* via = nullptr;
  ip_address local; // the address that was asked
  std::uint32_t interface = 0;
  byte_vector request_bytes;
  std::string path;
  transfer_mode mode = transfer_mode::octet;
  options wanted;
  std::uint64_t serial = 0; // tells it from an earlier one of the same client port
  boot_time opened, heap_at;
  bool in_heap = false;
  std::optional<sender> engine;       // none while the source is asked
  std::unique_ptr<udp_socket> socket; // its own port; none in single-port mode
  std::function<void(const transfer_report&)> on_done;
  std::string send_trouble; // why the last send failed

  boot_time deadline() const { return engine ? engine->deadline() : opened + source_patience; }
};

struct due {
  boot_time when;
  endpoint client;
  std::uint64_t serial;
  bool operator>(const due& other) const { return when > other.when; }
};

struct counters {
  counter &requests, &completed, &failed, &probes, &not_found, &refused, &limited, &malformed, &repeated,
      &stray, &bytes, &retransmissions;
  counters(metrics& m, const std::string& name)
      : requests(get(m, name, "requests")), completed(get(m, name, "completed")),
        failed(get(m, name, "failed")), probes(get(m, name, "probes")), not_found(get(m, name, "not_found")),
        refused(get(m, name, "refused")), limited(get(m, name, "limited")),
        malformed(get(m, name, "malformed")), repeated(get(m, name, "repeated_requests")),
        stray(get(m, name, "stray_packets")), bytes(get(m, name, "sent_bytes")),
        retransmissions(get(m, name, "retransmissions")) {}

  static counter& get(metrics& m, const std::string& name, std::string_view what) {
    return m.get("netlab_tftp_" + std::string(what) + "_total", {{"server", name}});
  }
};

opcode opcode_of(byte_view bytes) {
  return bytes.size() < 2 ? opcode{} : static_cast<opcode>(bytes[0] << 8 | bytes[1]);
}

error_code wire_code(errc code) {
  if (code == errc::not_found) return error_code::file_not_found;
  if (code == errc::denied) return error_code::access_violation;
  return error_code::undefined;
}

} // namespace

struct server::impl {
  runtime& world;
  server_config config;
  counters count;
  std::vector<std::unique_ptr<listening>> listeners;
  late_binding late;
  std::unordered_map<endpoint, std::unique_ptr<transfer>> running;
  std::unordered_map<ip_address, std::size_t> per_client;
  std::priority_queue<due, std::vector<due>, std::greater<>> heap;
  timer alarm;
  std::optional<boot_time> alarm_at;
  std::uint64_t next_serial = 1;
  std::unordered_map<std::uint32_t, std::uint32_t> mtus;
  boot_time mtus_until;
  bool draining = false;
  std::function<void()> drained;
  timer drain_timer;
  // Replies of sources and posted calls may come after the end.
  std::shared_ptr<impl*> self = std::make_shared<impl*>(this);

  impl(runtime& w, server_config c)
      : world(w), config(std::move(c)), count(w.metrics, config.name), late(w, config.name) {
    while (config.root.size() > 1 && config.root.ends_with('/')) config.root.pop_back();
  }

  ~impl() {
    config.on_access = nullptr;
    self.reset();
    while (!running.empty()) stop(*running.begin()->second);
  }

  // --- endpoints ---

  result<void> start() {
    if (config.listen.empty()) return fail(errc::invalid, config.name + ": no endpoint to listen on");
    if (!config.source && config.root.empty())
      return fail(errc::invalid, config.name + ": neither a folder nor a source to serve");
    if (config.max_blksize < min_blksize || config.max_blksize > max_blksize)
      return fail(errc::invalid, config.name + ": max_blksize lies between 8 and 65464");
    if (config.max_windowsize < 1 || config.max_windowsize > 1024)
      return fail(errc::invalid, config.name + ": max_windowsize lies between 1 and 1024");
    if (config.timeout <= duration{})
      return fail(errc::invalid, config.name + ": timeout is longer than nothing");
    for (const auto& wanted : config.listen) {
      listeners.push_back(std::make_unique<listening>());
      listeners.back()->wanted = wanted;
      auto bound = late.bind(wanted, [this, &at = *listeners.back()] { return bind(at); });
      if (bound) continue;
      late.stop();
      listeners.clear();
      return bound;
    }
    return {};
  }

  result<void> bind(listening& at) {
    udp_options o;
    o.local = at.wanted;
    o.device = config.device;
    auto socket = world.net.udp(o);
    if (!socket) return tl::unexpected(socket.error());
    at.socket = std::move(*socket);
    at.socket->on_receive([this, &at](std::span<const datagram> batch) {
      auto now = world.clock.now();
      for (const auto& each : batch) on_listener(at, each, now);
    });
    return {};
  }

  // Runs `fn` later unless the server is gone by then.
  template<class F>
  void post(F fn) {
    world.scheduler.post([weak = std::weak_ptr(self), fn] {
      if (auto alive = weak.lock()) fn(**alive);
    });
  }

  // --- requests ---

  void on_listener(listening& at, const datagram& d, boot_time now) {
    auto op = opcode_of(d.data);
    if (op != opcode::rrq && op != opcode::wrq) {
      auto known = config.single_port ? running.find(d.peer) : running.end();
      if (known != running.end() && known->second->engine) return on_transfer(*known->second, d, now);
      count.stray.add();
      if (op == opcode::data || op == opcode::ack)
        say_error(at, d, error_code::unknown_transfer_id, "unknown transfer ID");
      return;
    }
    count.requests.add();
    if (draining) return; // the client asks again, and whoever serves then answers
    auto packet = decode(d.data);
    if (!packet) {
      count.malformed.add();
      return refuse(at, d, {}, error_code::illegal_operation, msg_malformed, packet.error().message);
    }
    const auto& asked = std::get<request>(*packet);
    if (asked.write) {
      count.refused.add();
      return refuse(at, d, asked, error_code::access_violation, msg_write_refused,
                    "this server takes no files");
    }
    if (asked.mode == transfer_mode::other) {
      count.malformed.add();
      return refuse(at, d, asked, error_code::illegal_operation, msg_malformed,
                    "the mode is neither octet nor netascii");
    }
    if (repeats(d, now)) return;
    auto path = clean_path(asked.file);
    if (!path) {
      bool missing = path.error().code == errc::not_found;
      (missing ? count.not_found : count.refused).add();
      return refuse(at, d, asked, wire_code(path.error().code), missing ? msg_not_found : msg_refused_path,
                    path.error().message);
    }
    auto mine = per_client.find(d.peer.address);
    bool full = running.size() >= config.max_transfers;
    if (full || (mine != per_client.end() && mine->second >= config.max_transfers_per_client)) {
      count.limited.add();
      return refuse(at, d, asked, error_code::undefined, msg_limit,
                    full ? "too many transfers, try again later"
                         : "too many transfers of this client, try again later");
    }
    open(at, d, asked, std::move(*path), now);
  }

  // True when the request belongs to a transfer that runs and has been dealt with.
  bool repeats(const datagram& d, boot_time now) {
    auto known = running.find(d.peer);
    if (known == running.end()) return false;
    auto& t = *known->second;
    bool same = std::equal(d.data.begin(), d.data.end(), t.request_bytes.begin(), t.request_bytes.end());
    if (same && !(t.engine && t.engine->answered())) {
      count.repeated.add();
      if (t.engine) transmit(t, t.engine->on_repeated_request(now));
      return true;
    }
    // The node was reset, or its ERROR got lost: what runs there talks to nobody.
    abandon(t, "the client asked again", now);
    return false;
  }

  void open(listening& at, const datagram& d, const request& asked, std::string path, boot_time now) {
    auto made = std::make_unique<transfer>();
    auto& t = *made;
    t.client = d.peer;
    t.via = &at;
    t.local = d.local;
    t.interface = d.interface;
    t.request_bytes.assign(d.data.begin(), d.data.end());
    t.path = std::move(path);
    t.mode = asked.mode;
    t.wanted = asked.wanted;
    t.serial = next_serial++;
    t.opened = now;
    ++per_client[t.client.address];
    running.emplace(t.client, std::move(made));
    schedule(t);
    if (!config.source) return answer_from_root(t);
    asset_request question;
    question.protocol = asset_protocol::tftp;
    question.client = t.client;
    question.server = t.local;
    question.server_port = at.socket->local().port;
    question.path = t.path;
    config.source->open(
        question, [weak = std::weak_ptr(self), client = t.client, serial = t.serial](result<asset> reply) {
          auto alive = weak.lock();
          auto* waiting = alive ? (*alive)->find(client, serial) : nullptr;
          if (waiting) return (*alive)->on_reply(*waiting, std::move(reply));
          if (reply && reply->on_done) {
            transfer_report gone;
            gone.reason = "the client went away before the answer was ready";
            reply->on_done(gone);
          }
        });
  }

  transfer* find(const endpoint& client, std::uint64_t serial) {
    auto known = running.find(client);
    return known != running.end() && known->second->serial == serial ? known->second.get() : nullptr;
  }

  void on_reply(transfer& t, result<asset> reply) {
    if (!reply) {
      if (reply.error().code == errc::not_found && !config.root.empty()) return answer_from_root(t);
      return turn_down(t, reply.error());
    }
    t.on_done = std::move(reply->on_done);
    auto what = std::visit(
        [](auto& given) -> result<std::unique_ptr<content>> {
          if constexpr (std::is_same_v<std::decay_t<decltype(given)>, asset::file_path>) {
            auto file = open_file::open(given.path);
            if (!file) return tl::unexpected(file.error());
            return make_content(std::move(*file));
          } else {
            if (!given) return fail(errc::invalid, "the file's source gave nothing to send", "tftp.open");
            return make_content(std::move(given));
          }
        },
        reply->content);
    if (!what) return turn_down(t, what.error());
    send(t, std::move(*what));
  }

  void answer_from_root(transfer& t) {
    auto file = open_in_root(config.root, t.path);
    if (!file) return turn_down(t, file.error());
    send(t, make_content(std::move(*file)));
  }

  void send(transfer& t, std::unique_ptr<content> what) {
    auto now = world.clock.now();
    if (t.mode == transfer_mode::netascii) what = make_netascii(std::move(what));
    if (!config.single_port) {
      udp_options o;
      o.local = {t.local.is_unspecified() ? t.via->wanted.address : t.local, 0};
      o.device = config.device;
      auto socket = world.net.udp(o);
      if (!socket) return turn_down(t, socket.error(), msg_no_socket);
      t.socket = std::move(*socket);
      t.socket->on_receive([this, &t](std::span<const datagram> batch) { on_own_socket(t, batch); });
    }
    send_limits limits;
    limits.max_blksize = fitting_blksize(t, now);
    limits.max_windowsize = config.max_windowsize;
    limits.timeout = config.timeout;
    limits.retries = config.retries;
    auto size = what->size();
    t.engine.emplace(std::move(what), negotiate(t.wanted, limits, size), now);
    advance(t, t.engine->start(now));
  }

  std::uint32_t fitting_blksize(const transfer& t, boot_time now) {
    if (!config.fit_mtu) return config.max_blksize;
    if (now >= mtus_until) {
      mtus_until = now + mtu_lifetime;
      mtus.clear();
      if (auto all = world.net.interfaces())
        for (const auto& each : *all) mtus[each.index] = each.mtu;
    }
    auto known = mtus.find(t.interface);
    std::uint32_t mtu = known != mtus.end() ? known->second : 1500;
    std::uint32_t headers = (t.client.address.is_v6() ? 40u : 20u) + 8u + header_size;
    auto fits = mtu > headers + min_blksize ? mtu - headers : min_blksize;
    return std::min(config.max_blksize, fits);
  }

  // --- running transfers ---

  void on_own_socket(transfer& t, std::span<const datagram> batch) {
    auto now = world.clock.now();
    for (const auto& each : batch) {
      if (each.peer != t.client) {
        // RFC 1350 §4: tell the stranger, leave the transfer alone.
        count.stray.add();
        if (opcode_of(each.data) != opcode::error)
          (void)t.socket->send(datagram{
              each.peer, {}, 0, encode_error(error_code::unknown_transfer_id, "unknown transfer ID")});
        continue;
      }
      if (!step(t, t.engine->on_packet(each.data, now))) return;
    }
  }

  void on_transfer(transfer& t, const datagram& d, boot_time now) {
    advance(t, t.engine->on_packet(d.data, now));
  }

  void advance(transfer& t, const sender::output& out) { (void)step(t, out); }

  // Sends what the engine wants; false when that was the end, and `t` is gone.
  bool step(transfer& t, const sender::output& out) {
    transmit(t, out);
    if (t.engine->finished()) {
      finish(t);
      return false;
    }
    if (!t.in_heap || t.engine->deadline() < t.heap_at) schedule(t);
    return true;
  }

  void transmit(transfer& t, const sender::output& out) {
    if (out.empty()) return;
    auto& socket = t.socket ? *t.socket : *t.via->socket;
    // A transfer's own socket is bound to the address already.
    auto from = t.socket ? ip_address{} : t.local;
    auto sent = out.bytes.size() > out.segment ? socket.send_segments(t.client, from, out.bytes, out.segment)
                                               : socket.send(datagram{t.client, from, 0, out.bytes});
    if (!sent)
      t.send_trouble = sent.error().message;
    else
      count.bytes.add(out.bytes.size());
  }

  void turn_down(transfer& t, const error& why) {
    bool missing = why.code == errc::not_found, denied = why.code == errc::denied;
    turn_down(t, why, missing ? msg_not_found : denied ? msg_refused_path : msg_content_failed);
  }

  void turn_down(transfer& t, const error& why, const message& what) {
    (why.code == errc::not_found ? count.not_found : count.refused).add();
    auto code = wire_code(why.code);
    // Paths of this machine are nobody's business on the wire.
    auto text = code == error_code::undefined ? std::string_view(why.message) : to_string(code);
    auto bytes = encode_error(code, text);
    if (auto* socket = t.socket ? t.socket.get() : t.via->socket.get())
      (void)socket->send(datagram{t.client, t.local, 0, bytes});
    transfer_report report;
    report.elapsed = world.clock.now() - t.opened;
    report.reason = why.message;
    auto gone = take(t);
    log_line(what, *gone, why.message);
    tell(*gone, report);
  }

  void abandon(transfer& t, std::string reason, boot_time now) {
    if (t.engine) {
      t.engine->abandon(reason, now);
      auto report = t.engine->report();
      count.failed.add();
      auto gone = take(t);
      log_line(msg_asked_again, *gone, reason);
      return tell(*gone, report);
    }
    transfer_report report;
    report.reason = std::move(reason);
    auto gone = take(t);
    tell(*gone, report);
  }

  void stop(transfer& t) {
    auto now = world.clock.now();
    if (t.engine) return advance(t, t.engine->abort(error_code::undefined, "the server stops", now));
    turn_down(t, error{errc::closed, "the server stops", "tftp"}, msg_stopped);
  }

  void finish(transfer& t) {
    auto report = t.engine->report();
    if (!t.send_trouble.empty() && !report.completed && !report.probe)
      report.reason += " (sending failed: " + t.send_trouble + ")";
    count.retransmissions.add(t.engine->retransmissions());
    auto how = t.engine->how();
    (report.completed ? count.completed : report.probe ? count.probes : count.failed).add();
    auto gone = take(t);
    switch (how) {
    case sender::ending::completed:
      log_line(msg_sent, *gone, format_size(report.bytes) + " in " + format_elapsed(report.elapsed));
      break;
    case sender::ending::probe: log_line(msg_probe, *gone, "size asked"); break;
    case sender::ending::client_error: log_line(msg_client_error, *gone, progress_of(report)); break;
    case sender::ending::timeout: log_line(msg_timeout, *gone, progress_of(report)); break;
    case sender::ending::local_error: log_line(msg_content_failed, *gone, progress_of(report)); break;
    case sender::ending::abandoned: log_line(msg_stopped, *gone, progress_of(report)); break;
    }
    tell(*gone, report);
  }

  static std::string progress_of(const transfer_report& report) {
    return report.reason + " after " + format_size(report.bytes) + " of " + format_size(report.size);
  }

  // Out of every list; what it was lives on in the result.
  std::unique_ptr<transfer> take(transfer& t) {
    auto at = running.find(t.client);
    auto out = std::move(at->second);
    running.erase(at);
    auto mine = per_client.find(out->client.address);
    if (--mine->second == 0) per_client.erase(mine);
    if (running.empty()) {
      heap = {};
      alarm.cancel();
      alarm_at.reset();
      if (draining) announce_drained();
    }
    return out;
  }

  void tell(const transfer& t, const transfer_report& report) {
    if (t.on_done) t.on_done(report);
    if (!config.on_access) return;
    access_record out;
    out.client = t.client;
    out.server = t.local;
    out.path = t.path;
    if (t.engine) {
      out.blksize = t.engine->terms().blksize;
      out.windowsize = t.engine->terms().windowsize;
      out.retransmissions = t.engine->retransmissions();
    }
    out.report = report;
    config.on_access(out);
  }

  // --- time ---

  void schedule(transfer& t) {
    t.heap_at = t.deadline();
    t.in_heap = true;
    heap.push({t.heap_at, t.client, t.serial});
    arm();
  }

  void arm() {
    if (heap.empty()) return;
    auto when = heap.top().when;
    if (alarm_at && *alarm_at <= when + timer_grain) return;
    auto delay = std::max(when - world.clock.now(), duration{});
    delay += timer_grain - delay % timer_grain;
    alarm_at = world.clock.now() + delay;
    alarm = world.scheduler.after(delay, [this] { on_alarm(); });
  }

  // A transfer's deadline moves with every block, its place in the heap does not: what comes up early is
  // put back. That costs one look a second instead of one heap operation a block.
  void on_alarm() {
    alarm_at.reset();
    auto now = world.clock.now();
    while (!heap.empty() && heap.top().when <= now) {
      auto top = heap.top();
      heap.pop();
      auto* t = find(top.client, top.serial);
      if (!t || top.when != t->heap_at) continue;
      t->in_heap = false;
      if (t->deadline() > now)
        schedule(*t);
      else if (t->engine)
        advance(*t, t->engine->on_deadline(now));
      else
        turn_down(*t, error{errc::timeout, "the file's source did not answer in time", "tftp.open"});
    }
    arm();
  }

  // --- stopping ---

  void drain(std::function<void()> done, duration limit) {
    draining = true;
    drained = std::move(done);
    late.stop();
    // Whoever takes over may bind the endpoints. Later, because this may run inside one of their callbacks;
    // single-port transfers still run over them.
    if (!config.single_port)
      post([](impl& s) {
        for (auto& each : s.listeners) each->socket.reset();
      });
    if (running.empty()) return announce_drained();
    drain_timer = world.scheduler.after(limit, [this] {
      while (!running.empty()) stop(*running.begin()->second);
    });
  }

  void announce_drained() {
    post([](impl& s) {
      s.drain_timer.cancel();
      auto done = std::move(s.drained);
      s.drained = nullptr;
      if (done) done();
    });
  }

  // --- words ---

  void say_error(listening& at, const datagram& d, error_code code, std::string_view text) {
    auto bytes = encode_error(code, text);
    (void)at.socket->send(datagram{d.peer, d.local, 0, bytes});
  }

  // A request that never became a transfer.
  void refuse(listening& at, const datagram& d, const request& asked, error_code code, const message& what,
              const std::string& why) {
    say_error(at, d, code, why);
    if (world.log.enabled(what.level))
      world.log(what,
                d.peer.address.to_string() + ": " + (asked.write ? "write of " : "") + printable(asked.file) +
                    ": " + why,
                {{"server", config.name}, {"client", d.peer.to_string()}, {"file", std::string(asked.file)}});
    if (!config.on_access) return;
    access_record out;
    out.client = d.peer;
    out.server = d.local;
    out.path = printable(asked.file);
    out.write = asked.write;
    out.report.reason = why;
    config.on_access(out);
  }

  void log_line(const message& what, const transfer& t, const std::string& text) {
    if (!world.log.enabled(what.level)) return;
    log_fields fields = {{"server", config.name}, {"client", t.client.to_string()}, {"file", t.path}};
    if (t.engine) {
      fields.emplace_back("blksize", std::to_string(t.engine->terms().blksize));
      fields.emplace_back("windowsize", std::to_string(t.engine->terms().windowsize));
      fields.emplace_back("retransmissions", std::to_string(t.engine->retransmissions()));
    }
    world.log(what, t.client.address.to_string() + ": " + printable(t.path) + ": " + text, fields);
  }
};

server::server(runtime& world, server_config config)
    : impl_(std::make_unique<impl>(world, std::move(config))) {}
server::~server() = default;

result<void> server::start() { return impl_->start(); }
void server::drain(std::function<void()> done, duration limit) { impl_->drain(std::move(done), limit); }

std::vector<endpoint> server::local() const {
  std::vector<endpoint> out;
  for (const auto& each : impl_->listeners)
    if (each->socket) out.push_back(each->socket->local());
  return out;
}

std::size_t server::transfers() const { return impl_->running.size(); }

} // namespace netlab::tftp
