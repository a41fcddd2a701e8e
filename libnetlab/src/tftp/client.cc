#include <algorithm>

#include "netascii.h"
#include "netlab/text.h"
#include "netlab/tftp_client.h"
#include "receiver.h"

namespace netlab::tftp {

namespace {

constexpr duration linger = std::chrono::seconds(4); // two retransmissions of most servers

class transfer final : public client_transfer {
public:
  transfer(runtime& world, const get_options& what, get_callbacks callbacks,
           std::unique_ptr<udp_socket> socket)
      : world_(world), callbacks_(std::move(callbacks)), netascii_(what.mode == transfer_mode::netascii),
        engine_(what, world.clock.now()), socket_(std::move(socket)) {
    socket_->on_receive([this](std::span<const datagram> batch) { receive(batch); });
    auto first = engine_.start(world_.clock.now());
    if (auto sent = transmit(first); !sent) {
      // Such an error is final (no route), but a caller must not be called back before get() returned.
      auto why = sent.error();
      timer_ = world_.scheduler.after({}, [this, why] { finish(tl::unexpected(why)); });
      return;
    }
    arm();
  }

  ~transfer() override {
    *alive_ = false;
    if (!engine_.finished()) (void)transmit(engine_.cancel(world_.clock.now()));
  }

private:
  result<void> transmit(const receiver::output& out) {
    if (out.send.empty()) return {};
    auto sent = socket_->send(datagram{out.to, {}, 0, out.send});
    if (!sent) return tl::unexpected(sent.error());
    return {};
  }

  // One timer that looks again when the deadline has moved meanwhile: re-arming for every block would
  // cost more than the block.
  void arm() {
    timer_ = world_.scheduler.after(std::max(engine_.deadline() - world_.clock.now(), duration{}), [this] {
      auto now = world_.clock.now();
      if (now >= engine_.deadline()) {
        (void)transmit(engine_.on_deadline(now));
        if (engine_.finished()) return conclude();
      }
      arm();
    });
  }

  void receive(std::span<const datagram> batch) {
    auto alive = alive_;
    auto now = world_.clock.now();
    for (const auto& each : batch) {
      bool was_finished = engine_.finished();
      auto out = engine_.on_packet(each.peer, each.data, now);
      (void)transmit(out);
      if (!out.data.empty()) deliver(out.data);
      if (out.progress && callbacks_.on_progress)
        callbacks_.on_progress(engine_.result().bytes, engine_.result().size);
      if (engine_.finished() && !was_finished) conclude();
      if (!*alive) return;
    }
  }

  void deliver(byte_view data) {
    if (!callbacks_.on_data) return;
    if (!netascii_) return callbacks_.on_data(data);
    text_.clear();
    decoder_.convert(data, text_);
    if (!text_.empty()) callbacks_.on_data(as_bytes(text_));
  }

  void conclude() {
    if (engine_.failure()) return finish(tl::unexpected(*engine_.failure()));
    if (netascii_ && callbacks_.on_data) {
      text_.clear();
      decoder_.finish(text_);
      if (!text_.empty()) callbacks_.on_data(as_bytes(text_));
    }
    finish(engine_.result());
  }

  void finish(result<get_result> how) {
    timer_ = world_.scheduler.after(linger, [this] { socket_.reset(); });
    auto done = std::move(callbacks_.on_done);
    if (done) done(std::move(how)); // may destroy this
  }

  runtime& world_;
  get_callbacks callbacks_;
  bool netascii_;
  netascii_decoder decoder_;
  std::string text_;
  receiver engine_;
  std::unique_ptr<udp_socket> socket_;
  timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

error invalid(std::string why) { return {errc::invalid, std::move(why), "tftp.get"}; }

} // namespace

result<std::unique_ptr<client_transfer>> get(runtime& world, get_options what, get_callbacks callbacks) {
  if (what.file.empty() || what.file.find('\0') != std::string::npos || what.file.size() > 480)
    return tl::unexpected(invalid("a TFTP file name has 1 to 480 bytes and no NUL"));
  if (what.mode == transfer_mode::other) return tl::unexpected(invalid("the mode is octet or netascii"));
  auto outside = [](const std::optional<std::uint32_t>& value, std::uint32_t low, std::uint32_t high) {
    return value && (*value < low || *value > high);
  };
  if (outside(what.blksize, min_blksize, max_blksize))
    return tl::unexpected(invalid("blksize lies between 8 and 65464"));
  if (outside(what.windowsize, 1, 65535))
    return tl::unexpected(invalid("windowsize lies between 1 and 65535"));
  if (outside(what.timeout, 1, 255)) return tl::unexpected(invalid("timeout lies between 1 and 255 seconds"));
  if (what.retry <= duration{}) return tl::unexpected(invalid("retry is longer than nothing"));
  if (what.server.port == 0) what.server.port = default_port;
  udp_options options;
  options.local = what.local;
  if (options.local.address.is_unspecified() && what.server.address.is_v6()) {
    options.local.address = ip_address::v6({});
  }
  options.device = what.device;
  // A window may arrive at once while our loop is busy.
  auto window = std::uint64_t{what.windowsize.value_or(1)} * what.blksize.value_or(default_blksize);
  options.receive_buffer = static_cast<int>(std::clamp<std::uint64_t>(window * 4, 256u << 10, 8u << 20));
  auto socket = world.net.udp(options);
  if (!socket) return tl::unexpected(socket.error());
  return std::make_unique<transfer>(world, what, std::move(callbacks), std::move(*socket));
}

result<get_options> parse_url(std::string_view url) {
  auto bad = [&url](std::string_view why) {
    return fail(errc::invalid, printable(url) + ": " + std::string(why), "tftp.url");
  };
  constexpr std::string_view scheme = "tftp://";
  if (!istarts_with(url, scheme)) return bad("a TFTP URL begins with tftp://");
  auto rest = url.substr(scheme.size());
  auto slash = rest.find('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size()) return bad("the URL names no file");
  auto host = std::string(rest.substr(0, slash));
  get_options out;
  if (auto whole = endpoint::parse(host); whole && !host.starts_with(':')) {
    out.server = *whole;
  } else {
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    auto address = ip_address::parse(host);
    if (!address) return bad("the host is no IP address");
    out.server = {*address, default_port};
  }
  auto file = url_decode(rest.substr(slash + 1));
  if (!file) return tl::unexpected(file.error());
  out.file = std::move(*file);
  return out;
}

} // namespace netlab::tftp
