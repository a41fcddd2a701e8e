#include "upstream_ports.h"

#include <algorithm>

#include "wire.h"

namespace netlab::dns {

struct upstream_ports::port {
  endpoint peer;
  std::unique_ptr<udp_socket> socket;
  boot_time made{};
  unsigned queries = 0, strays = 0;
  struct waiting_query {
    std::uint16_t id;
    std::uint64_t attempt;
  };
  std::vector<waiting_query> waiting; // at most max_queries
  std::vector<transmission> outgoing; // until flush()

  const waiting_query* find(std::uint16_t id) const {
    auto found = std::find_if(waiting.begin(), waiting.end(), [&](const auto& w) { return w.id == id; });
    return found == waiting.end() ? nullptr : &*found;
  }
};

upstream_ports::upstream_ports(netlab::net& net, const netlab::clock& clock, callbacks on)
    : net_(net), clock_(clock), on_(std::move(on)) {}
upstream_ports::~upstream_ports() { self_.reset(); }

void upstream_ports::send(transmission t) {
  auto p = port_for(t);
  if (!p) return;
  auto id = get16(t.bytes.data());
  p->waiting.push_back({id, t.attempt});
  attempts_[t.attempt] = {p.get(), id};
  ++p->queries;
  if (p->outgoing.empty()) filled_.push_back(p);
  p->outgoing.push_back(std::move(t));
}

bool upstream_ports::may_carry(const port& p, std::uint16_t id) const {
  // Two queries of one id cannot be told apart on one port.
  return p.queries < max_queries && p.strays < max_strays && clock_.now() - p.made < max_age && !p.find(id);
}

std::shared_ptr<upstream_ports::port> upstream_ports::port_for(const transmission& t) {
  const auto& peer = t.to.address;
  auto& slot = current_[peer];
  auto id = get16(t.bytes.data());
  if (slot && retired_.size() >= most_alone && may_carry(*slot, id)) return slot;
  udp_options o;
  o.local.address = peer.address.is_v6() ? ip_address::v6({}) : ip_address();
  o.peer = peer;
  auto socket = net_.udp(o);
  if (!socket) {
    if (slot && may_carry(*slot, id)) return slot; // out of descriptors
    on_.on_failure(t.attempt, socket.error().message);
    return nullptr;
  }
  if (slot) {
    auto* key = slot.get();
    retired_.emplace(key, std::move(slot));
  }
  auto made = std::make_shared<port>();
  made->peer = peer;
  made->made = clock_.now();
  made->socket = std::move(*socket);
  made->socket->on_receive(
      [this, raw = made.get()](std::span<const datagram> batch) { on_batch(*raw, batch); });
  return current_[peer] = std::move(made);
}

void upstream_ports::flush() {
  for (auto& p : std::exchange(filled_, {})) {
    auto all = std::exchange(p->outgoing, {});
    batch_.clear();
    for (const auto& t : all) batch_.push_back({p->peer, {}, 0, t.bytes});
    auto sent = p->socket->send(batch_);
    if (sent) {
      all.clear();
      p->outgoing.swap(all);
      continue;
    }
    for (const auto& t : all) {
      close(t.attempt);
      on_.on_failure(t.attempt, sent.error().message);
    }
  }
}

void upstream_ports::on_batch(port& p, std::span<const datagram> batch) {
  auto alive = std::weak_ptr(self_);
  for (const auto& d : batch) {
    auto* found = d.data.size() < header_size ? nullptr : p.find(get16(d.data.data()));
    if (found)
      on_.on_message(found->attempt, d.peer, d.data);
    else
      ++p.strays; // late, or forged
  }
  // What follows may close this socket, and with it the function that runs.
  if (auto there = alive.lock()) (*there)->on_.after();
}

void upstream_ports::close(std::uint64_t attempt) {
  auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return;
  auto [where, id] = found->second;
  attempts_.erase(found);
  std::erase_if(where->waiting, [&](const auto& w) { return w.attempt == attempt; });
  drop_if_done(*where);
}

// A port is open for as long as something is to come.
void upstream_ports::drop_if_done(port& p) {
  if (!p.waiting.empty() || retired_.erase(&p) > 0) return;
  auto found = current_.find(p.peer);
  if (found != current_.end() && found->second.get() == &p) current_.erase(found);
}

} // namespace netlab::dns
