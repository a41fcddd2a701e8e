// Untrusted bytes to the resolver from both sides: as a client's query, and as an upstream's reply to a good
// one.
#include <cstdlib>

#include "netlab/dns_engine.h"
#include "netlab/simulation.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

const name www = *name::parse("www.example.org");

std::shared_ptr<const snapshot> world() {
  static const std::shared_ptr<const snapshot> made = [] {
    auto out = std::make_shared<snapshot>();
    out->generation = 1;
    name_table_builder names({*name::parse("lab.internal")});
    add_standard_names(names);
    (void)names.add_host(*name::parse("registry.lab.internal"), ip_address::v4(10, 0, 0, 1), 60);
    (void)names.add(*name::parse("*.apps.lab.internal"), rtype::cname, 60,
                    *parse_rdata(rtype::cname, "registry.lab.internal.", name()));
    out->fixed = names.build();
    auto routes = std::make_shared<route_table>();
    add_standard_routes(*routes, true);
    routes->add(*name::parse("lab.internal"), route_kind::local);
    out->routes = routes;
    return out;
  }();
  return made;
}

// What leaves the engine must be a message, and no larger than its way allows.
void check_reply(byte_view bytes, std::size_t limit) {
  if (bytes.empty()) return;
  if (bytes.size() > limit || !decode(bytes)) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view whole(data, size);
  engine_config config;
  config.domain = *name::parse("lab.internal");
  config.groups.resize(1);
  config.groups[0].members = {*upstream::parse("192.0.2.1")};
  config.rebind_protection = true;
  seeded_random random(size);
  engine resolver(config, random);
  resolver.use(world());
  boot_time now{std::chrono::hours(1)};
  byte_vector out(max_message);
  for (bool stream : {false, true}) {
    request r;
    r.bytes = whole;
    r.client = {ip_address::v4(10, 0, 0, 9), 999};
    r.stream = stream;
    check_reply(byte_view(out).first(resolver.handle(r, now, out)), stream ? max_message : 1232);
  }
  message q;
  q.flags = flag::rd;
  q.questions = {{www, size % 2 ? rtype::a : rtype::txt, class_in}};
  q.opt = edns{1232, 0, size % 3 == 0, {}};
  auto good = encode(q);
  request r;
  r.bytes = good;
  r.client = {ip_address::v4(10, 0, 0, 8), 999};
  check_reply(byte_view(out).first(resolver.handle(r, now, out)), 1232);
  for (int round = 0; round < 4; ++round) {
    auto todo = std::exchange(resolver.actions(), {});
    for (const auto& reply : todo.replies) check_reply(reply.bytes, reply.stream ? max_message : 1232);
    for (const auto& t : todo.transmissions) {
      resolver.on_upstream(t.attempt, t.to.address, whole, now);
      // The same with the head and the question that it must have to be looked at.
      byte_vector fitting(t.bytes.begin(), t.bytes.end());
      std::size_t question = header_size;
      while (fitting[question] != 0) question += fitting[question] + std::size_t{1};
      question += 5;
      fitting.resize(question);
      fitting[2] |= 0x80;
      if (size > header_size) {
        std::copy(data + 6, data + header_size, fitting.begin() + 6);
        fitting[3] = data[3];
        fitting.insert(fitting.end(), data + header_size, data + size);
      }
      if (fitting.size() <= max_message) resolver.on_upstream(t.attempt, t.to.address, fitting, now);
    }
    now += std::chrono::milliseconds(700);
    resolver.on_time(now);
  }
  check_reply(byte_view(out).first(resolver.handle(r, now, out)), 1232);
  std::size_t seen = 0;
  parse_hosts(as_text(whole), [&](const ip_address&, const name& n) { seen += n.size(); });
  (void)upstream::parse(as_text(whole));
  return 0;
}
