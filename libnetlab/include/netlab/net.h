#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/host_lookup.h"
#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/result.h"

namespace netlab {

// The network as the rooms see it. Every object belongs to the loop that made it and is used on that
// loop's thread only; destroying it closes it and no callback runs afterwards. An object may be
// destroyed inside its own callback.

// One UDP datagram, received or to be sent.
struct datagram {
  endpoint peer;    // who sent it, or who gets it
  ip_address local; // the address it came to; the address to answer from (unspecified: kernel's choice)
  std::uint32_t interface = 0; // index of the interface it came in on, or must leave by (0: routing decides)
  byte_view data;              // valid during the callback, or until send() returns
};

struct udp_options {
  endpoint local;               // port 0: any free port
  std::string device;           // bind to this interface only (SO_BINDTODEVICE)
  bool broadcast = false;       // may send to, and wants, broadcasts
  bool reuse_port = false;      // several workers share the endpoint; never used to share it with strangers
  std::optional<endpoint> peer; // talk to this peer only: cheaper sends, and ICMP errors reach us
  int receive_buffer = 0;       // bytes; 0: system default
};

class udp_socket {
public:
  using receive_fn = std::function<void(std::span<const datagram>)>;
  virtual ~udp_socket() = default;
  // Datagrams arrive in batches, as the kernel had them.
  virtual void on_receive(receive_fn fn) = 0;
  // Sends a batch; returns how many the kernel took. One that it refuses (no route, too long) does not
  // hold back the others; what does not fit into its buffer is dropped, as UDP does. An error only when
  // nothing left.
  virtual result<std::size_t> send(std::span<const datagram> batch) = 0;
  result<std::size_t> send(const datagram& one) { return send(std::span(&one, 1)); }
  // Sends `data` cut into datagrams of `segment` bytes (the last may be shorter) to one peer, in one system
  // call where the kernel can (UDP_SEGMENT). Returns how many datagrams left.
  virtual result<std::size_t> send_segments(const endpoint& peer, const ip_address& local, byte_view data,
                                            std::size_t segment) = 0;
  virtual endpoint local() const = 0;
};

// A file that is being served: an open descriptor and the size it had. Shared by transfers; the last
// owner closes it, on whatever thread.
class open_file {
public:
  open_file(int descriptor, std::uint64_t size) : descriptor_(descriptor), size_(size) {}
  ~open_file();
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  int descriptor() const { return descriptor_; }
  std::uint64_t size() const { return size_; }
  std::int64_t modified = 0; // seconds since the epoch, for Last-Modified and ETag
  std::uint64_t inode = 0;
  // Opens a regular file for reading.
  static result<std::shared_ptr<open_file>> open(const std::string& path);
  // Reads at `offset`, fewer bytes only at the end of the file.
  result<std::size_t> read(std::uint64_t offset, byte_span out) const;

private:
  int descriptor_;
  std::uint64_t size_;
};

// A byte stream, plain or TLS. Output is queued and leaves at the end of the loop's turn, so that a head
// and its body share a packet; on_drained() says when the queue ran empty, which is the time to write
// more. The callbacks are set before the turn in which the stream was handed over ends.
class stream {
public:
  virtual ~stream() = default;
  virtual void on_data(std::function<void(byte_view)> fn) = 0;
  // The stream ended: no value for a clean end by the peer, else why. Runs once; nothing runs after it.
  virtual void on_end(std::function<void(std::optional<error>)> fn) = 0;
  virtual void on_drained(std::function<void()> fn) = 0;
  virtual void write(std::string bytes) = 0;
  virtual void write_shared(std::shared_ptr<const std::string> bytes) = 0;
  // Queues `length` bytes of `file` from `offset`; sendfile(2) where the stream is plain.
  virtual void write_file(std::shared_ptr<open_file> file, std::uint64_t offset, std::uint64_t length) = 0;
  virtual std::size_t queued() const = 0;
  virtual void pause() = 0; // stop reading
  virtual void resume() = 0;
  // Sends what is queued, then closes our direction.
  virtual void finish() = 0;
  virtual endpoint peer() const = 0;
  virtual endpoint local() const = 0;
  virtual bool secure() const = 0;
  // What both sides chose of tls_identity::protocols; known when the first byte comes, empty when nothing
  // was.
  virtual std::string_view protocol() const { return {}; }
};

// Certificate chain and key in PEM, for streams that are served over TLS.
struct tls_identity {
  std::string certificate_file, key_file;
  std::vector<std::string> protocols; // that a client may choose from (ALPN, RFC 7301), the best first
};

struct listen_options {
  endpoint local;
  std::string unix_path; // instead of `local`: a Unix socket made with mode 0600
  std::string device;
  bool reuse_port = false;
  int backlog = 512;
  std::optional<tls_identity> tls;
};

class listener {
public:
  virtual ~listener() = default;
  virtual endpoint local() const = 0;
};

struct connect_options {
  endpoint peer;
  std::string unix_path;
  bool tls = false;
  std::string server_name; // SNI and certificate name
  std::string ca_file;     // PEM; trusted instead of the system's certificates, which are read once a loop
};

// An interface of this machine.
struct interface_info {
  std::uint32_t index = 0;
  std::string name;
  mac_address mac;
  std::vector<cidr> addresses;
  std::uint32_t mtu = 1500;
  bool up = false, loopback = false;
};

// Ethernet frames without their header, on one interface (AF_PACKET). Used for ARP and for replies to
// clients that have no address yet.
class packet_socket {
public:
  struct frame {
    mac_address source;
    std::uint16_t protocol = 0; // EtherType
    byte_view payload;
  };
  virtual ~packet_socket() = default;
  // Frames are taken from the wire from this call on; a socket that only sends costs the machine nothing.
  virtual void on_receive(std::function<void(const frame&)> fn) = 0;
  virtual result<void> send(const mac_address& to, byte_view payload) = 0;
  struct outgoing {
    mac_address to;
    byte_view payload;
  };
  // Sends several; returns how many left, in order, before the first that the kernel did not take.
  virtual std::size_t send_all(std::span<const outgoing> batch) {
    std::size_t sent = 0;
    while (sent < batch.size() && send(batch[sent].to, batch[sent].payload)) ++sent;
    return sent;
  }
};

class net {
public:
  virtual ~net() = default;
  virtual result<std::unique_ptr<udp_socket>> udp(const udp_options& options) = 0;
  virtual result<std::unique_ptr<listener>>
  listen(const listen_options& options, std::function<void(std::unique_ptr<stream>)> on_accept) = 0;
  // on_connect runs once, with the stream or why there is none.
  virtual void connect(const connect_options& options,
                       std::function<void(result<std::unique_ptr<stream>>)> on_connect) = 0;
  // Finds the addresses of a host. `done` runs once, never inside this call, and may drop the look-up.
  // Errors: invalid (no server, or no name of a host), not_found (no such name, or none with an address),
  // unreachable (no server, or none that would answer), refused, protocol (a damaged answer), timeout.
  [[nodiscard]] virtual std::unique_ptr<host_lookup>
  look_up(host_question question, std::function<void(result<host_addresses>)> done) = 0;
  // `protocol` is an EtherType (0x0806 ARP, 0x0800 IPv4).
  virtual result<std::unique_ptr<packet_socket>> packets(const std::string& device,
                                                         std::uint16_t protocol) = 0;
  virtual result<std::vector<interface_info>> interfaces() = 0;
  // Puts an entry in the kernel's neighbour table (CAP_NET_ADMIN), so that a unicast reaches a client
  // that cannot answer ARP yet. `permanent` entries stay until forget_neighbour().
  virtual result<void> set_neighbour(std::uint32_t interface, const ip_address& address,
                                     const mac_address& mac, bool permanent = false) = 0;
  virtual result<void> forget_neighbour(std::uint32_t interface, const ip_address& address) = 0;
  // Gives an interface an address, or takes it away (CAP_NET_ADMIN): for a virtual machine on an interface
  // that has none.
  virtual result<void> add_address(std::uint32_t interface, const cidr& address) {
    (void)interface;
    return fail(errc::unsupported, "this network cannot give interfaces addresses: " + address.to_string());
  }
  virtual result<void> remove_address(std::uint32_t interface, const cidr& address) {
    (void)interface;
    return fail(errc::unsupported, "this network cannot take addresses: " + address.to_string());
  }
  // The MAC that the kernel knows for an address on a local network, if any.
  virtual std::optional<mac_address> neighbour(const ip_address& address) = 0;
  // Runs `fn` after an address or link of this machine changed, until the returned object is dropped.
  [[nodiscard]] virtual result<std::shared_ptr<void>> watch_addresses(std::function<void()> fn) = 0;
};

} // namespace netlab
