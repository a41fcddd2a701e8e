#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <variant>

#include "sockets.h"
#include "tls.h"

namespace netlab::io {

namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr std::size_t small_write = 4096; // copying so much costs less than the kernel's look at two pieces
constexpr int reads_per_turn = 4;         // so that one fast peer does not starve the others
// The same for output. What all streams of a loop may send in one turn is what somebody who asks meanwhile
// waits for: hundreds of machines that load at the same moment share it, a few send in large pieces.
constexpr std::size_t file_bytes_per_loop_turn = 32u << 20, least_file_bytes = 128u << 10,
                      most_file_bytes = 4u << 20;

struct file_part {
  std::shared_ptr<open_file> file;
  std::uint64_t offset, left;
};

struct chunk {
  std::variant<std::string, std::shared_ptr<const std::string>, file_part> what;
  std::size_t done = 0; // bytes of text that have left

  std::string_view text() const {
    if (auto* own = std::get_if<std::string>(&what)) return std::string_view(*own).substr(done);
    if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&what))
      return std::string_view(**shared).substr(done);
    return {};
  }
  std::size_t size() const {
    if (auto* part = std::get_if<file_part>(&what)) return part->left;
    return text().size();
  }
};

class uv_stream final : public stream {
public:
  uv_stream(loop& owner, descriptor fd, std::unique_ptr<tls_session> tls)
      : loop_(owner), fd_(std::move(fd)), peer_(peer_of(fd_.get())), local_(local_of(fd_.get())),
        tls_(std::move(tls)),
        poller_(owner, fd_.get(), [this](bool readable, bool writable) { ready(readable, writable); }) {
    int on = 1;
    // Heads and bodies are joined before they leave; Nagle would only delay the last packet.
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    update();
  }
  ~uv_stream() override {
    *alive_ = false;
    count_as_sender(false);
  }

  void on_data(std::function<void(byte_view)> fn) override { on_data_ = std::move(fn); }
  void on_end(std::function<void(std::optional<error>)> fn) override { on_end_ = std::move(fn); }
  void on_drained(std::function<void()> fn) override { on_drained_ = std::move(fn); }

  void write(std::string bytes) override {
    if (!bytes.empty()) push({std::move(bytes)});
  }
  void write_shared(std::shared_ptr<const std::string> bytes) override {
    if (bytes && !bytes->empty()) push({std::move(bytes)});
  }
  void write_file(std::shared_ptr<open_file> file, std::uint64_t offset, std::uint64_t length) override {
    if (length > 0) push({file_part{std::move(file), offset, length}});
  }
  std::size_t queued() const override { return queued_; }
  void pause() override {
    paused_ = true;
    update();
  }
  void resume() override {
    paused_ = false;
    update();
  }
  void finish() override {
    finishing_ = true;
    flush_later();
  }
  endpoint peer() const override { return peer_; }
  endpoint local() const override { return local_; }
  bool secure() const override { return tls_ != nullptr; }
  std::string_view protocol() const override { return tls_ ? tls_->protocol() : std::string_view(); }

private:
  enum class io_result { progress, blocked, stop };

  void push(chunk c) {
    if (ended_ || finishing_) return;
    queued_ += c.size();
    if (std::holds_alternative<file_part>(c.what)) count_as_sender(true);
    out_.push_back(std::move(c));
    if (!answering_) flush_later();
  }

  void count_as_sender(bool sends) {
    if (std::exchange(sends_file_, sends) == sends) return;
    if (sends)
      ++loop_.file_senders;
    else
      --loop_.file_senders;
  }

  void flush_later() {
    if (flush_pending_ || ended_) return;
    flush_pending_ = true;
    loop_.at_end_of_turn([this, alive = alive_] {
      if (!*alive) return;
      flush_pending_ = false;
      flush();
    });
  }

  void update() {
    if (ended_) return;
    bool write = !out_.empty() || tls_wants_write_;
    poller_.want(!paused_ && !peer_closed_, write);
  }

