#include <algorithm>
#include <cstdio>

#include "netlab/dhcp_client.h"
#include "netlab/text.h"

namespace netlab::dhcp {

namespace {

// What EDK2, PXE ROMs and iPXE ask for.
constexpr std::uint8_t boot_wanted[] = {1,  2,   3,   4,   5,   6,   12,  13,  15,  17,  18, 22, 23,
                                        28, 40,  41,  42,  43,  50,  51,  54,  58,  59,  60, 66, 67,
                                        97, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175};
constexpr std::uint8_t plain_wanted[] = {1, 3, 6, 12, 15, 26, 28, 42, 119, 121};
// iPXE's feature flags: menu, http, tftp, dns, bzimage, efi.
constexpr std::uint8_t usual_ipxe[] = {0xb1, 5,    1, 0x80, 0x86, 0x10, 0x0e, 0x17, 1, 1, 0x22, 1, 1, 0x13, 1,
                                       1,    0x14, 1, 1,    0x11, 1,    1,    0x19, 1, 1, 0x24, 1, 1};

std::string file_of(const packet& m) {
  auto file = m.options.text(option::boot_file);
  return std::string(file.empty() ? std::string_view(m.file) : file);
}

std::string digits(std::uint16_t value) {
  char text[8];
  std::snprintf(text, sizeof text, "%05u", static_cast<unsigned>(value));
  return text;
}

} // namespace

struct client_engine::impl {
  enum class state { idle, selecting, requesting, asking_proxy, done } now_in = state::idle;

  client_options o;
  std::uint32_t xid;
  boot_time began{}, retry_at = boot_time::max(), collect_until = boot_time::max(), ends = boot_time::max();
  duration wait{};
  int chosen = -1;
  int proxy = -1;
  client_report report;

  impl(client_options options, std::uint32_t id) : o(std::move(options)), xid(id) {
    if (!o.uuid) {
      netlab::uuid made;
      std::copy(o.mac.octets.begin(), o.mac.octets.end(), made.bytes.begin() + 10);
      made.bytes[0] = 0x6e; // not nil, and the same at every run
      made.bytes[6] = 0x80;
      made.bytes[8] = 0x80;
      o.uuid = made;
    }
  }

  bool boots() const { return o.kind != client_kind::plain; }

  packet message(message_type type) const {
    packet m;
    m.xid = xid;
    m.set_mac(o.mac);
    if (o.broadcast) m.flags = packet::broadcast_flag;
    auto& p = m.options;
    p.set_u8(option::type, static_cast<std::uint8_t>(type));
    if (!o.client_id.empty()) p.set(option::client_id, o.client_id);
    if (type == message_type::release) return m;
    p.set(option::parameter_list, boots() ? byte_view(boot_wanted) : byte_view(plain_wanted));
    p.set_u16(option::max_size, 1472);
    if (!o.hostname.empty()) p.set_text(option::host_name, o.hostname);
    if (!boots()) return m;
    bool http = o.kind == client_kind::http_boot;
    p.set_text(option::vendor_class, std::string(http ? "HTTPClient" : "PXEClient") +
                                         ":Arch:" + digits(o.architecture) +
                                         (o.architecture == 0 ? ":UNDI:002001" : ":UNDI:003000"));
    p.set_u16(option::architecture, o.architecture);
    const std::uint8_t undi[] = {1, 3, static_cast<std::uint8_t>(o.architecture == 0 ? 1 : 0)};
    p.set(option::undi, undi);
    byte_vector id{0};
    auto guid = o.uuid->to_guid();
    id.insert(id.end(), guid.begin(), guid.end());
    p.set(option::machine_id, id);
    if (o.kind == client_kind::ipxe) {
      p.set_text(option::user_class, o.user_class.empty() ? "iPXE" : o.user_class);
      p.set(option::ipxe, o.ipxe_features.empty() ? byte_view(usual_ipxe) : byte_view(o.ipxe_features));
    } else if (!o.user_class.empty()) {
      p.set(option::user_class, encode_user_class(o.user_class));
    }
    return m;
  }

  void step(boot_time now, bool sent, std::string what, std::string detail) {
    if (report.steps.size() < 256)
      report.steps.push_back({now - began, sent, std::move(what), std::move(detail)});
  }

  void send(const packet& m, const endpoint& to, boot_time now, std::string detail,
            std::vector<client_output>& out) {
    auto bytes = encode(m, 1472);
    if (!bytes) return finish(now, {}, bytes.error(), out);
    step(now, true, std::string(to_string(m.type())), std::move(detail));
    out.push_back({std::move(*bytes), to});
  }

  static endpoint everybody() { return {ip_address::v4(0xffffffff), 67}; }

