#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/simulation.h"

// A DNS engine in virtual time, with upstreams and clients that a test scripts.
namespace netlab::test {

inline dns::name dns_name(std::string_view text) {
  auto out = dns::name::parse(text);
  REQUIRE_MESSAGE(out.has_value(), std::string(text));
  return *out;
}

inline dns::record dns_record(std::string_view owner, std::uint16_t type, std::uint32_t ttl,
                              std::string_view data) {
  auto bytes = dns::parse_rdata(type, data, dns::name());
  REQUIRE_MESSAGE(bytes.has_value(), std::string(data));
  return {dns_name(owner), type, dns::class_in, ttl, *bytes};
}

// What an upstream says to a query; none: nothing.
using dns_answer_fn = std::function<std::optional<dns::message>(const dns::message& query)>;

struct dns_client_options {
  std::string client = "10.0.0.9";
  std::uint16_t id = 7, flags = dns::flag::rd;
  std::optional<dns::edns> opt;
  bool stream = false;
  std::uint16_t port = 5353;
};

class dns_lab {
public:
  explicit dns_lab(dns::engine_config config = {}, std::vector<std::string> upstreams = {"192.0.2.1"})
      : random(7) {
    if (config.groups.empty()) {
      dns::upstream_group g;
      for (const auto& text : upstreams) g.members.push_back(*dns::upstream::parse(text));
      config.groups.push_back(std::move(g));
    }
    auto fine = dns::check(config);
    REQUIRE_MESSAGE(fine.has_value(), (fine ? std::string() : fine.error().message));
    engine.emplace(std::move(config), random);
  }

  boot_time now() const { return time; }
  void advance(duration by) {
    auto end = time + by;
    for (;;) {
      auto next = engine->deadline();
      if (!next || *next > end) break;
      time = std::max(time, *next);
      engine->on_time(time);
      collect();
    }
    time = end;
  }

  // Sends a query; what comes back at once, or nothing.
  std::optional<dns::message> ask(std::string_view qname, std::uint16_t type = dns::rtype::a,
                                  const dns_client_options& o = {}) {
    dns::message m;
    m.id = o.id;
    m.flags = o.flags;
    m.questions = {{dns_name(qname), type, dns::class_in}};
    m.opt = o.opt;
    return ask_bytes(dns::encode(m), o);
  }
  std::optional<dns::message> ask_bytes(byte_view bytes, const dns_client_options& o = {}) {
    dns::request r;
    r.bytes = bytes;
    r.client = {*ip_address::parse(o.client), o.port};
    r.stream = o.stream;
    r.token = 1;
    byte_vector out(65535);
    auto size = engine->handle(r, time, out);
    collect();
    if (size == 0) return std::nullopt;
    out.resize(size);
    last_size = size;
    auto value = dns::decode(out);
    REQUIRE_MESSAGE(value.has_value(), (value ? std::string() : value.error().message));
    return *value;
  }

  // Takes what the engine wants done into the lists below.
  void collect() {
    auto a = std::exchange(engine->actions(), {});
    for (auto& t : a.transmissions) sent.push_back(std::move(t));
    for (auto c : a.closed) std::erase_if(sent, [&](const auto& t) { return t.attempt == c; });
    for (auto& r : a.replies) {
      auto value = dns::decode(r.bytes);
      REQUIRE(value.has_value());
      replies.push_back(*value);
      reply_clients.push_back(r.client);
    }
    for (auto& h : a.health) health.push_back(h);
    rebinds += a.rebinds.size();
  }

  // Lets upstreams answer everything that was sent and is not answered yet.
  void answer(const dns_answer_fn& fn) {
    auto all = std::exchange(sent, {});
    for (const auto& t : all)
      if (auto m = fn(query_of(t)))
        give(t, *m);
      else
        sent.push_back(t);
  }
  static dns::message query_of(const dns::transmission& t) {
    auto q = dns::decode(t.bytes);
    REQUIRE(q.has_value());
    return *q;
  }
  void give(const dns::transmission& t, const dns::message& m) { give_bytes(t, dns::encode(m)); }
  void give_bytes(const dns::transmission& t, byte_view bytes, std::optional<endpoint> from = std::nullopt) {
    engine->on_upstream(t.attempt, from.value_or(t.to.address), bytes, time);
    collect();
  }

  // A reply to `query` with these answers.
  static dns::message reply_to(const dns::message& query, std::vector<dns::record> answers,
                               std::uint16_t rcode = 0) {
    dns::message out;
    out.id = query.id;
    out.flags = dns::flag::qr | dns::flag::rd | dns::flag::ra;
    out.rcode = rcode;
    out.questions = query.questions;
    out.answers = std::move(answers);
    if (query.opt) out.opt = dns::edns{};
    return out;
  }
  static dns::message address_of(const dns::message& query, std::string_view address,
                                 std::uint32_t ttl = 300) {
    auto type = address.find(':') == std::string_view::npos ? dns::rtype::a : dns::rtype::aaaa;
    return reply_to(query, {dns_record(query.questions[0].qname.to_string(), type, ttl, address)});
  }
  static dns::message negative(const dns::message& query, std::uint16_t rcode, std::uint32_t ttl = 60) {
    auto out = reply_to(query, {}, rcode);
    byte_vector soa;
    for (int i = 0; i < 2; ++i) soa.push_back(0);
    for (std::uint32_t value : {1u, 2u, 3u, 4u, ttl})
      for (int shift = 24; shift >= 0; shift -= 8) soa.push_back(static_cast<std::uint8_t>(value >> shift));
    out.authorities.push_back({dns::name(), dns::rtype::soa, dns::class_in, 3600, soa});
    return out;
  }

  static std::string text_of(const dns::message& m) {
    std::string out = dns::rcode_name(m.rcode);
    for (const auto& r : m.answers)
      out +=
          " " + dns::type_name(r.type) + "=" + dns::rdata_text(r.type, r.data) + "/" + std::to_string(r.ttl);
    return out;
  }
  // The extended error of a reply, or -1.
  static int extended_of(const dns::message& m) {
    if (m.opt)
      for (const auto& o : m.opt->options)
        if (o.code == dns::edns_code::extended_error && o.data.size() >= 2) return o.data[0] << 8 | o.data[1];
    return -1;
  }

  seeded_random random;
  boot_time time{std::chrono::hours(1)};
  std::optional<dns::engine> engine;
  std::vector<dns::transmission> sent; // and not closed
  std::vector<dns::message> replies;
  std::vector<endpoint> reply_clients;
  std::vector<dns::engine_actions::health_event> health;
  std::size_t rebinds = 0, last_size = 0;
};

// A filter whose rules are a test's.
class listed_filter final : public dns::filter_set {
public:
  explicit listed_filter(std::map<std::string, dns::verdict> rules) : rules_(std::move(rules)) {}
  dns::verdict match(byte_view wire, dns::list_mask lists) const noexcept override {
    auto n = dns::name::from_wire(wire);
    auto found = n ? rules_.find(n->to_string()) : rules_.end();
    if (found == rules_.end() || (lists >> found->second.list & 1) == 0) return {};
    return found->second;
  }
  std::string list_name(std::uint16_t list) const override { return "list " + std::to_string(list); }
  std::uint64_t rules() const override { return rules_.size(); }

private:
  std::map<std::string, dns::verdict> rules_;
};

} // namespace netlab::test
