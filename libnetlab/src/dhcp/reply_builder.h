#pragma once
#include <bitset>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "netlab/boot_policy.h"
#include "netlab/dhcp_config.h"
#include "netlab/dhcp_engine.h"
#include "netlab/dhcp_packet.h"

namespace netlab::dhcp {

// A request with everything that deciding and answering need, found once.
struct request_context {
  const packet& in;
  byte_view datagram;
  const arrival& from;
  moment at;
  actions& out;
  unsigned attempt = 0; // conflict probes lost so far for this message

  std::string client{};
  mac_address mac{};
  int network = -1;
  int host = -1;
  std::uint32_t classes = 0; // bit i: classes[i] matches
  relay_information relay{};
  ip_address server_id{};
  std::optional<netlab::uuid> uuid{};
  std::string serial{};
  std::shared_ptr<const boot_reply> boot{}; // set when the policy said `boot`
  std::string architecture{};
  std::bitset<256> wanted{}; // option 55
  bool has_wanted = false;
};

// Makes replies: fixed fields, the options of network, classes and host (merged once and kept), and the
// boot policy's answer. Owned by one engine.
class reply_builder {
public:
  // `config` must outlive the builder or the next call.
  void configure(const server_config& config);
  // Where the reply to this request goes (RFC 2131 §4.1, RFC 3046 §2.1.1, RFC 8357).
  reply address(const request_context& c, message_type type, const ip_address& yiaddr) const;
  // Appends the encoded reply to `to`; `r` gets offset and size. Returns how many options did not fit.
  // `term`: no value for replies without a lease (INFORM, NAK, proxy).
  unsigned build(const request_context& c, message_type type, const ip_address& yiaddr,
                 std::optional<duration> term, const std::string& hostname, byte_vector& to, reply& r);
  unsigned build_nak(const request_context& c, std::string_view why, byte_vector& to, reply& r);
  // The lease time for this client when it does not ask for one.
  duration default_lease(const request_context& c) const;

private:
  struct options {
    option_list always, asked;
  };
  const options& merged(const request_context& c);
  void start(const request_context& c, message_type type);
  void add_boot(const request_context& c, message_type type);
  void add_proxy_hints(const request_context& c);
  unsigned finish(const request_context& c, byte_vector& to, reply& r);

  const server_config* config_ = nullptr;
  std::unordered_map<std::uint64_t, options> merged_;
  packet out_; // keeps its buffers
};

} // namespace netlab::dhcp