  void discover(boot_time now, std::vector<client_output>& out) {
    auto m = message(message_type::discover);
    m.secs =
        static_cast<std::uint16_t>(std::chrono::duration_cast<std::chrono::seconds>(now - began).count());
    if (o.requested) m.options.set_address(option::requested_address, *o.requested);
    send(m, everybody(), now, boots() ? std::string(m.options.text(option::vendor_class)) : o.mac.to_string(),
         out);
  }

  void request(boot_time now, std::vector<client_output>& out) {
    const auto& offer = report.offers[static_cast<std::size_t>(chosen)];
    auto m = message(message_type::request);
    m.options.set_address(option::server_id, offer.server);
    m.options.set_address(option::requested_address, offer.address);
    send(m, everybody(), now, offer.address.to_string() + " from " + offer.server.to_string(), out);
  }

  // PXE 2.1 §2.2.3: the proxy that offered no file tells it on port 4011.
  void ask_proxy(boot_time now, std::vector<client_output>& out) {
    const auto& offer = report.offers[static_cast<std::size_t>(proxy)];
    auto m = message(message_type::request);
    m.ciaddr = report.lease->address;
    auto server = offer.next_server.is_unspecified() ? offer.server : offer.next_server;
    m.options.set_address(option::server_id, server);
    send(m, {server, 4011}, now, "proxy " + server.to_string(), out);
  }

  void again(boot_time now, duration first) {
    wait = wait == duration{} ? first : std::min<duration>(wait * 2, std::chrono::seconds(8));
    retry_at = now + wait;
  }

  void choose(boot_time now, std::vector<client_output>& out) {
    if (o.look) return finish(now, {}, {}, out);
    collect_until = boot_time::max();
    chosen = -1;
    proxy = -1;
    for (std::size_t i = 0; i < report.offers.size(); ++i) {
      const auto& offer = report.offers[i];
      auto index = static_cast<int>(i);
      if (offer.proxy()) {
        bool ready = !offer.file.empty();
        if (proxy < 0 || (ready && report.offers[static_cast<std::size_t>(proxy)].file.empty()))
          proxy = index;
      } else if (chosen < 0 || (boots() && !offer.file.empty() &&
                                report.offers[static_cast<std::size_t>(chosen)].file.empty())) {
        chosen = index; // firmware takes an offer that boots before an earlier one that does not
      }
    }
    if (chosen < 0) return; // only proxies so far: keep asking
    now_in = state::requesting;
    wait = {};
    again(now, o.retry);
    request(now, out);
  }

  void receive(byte_view bytes, boot_time now, std::vector<client_output>& out) {
    auto m = decode(bytes);
    if (!m) {
      step(now, false, "unreadable", m.error().message);
      return;
    }
    if (m->op != packet::reply_op || m->xid != xid || m->mac() != o.mac) return;
    auto type = m->type();
    auto server = m->options.address(option::server_id).value_or(m->siaddr);
    auto describe = [&] {
      auto text = (m->yiaddr.is_unspecified() ? std::string("proxy") : m->yiaddr.to_string()) + " from " +
                  server.to_string();
      if (auto file = file_of(*m); !file.empty()) text += ", file " + printable(file);
      return text;
    };
    switch (type) {
    case message_type::offer: {
      if (now_in != state::selecting) return step(now, false, "OFFER", "too late: " + describe());
      step(now, false, "OFFER", describe());
      bool repeated = std::any_of(report.offers.begin(), report.offers.end(), [&](const auto& f) {
        return f.server == server && f.address == m->yiaddr;
      });
      if (repeated || report.offers.size() >= 32) return;
      received_offer offer;
      offer.server = server;
      offer.address = m->yiaddr;
      offer.next_server = m->siaddr;
      offer.file = file_of(*m);
      offer.vendor_class = m->options.text(option::vendor_class);
      offer.after = now - began;
      offer.message = std::move(*m);
      report.offers.push_back(std::move(offer));
      if (collect_until == boot_time::max()) collect_until = now + o.collect;
      return;
    }
    case message_type::ack:
      step(now, false, "ACK", describe());
      if (now_in == state::requesting && !m->yiaddr.is_unspecified())
        return take(std::move(*m), server, now, out);
      if (now_in == state::asking_proxy) {
        report.lease->boot_file = file_of(*m);
        report.lease->boot_server = m->siaddr.is_unspecified() ? server : m->siaddr;
        report.lease->boot_from_proxy = true;
        return conclude(now, out);
      }
      return;
    case message_type::nak:
      step(now, false, "NAK", std::string(m->options.text(option::message)) + " from " + server.to_string());
      if (now_in != state::requesting) return;
      // RFC 2131 §3.1.4: start over.
      report.offers.clear();
      now_in = state::selecting;
      wait = {};
      again(now, o.retry);
      discover(now, out);
      return;
    default: return;
    }
  }

