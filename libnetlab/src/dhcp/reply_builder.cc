#include "reply_builder.h"

#include <algorithm>

namespace netlab::dhcp {

namespace {

constexpr std::uint32_t infinite = 0xffffffff; // RFC 2131 §3.3

std::uint32_t seconds_of(duration term) {
  if (term == duration::max()) return infinite;
  auto s = std::chrono::duration_cast<std::chrono::seconds>(term).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(s, 1, infinite - 1));
}

// The fields that are set replace, the others stay.
void inherit(option_set& base, const option_set& over) {
  if (over.routers) base.routers = over.routers;
  if (over.dns) base.dns = over.dns;
  if (over.ntp) base.ntp = over.ntp;
  if (over.domain) base.domain = over.domain;
  if (over.search) base.search = over.search;
  if (over.mtu) base.mtu = over.mtu;
  if (over.routes) base.routes = over.routes;
  if (over.lease) base.lease = over.lease;
  for (const auto& raw : over.raw) {
    std::erase_if(base.raw, [&](const raw_option& o) { return o.code == raw.code; });
    base.raw.push_back(raw);
  }
}

} // namespace

void reply_builder::configure(const server_config& config) {
  config_ = &config;
  merged_.clear();
}

const reply_builder::options& reply_builder::merged(const request_context& c) {
  auto key =
      static_cast<std::uint64_t>(c.network) << 52 | static_cast<std::uint64_t>(c.host + 1) << 32 | c.classes;
  if (auto it = merged_.find(key); it != merged_.end()) return it->second;
  if (merged_.size() >= 4096) merged_.clear();

  const auto& n = config_->networks[static_cast<std::size_t>(c.network)];
  option_set set = n.options;
  // The first class that matches wins, so that the recipe's order counts: apply from the last.
  for (std::size_t i = config_->classes.size(); i-- > 0;)
    if ((c.classes >> i & 1) != 0) inherit(set, config_->classes[i].options);
  if (c.host >= 0) inherit(set, config_->hosts[static_cast<std::size_t>(c.host)].options);

  options out;
  // check() saw every value encode, so a failure here leaves the option out.
  auto addresses = [&](option_list& list, std::uint8_t code, const auto& value) {
    if (!value || value->empty()) return;
    if (auto bytes = encode_addresses(*value)) list.set(code, *bytes);
  };
  out.always.set_address(option::subnet_mask, n.subnet.netmask());
  addresses(out.always, option::router, set.routers);
  addresses(out.asked, option::dns, set.dns);
  if (set.domain && !set.domain->empty()) out.asked.set_text(option::domain_name, *set.domain);
  out.asked.set_address(option::broadcast_address, n.subnet.broadcast());
  addresses(out.asked, option::ntp, set.ntp);
  if (set.mtu) out.asked.set_u16(option::mtu, *set.mtu);
  if (set.search && !set.search->empty())
    if (auto bytes = encode_domains(*set.search)) out.asked.set(option::domain_search, *bytes);
  if (set.routes && !set.routes->empty()) {
    // RFC 3442: a client that takes option 121 ignores option 3, so the default route goes along.
    auto routes = *set.routes;
    bool has_default =
        std::any_of(routes.begin(), routes.end(), [](const auto& r) { return r.destination.prefix == 0; });
    if (!has_default && set.routers && !set.routers->empty())
      routes.push_back({{ip_address::v4(0), 0}, set.routers->front()});
    if (auto bytes = encode_routes(routes)) out.asked.set(option::classless_routes, *bytes);
  }
  for (const auto& raw : set.raw) {
    out.always.erase(raw.code);
    out.asked.erase(raw.code);
    if (raw.always)
      out.always.set(raw.code, raw.value);
    else
      out.asked.set(raw.code, raw.value);
  }
  return merged_.emplace(key, std::move(out)).first->second;
}

duration reply_builder::default_lease(const request_context& c) const {
  if (c.host >= 0)
    if (auto term = config_->hosts[static_cast<std::size_t>(c.host)].options.lease) return *term;
  for (std::size_t i = 0; i < config_->classes.size(); ++i)
    if ((c.classes >> i & 1) != 0 && config_->classes[i].options.lease)
      return *config_->classes[i].options.lease;
  const auto& n = config_->networks[static_cast<std::size_t>(c.network)];
  return n.options.lease.value_or(n.lease);
}