  void ready(bool readable, bool writable) {
    auto alive = alive_;
    if ((readable || tls_wants_write_) && !paused_ && !peer_closed_) {
      receive();
      if (!*alive || ended_) return;
    }
    if (writable || (tls_ && readable)) flush();
  }

  void receive() {
    auto alive = alive_;
    auto buffer = loop_.receive_buffer().first(read_size);
    for (int i = 0; i < reads_per_turn; ++i) {
      std::size_t got = 0;
      bool full = false;
      if (tls_) {
        // Reads finish the handshake by themselves; only a renegotiation would want to write.
        auto outcome = tls_->read(buffer, got);
        tls_wants_write_ = outcome == tls_session::outcome::want_write;
        if (outcome == tls_session::outcome::want_read || outcome == tls_session::outcome::want_write)
          return update();
        if (outcome == tls_session::outcome::closed) return peer_closed();
        if (outcome == tls_session::outcome::failed)
          return end(error{errc::protocol, tls_->failure(), "stream.read"});
        full = true; // records may be left in OpenSSL's buffer, where no poll sees them
      } else {
        auto n = recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n < 0) return end(system_error(errno, peer_.to_string(), "stream.read"));
        if (n == 0) return peer_closed();
        got = static_cast<std::size_t>(n);
        full = got == buffer.size();
      }
      if (on_data_) {
        auto call = on_data_; // it may drop the stream
        answering_ = true;
        call(buffer.first(got));
        if (!*alive) return;
        answering_ = false;
        flush_answer();
        if (!*alive) return;
      }
      if (!*alive || ended_ || paused_ || !full) break;
    }
    if (*alive && !ended_ && tls_ && !paused_) read_on_later();
  }

  // What was written in answer to what came is whole now. Files wait for the end of the turn: only then is it
  // known how many streams share what may be sent in it.
  void flush_answer() {
    if (out_.empty()) return;
    if (sends_file_)
      flush_later();
    else
      flush();
  }

  // TLS keeps decrypted bytes where poll(2) does not see them: look again after this turn.
  void read_on_later() {
    if (read_pending_) return;
    read_pending_ = true;
    loop_.at_end_of_turn([this, alive = alive_] {
      if (!*alive) return;
      read_pending_ = false;
      if (!ended_ && !paused_ && !peer_closed_) receive();
    });
  }

  void peer_closed() {
    peer_closed_ = true;
    // What we still owe is sent first: a client may close its direction after its request.
    if (out_.empty()) return end(std::nullopt);
    update();
  }

  void end(std::optional<error> why) {
    if (ended_) return;
    ended_ = true;
    poller_.want(false, false);
    out_.clear();
    queued_ = 0;
    count_as_sender(false);
    auto call = std::move(on_end_);
    on_data_ = nullptr;
    on_drained_ = nullptr;
    if (call) call(std::move(why));
  }

  void flush() {
    if (ended_) return;
    bool had = !out_.empty();
    std::size_t budget = std::clamp(file_bytes_per_loop_turn / std::max<std::size_t>(loop_.file_senders, 1),
                                    least_file_bytes, most_file_bytes);
    while (!out_.empty() && budget > 0) {
      auto r = tls_                                                   ? flush_tls(budget)
               : std::holds_alternative<file_part>(out_.front().what) ? flush_file(budget)
                                                                      : flush_text();
      if (r == io_result::stop) return;
      if (r == io_result::blocked) break;
    }
    if (out_.empty()) {
      count_as_sender(false);
      if (finishing_ && !shut_) {
        shut_ = true;
        if (tls_) tls_->shut_down();
        ::shutdown(fd_.get(), SHUT_WR);
      }
      if (peer_closed_) return end(std::nullopt);
    }
    update();
    if (had && out_.empty() && on_drained_) {
      auto call = on_drained_;
      call();
    }
  }

  void consumed(std::size_t n) {
    queued_ -= n;
    while (n > 0) {
      auto& front = out_.front();
      auto take = std::min(n, front.text().size());
      front.done += take;
      n -= take;
      if (!front.text().empty()) return;
      out_.pop_front();
    }
  }

  // Text chunks up to the next file leave in one call; MSG_MORE joins them with the file that follows.
  io_result flush_text() {
    std::array<iovec, 16> vectors{};
    std::size_t count = 0, total = 0;
    bool more = false;
    for (auto& c : out_) {
      if (std::holds_alternative<file_part>(c.what) || count == vectors.size()) {
        more = true;
        break;
      }
      auto text = c.text();
      vectors[count++] = {const_cast<char*>(text.data()), text.size()};
      total += text.size();
    }
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
    ssize_t n;
    if (count > 1 && total > small_write) {
      msghdr h{};
      h.msg_iov = vectors.data();
      h.msg_iovlen = count;
      n = sendmsg(fd_.get(), &h, flags);
    } else if (count > 1) {
      std::array<char, small_write> joined;
      auto* to = joined.data();
      for (std::size_t i = 0; i < count; to += vectors[i++].iov_len)
        std::memcpy(to, vectors[i].iov_base, vectors[i].iov_len);
      n = send(fd_.get(), joined.data(), total, flags);
    } else {
      n = send(fd_.get(), out_.front().text().data(), total, flags);
    }
    if (n < 0) return failed_write();
    consumed(static_cast<std::size_t>(n));
    return io_result::progress;
  }

  io_result flush_file(std::size_t& budget) {
    auto& part = std::get<file_part>(out_.front().what);
    auto offset = static_cast<off_t>(part.offset);
    auto n =
        sendfile(fd_.get(), part.file->descriptor(), &offset, std::min<std::uint64_t>(part.left, budget));
    if (n < 0) return failed_write();
    if (n == 0) return truncated();
    auto sent = static_cast<std::size_t>(n);
    advance_file(part, sent);
    budget -= sent;
    return io_result::progress;
  }

  io_result flush_tls(std::size_t& budget) {
    std::array<std::uint8_t, 16384> buffer; // one TLS record
    auto& front = out_.front();
    byte_view data;
    auto* part = std::get_if<file_part>(&front.what);
    if (part) {
      auto got = part->file->read(
          part->offset, byte_span(buffer).first(std::min<std::uint64_t>(part->left, buffer.size())));
      if (!got) {
        end(got.error());
        return io_result::stop;
      }
      if (*got == 0) return truncated();
      data = byte_view(buffer).first(*got);
    } else {
      data = as_bytes(front.text());
    }
    std::size_t put = 0;
    switch (tls_->write(data, put)) {
    case tls_session::outcome::done: break;
    case tls_session::outcome::want_read:
    case tls_session::outcome::want_write: return io_result::blocked;
    case tls_session::outcome::closed:
    case tls_session::outcome::failed:
      end(error{errc::closed, tls_->failure().empty() ? "the peer closed the stream" : tls_->failure(),
                "stream.write"});
      return io_result::stop;
    }
    if (part)
      advance_file(*part, put);
    else
      consumed(put);
    budget -= std::min(budget, put);
    return io_result::progress;
  }

  void advance_file(file_part& part, std::size_t sent) {
    part.offset += sent;
    part.left -= sent;
    queued_ -= sent;
    if (part.left == 0) out_.pop_front();
  }

  io_result failed_write() {
    if (errno == EINTR) return io_result::progress;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return io_result::blocked;
    end(system_error(errno, peer_.to_string(), "stream.write"));
    return io_result::stop;
  }

  io_result truncated() {
    end(error{errc::io, "the file shrank while it was being sent", "stream.write"});
    return io_result::stop;
  }

  loop& loop_;
  descriptor fd_;
  endpoint peer_, local_;
  std::unique_ptr<tls_session> tls_;
  std::function<void(byte_view)> on_data_;
  std::function<void(std::optional<error>)> on_end_;
  std::function<void()> on_drained_;
  std::deque<chunk> out_;
  std::size_t queued_ = 0;
  bool paused_ = false, finishing_ = false, shut_ = false, ended_ = false, peer_closed_ = false;
  bool sends_file_ = false, answering_ = false, flush_pending_ = false, read_pending_ = false,
       tls_wants_write_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  poller poller_;
};

