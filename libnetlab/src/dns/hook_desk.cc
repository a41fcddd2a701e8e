#include "hook_desk.h"

#include <algorithm>

#include "netlab/dns_operator_messages.h"
#include "query.h"

namespace netlab::dns {

namespace {

constexpr std::size_t most_waiting = 1024; // of one worker
constexpr duration quiet_time = std::chrono::minutes(1);

} // namespace

hook_desk::hook_desk(runtime& world, engine& resolver, const server_config& config,
                     std::function<void(const late_reply&)> deliver, std::function<void()> after)
    : world_(world), resolver_(resolver), config_(config), deliver_(std::move(deliver)),
      after_(std::move(after)),
      asked_total_(
          world.metrics.get("netlab_dns_hook_total", {{"server", config.name}, {"worker", config.worker}})),
      late_total_(world.metrics.get("netlab_dns_hook_default_total",
                                    {{"server", config.name}, {"worker", config.worker}})) {}

hook_answer hook_desk::fallback() const {
  hook_answer out;
  if (!config_.hook_refuses) return out;
  out.what = hook_answer::kind::answer;
  out.code = rcode::refused;
  return out;
}

void hook_desk::complain(const std::string& why) {
  late_total_.add();
  auto now = world_.clock.now();
  if (now < say_again_) return;
  say_again_ = now + quiet_time;
  world_.log(msg_hook_failed, config_.name + ": on_query: " + why);
}

request hook_desk::request_of(const parked& p) const {
  request r;
  r.bytes = p.bytes;
  r.client = p.client;
  r.local = p.local;
  r.interface = p.interface;
  r.stream = p.stream;
  r.token = p.token;
  return r;
}

std::size_t hook_desk::handle(const request& from, boot_time now, byte_span out) {
  const auto& clients = config_.engine.clients;
  bool ours = clients.empty() || std::any_of(clients.begin(), clients.end(), [&](const cidr& each) {
                return each.contains(from.client.address);
              });
  query q;
  // The engine knows what to say to these.
  if (!ours || read_query(from.bytes, q) != query_problem::none || q.klass != class_in)
    return resolver_.handle(from, now, out);
  parked p;
  p.bytes.assign(from.bytes.begin(), from.bytes.end());
  p.client = from.client;
  p.local = from.local;
  p.interface = from.interface;
  p.stream = from.stream;
  p.token = from.token;
  p.asked = {*name::from_wire(q.qname()), q.type, from.client.address, from.stream};
  p.until = now + config_.hook_timeout;
  auto id = next_++;
  asked_total_.add();
  bool taken = asked_.size() < most_waiting &&
               config_.hook->ask(p.asked, [id, &home = world_.scheduler,
                                           weak = std::weak_ptr(self_)](result<hook_answer> answer) {
                 home.post([id, weak, answer = std::move(answer)]() mutable {
                   if (auto alive = weak.lock()) (*alive)->decide(id, std::move(answer));
                 });
               });
  if (!taken) {
    complain("too many queries wait for it");
    auto instead = fallback();
    auto r = from;
    if (instead.what == hook_answer::kind::answer) r.decided = &instead;
    return resolver_.handle(r, now, out);
  }
  asked_.emplace(id, std::move(p));
  arm();
  return 0;
}

void hook_desk::arm() {
  if (alarm_ || asked_.empty()) return;
  auto wait = std::max(duration{}, asked_.begin()->second.until - world_.clock.now());
  alarm_ = world_.scheduler.after(wait, [this] {
    alarm_ = {};
    auto now = world_.clock.now();
    while (!asked_.empty() && asked_.begin()->second.until <= now)
      decide(asked_.begin()->first,
             fail(errc::timeout, "no answer within " + format_duration(config_.hook_timeout)));
    arm();
  });
}

void hook_desk::decide(std::uint64_t id, result<hook_answer> answer) {
  auto found = asked_.find(id);
  if (found == asked_.end()) return; // too late
  auto p = std::move(found->second);
  asked_.erase(found);
  if (!answer) complain(answer.error().message);
  auto chosen = answer ? std::move(*answer) : fallback();
  if (chosen.what == hook_answer::kind::rewrite && chosen.target.lower() != p.asked.qname)
    rewrite(std::move(p), chosen.target);
  else
    go_on(p, chosen);
  after_();
}

void hook_desk::go_on(const parked& p, const hook_answer& answer) {
  auto r = request_of(p);
  if (answer.what == hook_answer::kind::answer) r.decided = &answer;
  late_reply out{p.client, p.local, p.interface, p.stream, p.token, byte_vector(max_message)};
  auto size = resolver_.handle(r, world_.clock.now(), out.bytes);
  if (size == 0) return; // it comes from the engine
  out.bytes.resize(size);
  deliver_(out);
}

// Asks for the other name as the client would, so that the same rules hold for it.
void hook_desk::rewrite(parked p, const name& target) {
  auto id = next_++;
  query q;
  (void)read_query(p.bytes, q);
  message m;
  m.id = q.id;
  m.flags = static_cast<std::uint16_t>(q.flags & (flag::rd | flag::cd));
  m.questions = {{target, q.type, class_in}};
  if (q.dnssec_ok) m.opt = edns{safe_udp_size, 0, true, {}};
  auto bytes = encode(m);
  request r;
  r.bytes = bytes;
  r.client = p.client;
  r.stream = true; // of any size
  r.token = token_mark | id;
  p.target = target;
  rewriting_.emplace(id, std::move(p));
  late_reply at_once{r.client, {}, 0, true, r.token, byte_vector(max_message)};
  auto size = resolver_.handle(r, world_.clock.now(), at_once.bytes);
  at_once.bytes.resize(size);
  if (size > 0) on_rewritten(at_once);
}

void hook_desk::on_rewritten(const late_reply& reply) {
  auto found = rewriting_.find(reply.token & ~token_mark);
  if (found == rewriting_.end()) return;
  auto p = std::move(found->second);
  rewriting_.erase(found);
  hook_answer out;
  out.what = hook_answer::kind::answer;
  out.code = rcode::server_failure;
  if (auto got = decode(reply.bytes)) {
    out.code = got->rcode;
    std::uint32_t ttl = got->answers.empty() ? 60 : got->answers[0].ttl;
    out.records.push_back({p.asked.qname, rtype::cname, class_in, ttl,
                           byte_vector(p.target.wire().begin(), p.target.wire().end())});
    for (auto& r : got->answers) out.records.push_back(std::move(r));
  }
  go_on(p, out);
}

} // namespace netlab::dns
