#include "netlab/host_lookup.h"

#include <ares.h>

#include <algorithm>
#include <map>

#include "sockets.h"

namespace netlab::io {

namespace {

constexpr int lookup_rounds = 3; // through all servers, with twice the patience each time
constexpr duration one_turn = std::chrono::milliseconds(1);

error lookup_error(int status, const std::string& name) {
  auto make = [&](errc code, std::string why) { return error{code, name + ": " + why, "net.look_up"}; };
  switch (status) {
  case ARES_ENODATA: return make(errc::not_found, "the name has no address");
  case ARES_ENOTFOUND: return make(errc::not_found, "there is no such name");
  case ARES_ETIMEOUT: return make(errc::timeout, "no server answered in time");
  // It passes over a server that refuses as over one that is not there, and does not tell which it was.
  case ARES_ECONNREFUSED:
    return make(errc::unreachable, "no server can be reached, or none would answer (SERVFAIL, REFUSED)");
  case ARES_ESERVFAIL:
  case ARES_EREFUSED:
  case ARES_ENOTIMP:
  case ARES_EFORMERR: return make(errc::refused, std::string("the servers refuse: ") + ares_strerror(status));
  case ARES_EBADRESP: return make(errc::protocol, "the answer is damaged");
  case ARES_EBADNAME:
  case ARES_ENONAME: return make(errc::invalid, "this is no name of a host");
  default: return make(errc::io, ares_strerror(status));
  }
}

// The library reports inside its own calls, in which it must not be ended: what it says is kept, and told on
// another turn of the loop.
class cares_lookup final : public host_lookup {
public:
  using done_fn = std::function<void(result<host_addresses>)>;

  cares_lookup(loop& owner, scheduler& scheduler, host_question question, done_fn done)
      : loop_(owner), scheduler_(scheduler), question_(std::move(question)), done_(std::move(done)) {
    deadline_ = scheduler_.after(question_.timeout, [this] {
      close();
      conclude(ARES_ETIMEOUT);
    });
    begin();
  }
  ~cares_lookup() override { close(); }

private:
  struct watched_socket {
    std::unique_ptr<poller> ready;
    bool read = false, write = false;
  };

  void begin() {
    if (question_.servers.empty())
      return conclude(fail(errc::invalid, question_.name + ": there is no server to ask", "net.look_up"));
    if (question_.name.empty() || question_.name.find('\0') != std::string::npos)
      return conclude(ARES_EBADNAME);
    if (auto status = open(); status != ARES_SUCCESS) return conclude(status);
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    ares_getaddrinfo(channel_, question_.name.c_str(), nullptr, &hints, on_answer, this);
    if (!outcome_) arm();
  }