result<socklen_t> unix_address(const std::string& path, sockaddr_storage& out) {
  auto* un = reinterpret_cast<sockaddr_un*>(&out);
  *un = {};
  un->sun_family = AF_UNIX;
  if (path.size() >= sizeof un->sun_path)
    return fail(errc::invalid, "the socket path " + path + " is longer than " +
                                   std::to_string(sizeof un->sun_path - 1) + " bytes");
  std::memcpy(un->sun_path, path.data(), path.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

class uv_listener final : public listener {
public:
  uv_listener(loop& owner, scheduler& scheduler, descriptor fd, std::string unix_path,
              std::shared_ptr<tls_context> tls, std::function<void(std::unique_ptr<stream>)> on_accept)
      : loop_(owner), scheduler_(scheduler), fd_(std::move(fd)), local_(local_of(fd_.get())),
        unix_path_(std::move(unix_path)), tls_(std::move(tls)), on_accept_(std::move(on_accept)),
        poller_(owner, fd_.get(), [this](bool, bool) { accept(); }) {
    poller_.want(true, false);
  }
  ~uv_listener() override {
    *alive_ = false;
    if (!unix_path_.empty()) unlink(unix_path_.c_str());
  }
  endpoint local() const override { return local_; }

private:
  void accept() {
    auto alive = alive_;
    for (int i = 0; i < 64 && *alive; ++i) {
      descriptor fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          // The connection stays in the backlog; asking again at once would only burn the processor.
          poller_.want(false, false);
          retry_ = scheduler_.after(std::chrono::milliseconds(100), [this] { poller_.want(true, false); });
        }
        return;
      }
      std::unique_ptr<tls_session> session;
      if (tls_) session = std::make_unique<tls_session>(tls_, fd.get(), true, "");
      on_accept_(std::make_unique<uv_stream>(loop_, std::move(fd), std::move(session)));
    }
  }

  loop& loop_;
  scheduler& scheduler_;
  descriptor fd_;
  endpoint local_;
  std::string unix_path_;
  std::shared_ptr<tls_context> tls_;
  std::function<void(std::unique_ptr<stream>)> on_accept_;
  timer retry_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  poller poller_;
};