  void take(packet ack, const ip_address& server, boot_time now, std::vector<client_output>& out) {
    client_lease l;
    l.address = ack.yiaddr;
    l.server = server;
    l.next_server = ack.siaddr;
    std::uint8_t prefix = 24;
    if (auto mask = ack.options.u32(option::subnet_mask)) {
      prefix = 0;
      for (auto bit = 0x80000000u; bit != 0 && (*mask & bit) != 0; bit >>= 1) ++prefix;
    }
    l.network = {ack.yiaddr, prefix};
    if (auto v = ack.options.find(option::router))
      if (auto list = decode_addresses(*v)) l.routers = *list;
    if (auto v = ack.options.find(option::dns))
      if (auto list = decode_addresses(*v)) l.dns = *list;
    l.hostname = ack.options.text(option::host_name);
    l.domain = ack.options.text(option::domain_name);
    auto seconds = ack.options.u32(option::lease_time).value_or(0);
    l.term = seconds == 0xffffffff ? duration::max() : duration(std::chrono::seconds(seconds));
    l.boot_file = file_of(ack);
    if (!l.boot_file.empty()) l.boot_server = ack.siaddr.is_unspecified() ? server : ack.siaddr;
    l.ack = std::move(ack);
    report.lease = std::move(l);
    if (boots() && proxy >= 0) {
      const auto& offer = report.offers[static_cast<std::size_t>(proxy)];
      if (!offer.file.empty()) {
        report.lease->boot_file = offer.file;
        report.lease->boot_server = offer.next_server.is_unspecified() ? offer.server : offer.next_server;
        report.lease->boot_from_proxy = true;
      } else {
        now_in = state::asking_proxy;
        wait = {};
        again(now, o.retry);
        return ask_proxy(now, out);
      }
    }
    conclude(now, out);
  }

  void conclude(boot_time now, std::vector<client_output>& out) {
    std::optional<error> failure;
    if (boots() && report.lease->boot_file.empty())
      failure = error{errc::not_found,
                      "the server gave " + report.lease->address.to_string() +
                          " but no boot file for architecture " + architecture_name(o.architecture),
                      "dhcp.client"};
    finish(now, std::move(failure), {}, out);
  }

  void finish(boot_time now, std::optional<error> failure, std::optional<error> fatal,
              std::vector<client_output>& out) {
    if (now_in == state::done) return;
    now_in = state::done;
    retry_at = collect_until = ends = boot_time::max();
    report.failure = fatal ? std::move(fatal) : std::move(failure);
    if (!o.release || !report.lease) return;
    auto m = message(message_type::release);
    m.flags = 0;
    m.ciaddr = report.lease->address;
    m.options.set_address(option::server_id, report.lease->server);
    if (auto bytes = encode(m)) {
      step(now, true, "RELEASE", report.lease->address.to_string());
      out.push_back({std::move(*bytes), {report.lease->server, 67}});
    }
  }

  void advance(boot_time now, std::vector<client_output>& out) {
    if (now_in == state::done) return;
    if (now >= ends) {
      if (o.look) return finish(now, {}, {}, out);
      error why{errc::timeout, {}, "dhcp.client"};
      if (now_in == state::asking_proxy)
        why.message = "the proxy at " + report.offers[static_cast<std::size_t>(proxy)].server.to_string() +
                      " did not answer on port 4011";
      else if (now_in == state::requesting)
        why.message = "the server " + report.offers[static_cast<std::size_t>(chosen)].server.to_string() +
                      " offered an address and did not confirm it";
      else if (!report.offers.empty())
        why.message = "only proxyDHCP servers answered; none gives an address";
      else
        why.message = "no DHCP server answered";
      return finish(now, std::move(why), {}, out);
    }
    if (now >= collect_until) choose(now, out);
    if (now_in != state::done && now >= retry_at) {
      again(now, o.retry);
      if (now_in == state::selecting)
        discover(now, out);
      else if (now_in == state::requesting)
        request(now, out);
      else if (now_in == state::asking_proxy)
        ask_proxy(now, out);
    }
  }
};

client_engine::client_engine(client_options options, std::uint32_t xid)
    : impl_(std::make_unique<impl>(std::move(options), xid)) {}
client_engine::~client_engine() = default;

void client_engine::start(boot_time now, std::vector<client_output>& out) {
  impl_->began = now;
  impl_->ends = now + impl_->o.deadline;
  impl_->now_in = impl::state::selecting;
  impl_->again(now, impl_->o.retry);
  impl_->discover(now, out);
}
void client_engine::receive(byte_view message, boot_time now, std::vector<client_output>& out) {
  if (!done()) impl_->receive(message, now, out);
}
void client_engine::advance(boot_time now, std::vector<client_output>& out) { impl_->advance(now, out); }
boot_time client_engine::next_deadline() const {
  return std::min({impl_->retry_at, impl_->collect_until, impl_->ends});
}
bool client_engine::done() const { return impl_->now_in == impl::state::done; }
const client_report& client_engine::report() const { return impl_->report; }

} // namespace netlab::dhcp
