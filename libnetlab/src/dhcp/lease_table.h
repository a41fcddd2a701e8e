#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "netlab/boot_policy.h"
#include "netlab/dhcp_config.h"
#include "netlab/dhcp_engine.h"

namespace netlab::dhcp {

// An OFFER that waits until nobody answered the conflict probe, with what is needed to start again.
struct held_offer {
  reply how;
  byte_vector bytes, datagram;
  arrival from;
  unsigned attempt = 0;
  bool again = false; // nothing is ready to leave: the DISCOVER is handled once more
};

// What is known of one address.
struct lease_entry {
  std::uint32_t address = 0;
  int network = -1;

  bool held = false; // the fields below describe a lease that was stored, running or over
  std::string client;
  mac_address mac;
  std::string hostname, network_name;
  lease_state state = lease_state::active;
  boot_time expires{};
  wall_time starts{};
  std::uint64_t version = 0;

  std::string offered_client; // empty: no offer
  mac_address offered_mac;
  boot_time offer_until = boot_time::min();
  std::shared_ptr<const boot_reply> boot; // what the DISCOVER was told: some ROMs forget to ask again
  std::unique_ptr<held_offer> waiting;
  boot_time probe_until = boot_time::min();
  boot_time verified = boot_time::min(); // nobody answered a probe then

  std::uint64_t in_flight = 0; // commit token
  std::uint64_t idle_key = 0;  // place among the pool's free addresses with a history

  bool active() const { return held && state == lease_state::active; }
  bool held_back() const { return held && state == lease_state::declined; }
  bool offered() const { return !offered_client.empty(); }
};

// Option 61, else hardware type and address (RFC 2131 §4.2).
std::string client_key(const packet& request);
// Is this the key that a client without option 61 has? iPXE sends the same bytes as option 61.
bool is_hardware_key(std::string_view client, const mac_address& mac);

// All addresses that have or had a client, by address, client and hardware address, and the free ones of
// every network in the order in which they are given out: never used, offered but not taken, least
// recently ended. Owned by one engine.
class lease_table {
public:
  // Rebuilds pools and indexes for `config`, which must outlive the table or the next call.
  void configure(const server_config& config);
  int find_network(std::uint32_t address) const;
  // Index of the host that an address is reserved for, -1 for none.
  int reserved_for(std::uint32_t address) const;
  bool in_pool(int network, std::uint32_t address) const;

  lease_entry* find(std::uint32_t address);
  const lease_entry* find(std::uint32_t address) const;
  lease_entry& get(std::uint32_t address); // made when it is not there
  lease_entry* by_client(int network, std::string_view client);
  lease_entry* by_mac(int network, const mac_address& mac);
  const std::unordered_map<std::uint32_t, lease_entry>& all() const { return entries_; }

  void set_offer(lease_entry& e, std::string_view client, const mac_address& mac, boot_time until);
  void clear_offer(lease_entry& e);
  // Makes the client the holder.
  void set_holder(lease_entry& e, std::string_view client, const mac_address& mac);
  // Puts an address that nobody has (any more) back among the free ones; forgets it when it was never
  // leased, so that `e` is gone then. Does nothing while somebody has it.
  void settle(lease_entry& e);

  // A free address of the pool, not yet taken out of it.
  std::optional<std::uint32_t> next_free(int network);
  // The same, taken out: nobody else finds it until put_back().
  std::optional<std::uint32_t> take_free(int network);
  void put_back(std::uint32_t address);
  void put_last(lease_entry& e); // behind all others whose lease has ended

private:
  struct pool {
    std::size_t range = 0;
    std::uint32_t cursor = 0;
    bool started = false;
    std::set<std::uint32_t> returned; // offered, not taken
    std::set<std::pair<std::uint64_t, std::uint32_t>> idle;
  };
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  struct number_hash {
    std::size_t operator()(std::uint64_t v) const { return (v ^ v >> 29) * 0x9e3779b97f4a7c15ull >> 7; }
  };
  std::string_view client_index_key(int network, std::string_view client);
  static std::uint64_t mac_index_key(int network, const mac_address& mac);
  void index(lease_entry& e);
  void unindex_client(const lease_entry& e, std::string_view client);
  void leave_idle(lease_entry& e);

  const server_config* config_ = nullptr;
  std::vector<pool> pools_;
  std::unordered_map<std::uint32_t, int> reserved_;
  std::unordered_map<std::uint32_t, lease_entry> entries_;
  std::unordered_map<std::string, std::uint32_t, text_hash, std::equal_to<>> by_client_;
  std::unordered_map<std::uint64_t, std::uint32_t, number_hash> by_mac_;
  std::string key_; // scratch, so that a look-up does not allocate
  std::uint64_t idle_counter_ = 0;
};

} // namespace netlab::dhcp