// A connection on its way: the loop keeps it until it succeeds or fails. The deadline is the caller's.
struct connecting : std::enable_shared_from_this<connecting> {
  explicit connecting(loop& on) : owner(on) {}
  loop& owner;
  descriptor fd;
  std::string where, server_name;
  std::shared_ptr<tls_context> trust;
  std::unique_ptr<tls_session> tls;
  std::function<void(result<std::unique_ptr<stream>>)> done;
  std::unique_ptr<poller> watch;

  void step() {
    if (!tls) {
      int trouble = 0;
      socklen_t length = sizeof trouble;
      getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &trouble, &length);
      if (trouble != 0) return finish(system_fail(trouble, where, "connect"));
      if (!trust) return finish({});
      tls = std::make_unique<tls_session>(trust, fd.get(), false, server_name);
    }
    switch (tls->handshake()) {
    case tls_session::outcome::done: return finish({});
    case tls_session::outcome::want_read: return watch->want(true, false);
    case tls_session::outcome::want_write: return watch->want(false, true);
    default: return finish(fail(errc::protocol, where + ": " + tls->failure(), "connect"));
    }
  }

  void finish(result<void> outcome) {
    watch.reset();
    auto keep = shared_from_this();
    owner.release(this);
    auto call = std::move(done);
    if (outcome)
      call(std::make_unique<uv_stream>(owner, std::move(fd), std::move(tls)));
    else
      call(tl::unexpected(outcome.error()));
  }
};

} // namespace

