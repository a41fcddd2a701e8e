#pragma once
#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lease_table.h"
#include "netlab/dhcp_engine.h"
#include "netlab/dhcp_messages.h"
#include "probe_window.h"
#include "reply_builder.h"

namespace netlab::dhcp {

// What waits for the store's answer.
struct pending_commit {
  enum class kind { grant, end, restamp } what = kind::grant;
  std::uint32_t address = 0;
  // grant
  std::string client;
  mac_address mac;
  std::string hostname;
  boot_time expires{};
  wall_time starts{};
  bool renewed = false;
  reply answer;
  byte_vector bytes;   // the ACK, ready to leave
  byte_vector request; // the REQUEST, to refuse it if somebody else holds the address
  arrival from;
  node_identity node;
  std::string architecture, network, detail;
  // end
  lease_state state = lease_state::expired;
  end_reason reason = end_reason::expired;
  // an end that was asked for while the store was busy with this address
  bool then_end = false;
  lease_state then_state = lease_state::released;
  end_reason then_reason = end_reason::released;
};

struct engine::impl {
  impl(server_config config, engine_hooks hooks);

  void configure(server_config config);
  void load(std::vector<lease> stored, moment at);
  void handle(byte_view datagram, const arrival& from, moment at, actions& out, unsigned attempt);
  void committed(std::uint64_t token, lease_store::outcome outcome, moment at, actions& out);
  void address_seen(const ip_address& address, const mac_address& holder, moment at, actions& out);
  void advance(moment at, actions& out);
  boot_time next_deadline() const;
  lease to_lease(const lease_entry& e, moment at) const;

  // Requests (engine_requests.cc)
  bool select_network(request_context& c);
  bool is_boot_client(const packet& in) const;
  bool ask_boot_policy(request_context& c); // false: refused
  bool admit(request_context& c);           // known clients only
  void on_discover(request_context& c);
  void on_request(request_context& c);
  void on_decline(request_context& c);
  void on_release(request_context& c);
  void on_inform(request_context& c);
  void on_bootp(request_context& c);
  void on_proxy(request_context& c);
  void overhear(request_context& c);
  void on_server_reply(const packet& in, moment at, actions& out);
  void nak(request_context& c, const std::string& why);
  void grant(request_context& c, lease_entry& e, message_type answer);
  bool ours(const request_context& c, const ip_address& server) const;

  // Addresses
  bool same_machine(const lease_entry& e, const request_context& c) const;
  bool permitted(const request_context& c, std::uint32_t address) const;
  bool available(const lease_entry* e, const request_context& c) const;
  std::optional<std::uint32_t> choose(request_context& c);
  // Whether a new client's address is probed: ARP reaches the wire that the client is on.
  bool probes(const request_context& c) const;
  std::optional<boot_time> leave_window(std::uint32_t address);
  probe_window::timing probe_timing() const { return {config.probe_timeout, config.probe_valid}; }
  void probe_ahead(int network, std::uint32_t interface, moment at, actions& out);
  void wait_for_probe(lease_entry& e, boot_time asked);
  std::optional<std::uint32_t> reserved_address(const request_context& c) const;
  int find_host(const request_context& c) const;
  std::uint32_t match_classes(const request_context& c) const;
  std::string hostname_of(request_context& c);
  duration term_of(const request_context& c) const;

  // Ends and time
  void end_lease(lease_entry& e, lease_state state, end_reason reason, boot_time until, moment at,
                 actions& out);
  void hold_back(lease_entry& e, moment at, actions& out);
  void watch_wall(moment at, actions& out);
  void push_expiry(const lease_entry& e);
  void remember_server(const ip_address& server, std::string how, const mac_address& client, moment at);
  std::uint64_t send_commit(lease_entry& e, pending_commit p, lease next, actions& out);

  void add(count what) { ++counters[static_cast<std::size_t>(what)]; }
  // Says a thing about a client at most once a minute; `text` is made only when it is said.
  void say(const message& m, const mac_address& who, moment at, actions& out,
           const std::function<std::string()>& text);
  node_identity identity(const request_context& c, std::optional<ip_address> address = {}) const;
  void event(const request_context& c, boot_stage stage, std::optional<ip_address> address,
             std::string detail, std::string_view message_id = {});
  bool told(const request_context& c, boot_stage passing) const;
  void refuse(const pending_commit& p, moment at, actions& out);

  server_config config;
  engine_hooks hooks;
  lease_table table;
  reply_builder builder;
  packet in; // the message at hand; keeps its buffers

  std::unordered_map<mac_address, int> hosts_by_mac;
  std::unordered_map<std::string, int> hosts_by_client, hosts_by_serial;
  std::vector<std::pair<netlab::uuid, int>> hosts_by_uuid; // sorted

  std::unordered_map<std::uint64_t, pending_commit> pending;
  std::uint64_t next_token = 0;

  using due = std::pair<boot_time, std::uint32_t>;
  std::vector<due> expiries;          // min-heap; entries of renewed leases are stale and skipped
  std::deque<due> offers;             // in order, because every offer waits equally long
  std::deque<due> probed;             // offers that wait for their probe, by time
  std::vector<probe_window> windows;  // by network
  std::deque<std::uint32_t> restamps; // leases whose stored end is to be written again

  bool wall_known = false;
  duration wall_offset{};
  struct said {
    std::uint64_t key = 0;
    boot_time until = boot_time::min();
    unsigned suppressed = 0;
  };
  std::array<said, 256> recent{};
  std::vector<foreign_server> foreign;
  counts counters{};
};

// later, without overflow: what never ends stays so.
template<class Time>
Time later(Time from, duration by) {
  if (by == duration::max() || from == Time::max()) return Time::max();
  if (Time::max().time_since_epoch() - from.time_since_epoch() <= by) return Time::max();
  return from + by;
}

} // namespace netlab::dhcp
