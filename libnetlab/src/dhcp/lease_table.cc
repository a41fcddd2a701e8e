#include "lease_table.h"

#include <algorithm>

namespace netlab::dhcp {

std::string client_key(const packet& request) {
  if (auto id = request.options.find(option::client_id); id && id->size() >= 2)
    return std::string(as_text(*id));
  std::string out(1, static_cast<char>(request.htype));
  out += as_text(byte_view(request.chaddr).first(request.hlen));
  return out;
}

bool is_hardware_key(std::string_view client, const mac_address& mac) {
  return client.size() == 7 && client.substr(1) == as_text(mac.octets);
}

void lease_table::configure(const server_config& config) {
  config_ = &config;
  reserved_.clear();
  for (std::size_t i = 0; i < config.hosts.size(); ++i)
    if (config.hosts[i].address) reserved_[config.hosts[i].address->v4_value()] = static_cast<int>(i);
  pools_.assign(config.networks.size(), {});
  by_client_.clear();
  by_mac_.clear();
  std::vector<std::pair<std::uint64_t, std::uint32_t>> idle;
  for (auto& [address, e] : entries_) {
    e.network = find_network(address);
    if (e.idle_key != 0) idle.emplace_back(e.idle_key, address);
    e.idle_key = 0;
    index(e);
  }
  std::sort(idle.begin(), idle.end()); // keeps who has waited longest
  for (auto [key, address] : idle) settle(entries_[address]);
}

int lease_table::find_network(std::uint32_t address) const {
  auto ip = ip_address::v4(address);
  for (std::size_t i = 0; i < config_->networks.size(); ++i)
    if (config_->networks[i].subnet.contains(ip)) return static_cast<int>(i);
  return -1;
}

int lease_table::reserved_for(std::uint32_t address) const {
  auto it = reserved_.find(address);
  return it == reserved_.end() ? -1 : it->second;
}

bool lease_table::in_pool(int network, std::uint32_t address) const {
  if (network < 0) return false;
  const auto& n = config_->networks[static_cast<std::size_t>(network)];
  auto ip = ip_address::v4(address);
  auto inside = [&](const auto& ranges) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& r) { return r.contains(ip); });
  };
  return inside(n.ranges) && !inside(n.exclude) && ip != n.server && ip != n.subnet.network() &&
         ip != n.subnet.broadcast() && reserved_for(address) < 0;
}

lease_entry* lease_table::find(std::uint32_t address) {
  auto it = entries_.find(address);
  return it == entries_.end() ? nullptr : &it->second;
}
const lease_entry* lease_table::find(std::uint32_t address) const {
  auto it = entries_.find(address);
  return it == entries_.end() ? nullptr : &it->second;
}

lease_entry& lease_table::get(std::uint32_t address) {
  auto [it, made] = entries_.try_emplace(address);
  if (made) {
    it->second.address = address;
    it->second.network = find_network(address);
  }
  return it->second;
}

std::string_view lease_table::client_index_key(int network, std::string_view client) {
  key_.assign(1, static_cast<char>(network));
  key_ += static_cast<char>(network >> 8);
  key_ += client;
  return key_;
}

std::uint64_t lease_table::mac_index_key(int network, const mac_address& mac) {
  auto key = static_cast<std::uint64_t>(network) << 48;
  for (int i = 0; i < 6; ++i) key |= std::uint64_t{mac.octets[static_cast<std::size_t>(i)]} << (40 - 8 * i);
  return key;
}

lease_entry* lease_table::by_client(int network, std::string_view client) {
  auto it = by_client_.find(client_index_key(network, client));
  return it == by_client_.end() ? nullptr : find(it->second);
}

lease_entry* lease_table::by_mac(int network, const mac_address& mac) {
  auto it = by_mac_.find(mac_index_key(network, mac));
  return it == by_mac_.end() ? nullptr : find(it->second);
}

void lease_table::index(lease_entry& e) {
  auto put = [&](const std::string& client) {
    auto key = client_index_key(e.network, client);
    if (auto it = by_client_.find(key); it != by_client_.end())
      it->second = e.address;
    else
      by_client_.emplace(std::string(key), e.address);
  };
  // A running lease is found before an older one of the same client.
  if (e.held) {
    auto* other = by_client(e.network, e.client);
    if (!other || other == &e || !other->active()) put(e.client);
    if (!e.mac.is_zero()) {
      auto* same = by_mac(e.network, e.mac);
      if (!same || !same->active() || e.active()) by_mac_[mac_index_key(e.network, e.mac)] = e.address;
    }
  }
  if (e.offered()) put(e.offered_client);
}