result<std::unique_ptr<listener>> make_listener(loop& owner, scheduler& scheduler, const listen_options& o,
                                                std::function<void(std::unique_ptr<stream>)> on_accept) {
  std::shared_ptr<tls_context> tls;
  if (o.tls) {
    auto context = tls_context::server(*o.tls);
    if (!context) return tl::unexpected(context.error());
    tls = std::move(*context);
  }
  bool unix_socket = !o.unix_path.empty(), v6 = o.local.address.is_v6();
  auto where = unix_socket ? "socket " + o.unix_path : "TCP " + o.local.to_string();
  descriptor fd(socket(unix_socket ? AF_UNIX
                       : v6        ? AF_INET6
                                   : AF_INET,
                       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return system_fail(errno, where, "listen");
  sockaddr_storage name;
  socklen_t length = 0;
  mode_t before = 0;
  if (unix_socket) {
    auto made = unix_address(o.unix_path, name);
    if (!made) return tl::unexpected(made.error());
    length = *made;
  } else {
    int on = 1;
    // Without it a restart would wait for old connections in TIME_WAIT; two listeners still collide.
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (o.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (v6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (auto bound = bind_device(fd.get(), o.device); !bound) return tl::unexpected(bound.error());
    length = to_sockaddr(o.local, name, v6);
  }
  // The socket file must never exist with wider rights, not even for a moment.
  if (unix_socket) before = umask(0177);
  int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&name), length);
  int trouble = errno;
  if (unix_socket) umask(before);
  if (bound != 0) return system_fail(trouble, where, "listen");
  if (listen(fd.get(), o.backlog) != 0) return system_fail(errno, where, "listen");
  return std::make_unique<uv_listener>(owner, scheduler, std::move(fd), o.unix_path, std::move(tls),
                                       std::move(on_accept));
}

void make_connection(loop& owner, scheduler& scheduler, const connect_options& o,
                     std::function<void(result<std::unique_ptr<stream>>)> on_connect) {
  auto refuse = [&](error why) {
    scheduler.post(
        [on_connect = std::move(on_connect), why = std::move(why)] { on_connect(tl::unexpected(why)); });
  };
  bool unix_socket = !o.unix_path.empty(), v6 = o.peer.address.is_v6();
  auto where = unix_socket ? "socket " + o.unix_path : o.peer.to_string();
  std::shared_ptr<tls_context> tls;
  if (o.tls) {
    auto& shared = owner.trust[o.ca_file];
    if (!shared) {
      auto context = tls_context::client(o.ca_file);
      if (!context) return refuse(context.error());
      shared = std::move(*context);
    }
    tls = shared;
  }
  descriptor fd(socket(unix_socket ? AF_UNIX
                       : v6        ? AF_INET6
                                   : AF_INET,
                       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return refuse(system_error(errno, where, "connect"));
  sockaddr_storage name;
  socklen_t length = 0;
  if (unix_socket) {
    auto made = unix_address(o.unix_path, name);
    if (!made) return refuse(made.error());
    length = *made;
  } else {
    length = to_sockaddr(o.peer, name, v6);
  }
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0 && errno != EINPROGRESS)
    return refuse(system_error(errno, where, "connect"));
  auto c = std::make_shared<connecting>(owner);
  c->fd = std::move(fd);
  c->where = where;
  c->server_name = o.server_name;
  c->trust = std::move(tls);
  c->done = std::move(on_connect);
  c->watch = std::make_unique<poller>(owner, c->fd.get(), [raw = c.get()](bool, bool) { raw->step(); });
  c->watch->want(false, true);
  owner.keep(c);
}

} // namespace netlab::io