  // Every option is given: what is left out, the library takes from the machine's configuration.
  int open() {
    static const int library = ares_library_init(ARES_LIB_INIT_ALL);
    if (library != ARES_SUCCESS) return library;
    static char dns_only[] = "b", no_file[] = "/dev/null";
    ares_options o{};
    o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | (question_.by_tcp ? ARES_FLAG_USEVC : 0);
    auto patience = std::chrono::ceil<std::chrono::milliseconds>(question_.patience).count();
    o.timeout = static_cast<int>(std::clamp<std::int64_t>(patience, 1, 60'000));
    o.tries = lookup_rounds;
    o.ndots = 1;
    o.lookups = dns_only;
    o.resolvconf_path = no_file;
    o.sock_state_cb = [](void* self, ares_socket_t fd, int read, int write) {
      static_cast<cares_lookup*>(self)->watch(fd, read != 0, write != 0);
    };
    o.sock_state_cb_data = this;
    auto status =
        ares_init_options(&channel_, &o,
                          ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
                              ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
                              ARES_OPT_SORTLIST | ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) return status;
    std::string servers;
    for (const auto& s : question_.servers) servers += (servers.empty() ? "" : ",") + s.to_string();
    return ares_set_servers_ports_csv(channel_, servers.c_str());
  }

  void close() {
    alarm_.cancel();
    if (auto* ended = std::exchange(channel_, nullptr)) ares_destroy(ended);
    watched_.clear();
  }

  void watch(int fd, bool read, bool write) {
    if (!read && !write) {
      watched_.erase(fd);
      return;
    }
    auto& at = watched_[fd];
    if (!at.ready)
      at.ready = std::make_unique<poller>(loop_, fd, [this, fd](bool readable, bool writable) {
        process(readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
      });
    at.read = read;
    at.write = write;
    at.ready->want(read, write);
  }

  void process(ares_socket_t readable, ares_socket_t writable) {
    if (!channel_) return;
    ares_process_fd(channel_, readable, writable);
    for (auto& [fd, at] : watched_) at.ready->want(at.read, at.write);
    if (!outcome_) arm();
  }

  void arm() {
    timeval wait{};
    if (!ares_timeout(channel_, nullptr, &wait)) return alarm_.cancel();
    auto pause = std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec);
    // The library rounds what is left down to milliseconds. After a time in which this process did not run,
    // answers that came meanwhile are read first: a socket's turn comes after that of the timers.
    alarm_ = scheduler_.after(pause + one_turn, [this] {
      alarm_ = scheduler_.after(one_turn, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
    });
  }

  static void on_answer(void* self, int status, int, ares_addrinfo* found) {
    std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> held(found, ares_freeaddrinfo);
    if (status == ARES_EDESTRUCTION) return;
    auto& me = *static_cast<cares_lookup*>(self);
    if (status != ARES_SUCCESS || !found) return me.conclude(status);
    me.conclude(me.read(*found));
  }

  result<host_addresses> read(const ares_addrinfo& found) const {
    host_addresses out;
    int ttl = std::numeric_limits<int>::max();
    for (const auto* c = found.cnames; c; c = c->next) ttl = std::min(ttl, c->ttl);
    for (const auto* n = found.nodes; n; n = n->ai_next) {
      sockaddr_storage at{};
      if (n->ai_addrlen > sizeof at) continue;
      std::memcpy(&at, n->ai_addr, n->ai_addrlen);
      auto address = from_sockaddr(at).address;
      // What a filter on the way says of a name that it blocks.
      if (address.is_unspecified()) continue;
      ttl = std::min(ttl, n->ai_ttl);
      if (std::find(out.addresses.begin(), out.addresses.end(), address) == out.addresses.end())
        out.addresses.push_back(address);
    }
    if (out.addresses.empty()) return tl::unexpected(lookup_error(ARES_ENODATA, question_.name));
    out.ttl = std::chrono::seconds(std::max(ttl, 0)); // RFC 2181 §8: one with the highest bit set is zero
    return out;
  }

  void conclude(int status) { conclude(tl::unexpected(lookup_error(status, question_.name))); }
  void conclude(result<host_addresses> outcome) {
    outcome_ = std::move(outcome);
    alarm_.cancel();
    deadline_.cancel();
    telling_ = scheduler_.after({}, [this] {
      close();
      auto fn = std::move(done_);
      auto told = std::move(*outcome_);
      fn(std::move(told)); // may drop this
    });
  }

  loop& loop_;
  scheduler& scheduler_;
  const host_question question_;
  done_fn done_;
  ares_channel channel_ = nullptr;
  std::map<int, watched_socket> watched_; // the library's, by descriptor
  std::optional<result<host_addresses>> outcome_;
  timer alarm_, deadline_, telling_;
};

} // namespace

std::unique_ptr<host_lookup> make_host_lookup(loop& owner, netlab::scheduler& scheduler,
                                              host_question question,
                                              std::function<void(result<host_addresses>)> done) {
  return std::make_unique<cares_lookup>(owner, scheduler, std::move(question), std::move(done));
}

} // namespace netlab::io