void lease_table::unindex_client(const lease_entry& e, std::string_view client) {
  auto it = by_client_.find(client_index_key(e.network, client));
  if (it != by_client_.end() && it->second == e.address) by_client_.erase(it);
}

void lease_table::leave_idle(lease_entry& e) {
  if (e.idle_key == 0 || e.network < 0) return;
  // The key stays in the entry: an offer that lapses puts the address back in its old place.
  pools_[static_cast<std::size_t>(e.network)].idle.erase({e.idle_key, e.address});
}

void lease_table::set_offer(lease_entry& e, std::string_view client, const mac_address& mac,
                            boot_time until) {
  leave_idle(e);
  if (e.offered() && e.offered_client != client) clear_offer(e);
  e.offered_client = client;
  e.offered_mac = mac;
  e.offer_until = until;
  index(e);
}

void lease_table::clear_offer(lease_entry& e) {
  if (!e.offered()) return;
  auto client = std::move(e.offered_client);
  e.offered_client.clear();
  e.offered_mac = {};
  e.offer_until = e.probe_until = boot_time::min();
  e.boot.reset();
  e.waiting.reset();
  if (!(e.held && e.client == client)) unindex_client(e, client);
}

void lease_table::set_holder(lease_entry& e, std::string_view client, const mac_address& mac) {
  leave_idle(e);
  e.idle_key = 0;
  if (e.held && e.client != client) {
    unindex_client(e, e.client);
    if (auto it = by_mac_.find(mac_index_key(e.network, e.mac));
        it != by_mac_.end() && it->second == e.address)
      by_mac_.erase(it);
  }
  e.held = true;
  e.client = client;
  e.mac = mac;
  clear_offer(e); // its place in the index stays when it was this client's
  auto key = client_index_key(e.network, client);
  if (auto it = by_client_.find(key); it != by_client_.end())
    it->second = e.address;
  else
    by_client_.emplace(std::string(key), e.address);
  if (!mac.is_zero()) by_mac_[mac_index_key(e.network, mac)] = e.address;
}

void lease_table::settle(lease_entry& e) {
  if (e.in_flight != 0 || e.offered() || e.active() || e.held_back()) return;
  bool pooled = in_pool(e.network, e.address);
  if (!e.held) {
    auto address = e.address;
    if (pooled) pools_[static_cast<std::size_t>(e.network)].returned.insert(address);
    entries_.erase(address);
    return;
  }
  if (e.idle_key == 0) e.idle_key = ++idle_counter_;
  if (pooled) pools_[static_cast<std::size_t>(e.network)].idle.emplace(e.idle_key, e.address);
}

std::optional<std::uint32_t> lease_table::next_free(int network) {
  auto& p = pools_[static_cast<std::size_t>(network)];
  const auto& ranges = config_->networks[static_cast<std::size_t>(network)].ranges;
  while (p.range < ranges.size()) {
    const auto& r = ranges[p.range];
    if (!p.started) {
      p.cursor = r.first.v4_value();
      p.started = true;
    }
    auto last = r.last.v4_value();
    while (p.cursor <= last) {
      auto address = p.cursor;
      if (in_pool(network, address) && !entries_.contains(address))
        return address; // stays until it has an entry
      if (p.cursor == last) break;
      ++p.cursor;
    }
    ++p.range;
    p.started = false;
  }
  while (!p.returned.empty()) {
    auto address = *p.returned.begin();
    if (in_pool(network, address) && !entries_.contains(address)) return address;
    p.returned.erase(p.returned.begin());
  }
  for (auto [key, address] : p.idle) {
    auto* e = find(address);
    if (e && e->in_flight == 0) return address;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> lease_table::take_free(int network) {
  auto address = next_free(network);
  if (!address) return address;
  auto& p = pools_[static_cast<std::size_t>(network)];
  const auto& ranges = config_->networks[static_cast<std::size_t>(network)].ranges;
  if (p.range < ranges.size()) { // the cursor stands on it
    if (p.cursor == ranges[p.range].last.v4_value()) {
      ++p.range;
      p.started = false;
    } else {
      ++p.cursor;
    }
  } else if (p.returned.erase(*address) == 0) {
    leave_idle(entries_.at(*address));
  }
  return address;
}

void lease_table::put_last(lease_entry& e) {
  leave_idle(e);
  e.idle_key = 0;
  settle(e);
}

void lease_table::put_back(std::uint32_t address) {
  if (auto* e = find(address)) return settle(*e);
  auto network = find_network(address);
  if (in_pool(network, address)) pools_[static_cast<std::size_t>(network)].returned.insert(address);
}

} // namespace netlab::dhcp