reply reply_builder::address(const request_context& c, message_type type, const ip_address& yiaddr) const {
  reply r;
  r.type = type;
  r.mac = c.in.mac();
  r.interface = c.from.interface;
  r.proxy_port = c.from.proxy_port;
  r.from = config_->networks[static_cast<std::size_t>(c.network)].server;
  bool local_peer =
      c.from.peer.address.is_loopback(); // no real client has such an address: a probe or a test
  if (!c.in.giaddr.is_unspecified()) {
    r.how = destination::relay;
    r.to = c.relay.source_port || local_peer ? c.from.peer : endpoint{c.in.giaddr, 67};
    if (c.relay.source_port && !local_peer) r.to.address = c.in.giaddr;
  } else if (local_peer || c.from.proxy_port) {
    r.how = destination::unicast;
    r.to = c.from.peer; // PXE 2.1: port 4011 answers to the port that asked
    if (r.to.address.is_unspecified()) r.how = destination::broadcast;
  } else if (type == message_type::nak) {
    r.to = {ip_address::v4(0xffffffff), 68};
  } else if (!c.in.ciaddr.is_unspecified()) {
    r.how = destination::unicast;
    r.to = {c.in.ciaddr, 68};
  } else if (c.in.wants_broadcast() || c.in.hlen != 6 || r.mac.is_zero() || yiaddr.is_unspecified()) {
    r.to = {ip_address::v4(0xffffffff), 68};
  } else {
    r.how = destination::link;
    r.to = {yiaddr, 68};
  }
  return r;
}

void reply_builder::start(const request_context& c, message_type type) {
  out_.clear();
  out_.op = packet::reply_op;
  out_.htype = c.in.htype;
  out_.hlen = c.in.hlen;
  out_.xid = c.in.xid;
  out_.flags = c.in.flags;
  out_.giaddr = c.in.giaddr;
  out_.chaddr = c.in.chaddr;
  if (type == message_type::none) return; // BOOTP
  out_.options.set_u8(option::type, static_cast<std::uint8_t>(type));
  out_.options.set_address(option::server_id, c.server_id);
}

void reply_builder::add_boot(const request_context& c, message_type type) {
  const auto& b = *c.boot;
  auto wants = [&](std::uint8_t code) { return c.wanted[code]; };
  auto& o = out_.options;
  bool http = b.vendor_class.starts_with("HTTPClient");
  auto next = b.next_server.is_unspecified() ? c.server_id : b.next_server;
  out_.siaddr = next;
  if (b.file.size() < 128) out_.file = b.file;
  if (!b.file.empty() && (wants(option::boot_file) || http || out_.file.empty())) {
    // Old ROMs read option 67 as a C string; newer firmware takes a NUL for a part of the name.
    auto kinds = architectures(c.in);
    bool old_rom = c.in.options.text(option::vendor_class).starts_with("PXEClient") &&
                   (kinds.empty() || kinds[0] == 0) && !c.in.options.has(option::ipxe);
    std::string name = b.file;
    if (old_rom) name += '\0';
    o.set_text(option::boot_file, name);
  }
  if (b.server_name_option || wants(option::tftp_server)) o.set_text(option::tftp_server, next.to_string());
  auto vendor_class = b.vendor_class;
  bool proxy = type != message_type::none &&
               config_->networks[static_cast<std::size_t>(c.network)].mode == service::proxy;
  if (vendor_class.empty() && proxy) vendor_class = "PXEClient"; // a proxy's reply is recognised by it
  if (!vendor_class.empty()) o.set_text(option::vendor_class, vendor_class);
  if (!b.vendor_options.empty())
    o.set(option::vendor_specific, b.vendor_options);
  else if (proxy && vendor_class == "PXEClient" && !c.in.options.has(option::ipxe))
    add_proxy_hints(c);
  if (auto id = c.in.options.find(option::machine_id);
      id && (id->empty() || (id->size() == 17 && (*id)[0] == 0)))
    o.set(option::machine_id, *id);
  for (const auto& [code, value] : b.options) o.set(code, value);
}

void reply_builder::add_proxy_hints(const request_context& c) {
  const auto* hints = &config_->networks[static_cast<std::size_t>(c.network)].hints;
  if (c.host >= 0 && config_->hosts[static_cast<std::size_t>(c.host)].hints)
    hints = &*config_->hosts[static_cast<std::size_t>(c.host)].hints;
  auto kinds = architectures(c.in);
  bool bios = kinds.empty() || kinds[0] == 0;
  // A ROM of that age finds its server by the field for the server's name.
  if (bios && out_.sname.empty()) out_.sname = out_.siaddr.to_string();
  static constexpr std::uint8_t boot_this[] = {6, 1, 8, 255};
  switch (hints->what) {
  case pxe_hints::kind::automatic:
    if (bios) out_.options.set(option::vendor_specific, boot_this);
    break;
  case pxe_hints::kind::control: out_.options.set(option::vendor_specific, boot_this); break;
  case pxe_hints::kind::bytes:
    if (!hints->value.empty()) out_.options.set(option::vendor_specific, hints->value);
    break;
  case pxe_hints::kind::omit: break;
  }
}

unsigned reply_builder::finish(const request_context& c, byte_vector& to, reply& r) {
  auto& o = out_.options;
  if (out_.type() != message_type::none) {
    if (config_->echo_client_id)
      if (auto id = c.in.options.find(option::client_id)) o.set(option::client_id, *id);
    if (auto subnet = c.in.options.find(option::subnet_selection); subnet && subnet->size() == 4)
      o.set(option::subnet_selection, *subnet); // RFC 3011 §2
    if (auto agent = c.in.options.find(option::relay_agent)) o.set(option::relay_agent, *agent);
  }
  std::size_t limit = default_message_size;
  if (auto size = c.in.options.u16(option::max_size); size && *size >= 576)
    limit = std::min<std::size_t>(*size, 1500) - 28; // option 57 counts the IP and UDP headers
  r.offset = to.size();
  to.resize(r.offset + std::max(limit, min_message_size));
  auto done = encode(out_, byte_span(to).subspan(r.offset), limit);
  r.size = done ? done->size : 0;
  to.resize(r.offset + r.size);
  return done ? done->dropped : static_cast<unsigned>(o.size());
}

unsigned reply_builder::build(const request_context& c, message_type type, const ip_address& yiaddr,
                              std::optional<duration> term, const std::string& hostname, byte_vector& to,
                              reply& r) {
  r = address(c, type, yiaddr);
  r.address = yiaddr;
  if (c.boot) {
    r.keep_arp = c.boot->keep_arp;
    r.nudge = c.boot->nudge && type == message_type::offer;
  }
  start(c, type);
  out_.yiaddr = yiaddr;
  if (type == message_type::ack) out_.ciaddr = c.in.ciaddr; // RFC 2131 table 3
  bool proxy = config_->networks[static_cast<std::size_t>(c.network)].mode == service::proxy;
  auto& o = out_.options;
  if (!proxy) {
    if (term && type != message_type::none) {
      auto seconds = seconds_of(*term);
      o.set_u32(option::lease_time, seconds);
      if (seconds != infinite) {
        o.set_u32(option::renewal_time, seconds / 2);
        o.set_u32(option::rebinding_time, static_cast<std::uint32_t>(std::uint64_t{seconds} * 7 / 8));
      }
    }
    const auto& set = merged(c);
    for (std::size_t i = 0; i < set.always.size(); ++i) o.set(set.always.code_at(i), set.always.value_at(i));
    for (std::size_t i = 0; i < set.asked.size(); ++i)
      if (!c.has_wanted || c.wanted[set.asked.code_at(i)]) o.set(set.asked.code_at(i), set.asked.value_at(i));
    if (!hostname.empty()) {
      if (c.wanted[option::host_name]) o.set_text(option::host_name, hostname);
      if (auto value = c.in.options.find(option::client_fqdn); value && value->size() >= 3) {
        // We keep the names, whatever the client offered to do: S, and O where that overrides it.
        auto asked = (*value)[0];
        auto flags = static_cast<std::uint8_t>(1 | ((asked & 1) == 0 ? 2 : 0) | (asked & 4));
        o.set(option::client_fqdn, encode_fqdn(flags, hostname));
      }
    }
    if (type == message_type::ack && c.in.options.has(option::rapid_commit) &&
        c.in.type() == message_type::discover)
      o.set(option::rapid_commit, {});
  }
  if (c.boot) add_boot(c, type);
  return finish(c, to, r);
}

unsigned reply_builder::build_nak(const request_context& c, std::string_view why, byte_vector& to, reply& r) {
  r = address(c, message_type::nak, {});
  start(c, message_type::nak);
  // RFC 2131 §4.3.2: through a relay the client's address is not usable, so the relay must broadcast.
  if (!c.in.giaddr.is_unspecified()) out_.flags |= packet::broadcast_flag;
  out_.options.set_text(option::message, why);
  return finish(c, to, r);
}

} // namespace netlab::dhcp
