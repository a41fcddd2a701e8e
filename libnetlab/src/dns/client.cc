#include "netlab/dns_client.h"

#include <algorithm>

#include "netlab/text.h"
#include "upstream_addresses.h"
#include "upstream_links.h"
#include "wire.h"

namespace netlab::dns {

namespace {

constexpr duration first_patience = std::chrono::milliseconds(1500);

bool answers(const message& m, const client_question& q) {
  return (m.flags & flag::qr) != 0 && m.questions.size() == 1 && m.questions[0].qname == q.qname &&
         m.questions[0].type == q.type && m.questions[0].klass == class_in;
}

} // namespace

struct client::impl {
  runtime& world;
  client_question asked;
  std::function<void(client_report)> done;
  upstream_links links;
  client_report report;
  boot_time began;
  std::uint64_t attempt = 0; // the open one
  std::uint16_t id = 0;
  std::size_t next = 0; // server, counted over all rounds
  bool by_tcp = false;  // the server at hand is asked again by TCP
  std::optional<message> refusal;
  std::unique_ptr<host_lookup> finder; // asks for the address of the server at hand
  timer alarm, end, begin;
  bool finished = false;

  impl(runtime& w, client_question q, std::function<void(client_report)> fn)
      : world(w), asked(std::move(q)), done(std::move(fn)),
        links(w, {[this](std::uint64_t which, const endpoint& from, byte_view bytes) {
                    on_message(which, from, bytes);
                  },
                  [this](std::uint64_t which, std::string why) {
                    if (which == attempt) failed(why);
                  },
                  [] {}}),
        began(world.clock.now()) {}

  const upstream& server() const { return asked.servers[next % asked.servers.size()]; }
  client_step& step() { return report.steps.back(); }

  void ask() {
    if (finished) return;
    if (next >= asked.servers.size() * asked.rounds) return finish_without();
    if (!server().host.empty() && server().address.address.is_unspecified()) return find_address();
    transmission t;
    t.attempt = ++attempt;
    t.to = server();
    t.over = by_tcp ? transport::tcp : t.to.over;
    message m;
    m.id = id = t.over == transport::https ? std::uint16_t{0} : world.random.u16(); // RFC 8484 §4.1
    m.flags = static_cast<std::uint16_t>((asked.recursion ? flag::rd : 0) | flag::ad |
                                         (asked.checking_disabled ? flag::cd : 0));
    m.questions = {{asked.qname, asked.type, class_in}};
    if (asked.edns) m.opt = edns{safe_udp_size, 0, asked.dnssec_ok, {}};
    t.bytes = encode(m);
    auto now = world.clock.now();
    report.steps.push_back({t.to.text, t.over, now - began, {}, 0, {}});
    auto left = asked.timeout - (now - began);
    auto patience = std::min(left, first_patience * static_cast<int>(1 + next / asked.servers.size()));
    if (next + 1 >= asked.servers.size() * asked.rounds) patience = left;
    alarm = world.scheduler.after(patience, [this] { failed("no answer"); });
    links.send(std::move(t));
    links.flush();
  }

  // Of a server that is named; holds for the others of that name as well.
  void find_address() {
    auto question = bootstrap_question(server().host, asked.finders);
    if (!question) return not_found(question.error().message);
    question->timeout = std::max<duration>(duration(1), asked.timeout - (world.clock.now() - began));
    finder = world.net.look_up(std::move(*question), [this](const result<host_addresses>& got) {
      auto ended = std::move(finder);
      if (finished) return;
      if (!got) return not_found(got.error().message);
      auto wanted = server().host;
      for (auto& s : asked.servers)
        if (s.host == wanted) s.address.address = got->addresses.front();
      ask();
    });
  }
  void not_found(const std::string& why) {
    report.steps.push_back({server().text, server().over, world.clock.now() - began, {}, 0, {}});
    failed("its address could not be found: " + why);
  }

  void on_message(std::uint64_t which, const endpoint& from, byte_view bytes) {
    if (which != attempt || finished) return;
    if (step().over == transport::udp && from != server().address) return;
    auto reply = decode(bytes);
    if (!reply || reply->id != id || !answers(*reply, asked)) return; // somebody else's
    step().took = world.clock.now() - began - step().at;
    step().bytes = bytes.size();
    if (step().over == transport::udp && (reply->flags & flag::tc) != 0 && asked.retry_by_tcp) {
      step().trouble = "cut short, asked again by TCP";
      by_tcp = true;
      return again();
    }
    if (reply->rcode == rcode::no_error || reply->rcode == rcode::name_error)
      return finish(std::move(*reply));
    step().trouble = rcode_name(reply->rcode);
    refusal = std::move(*reply);
    report.server = step().server;
    report.over = step().over;
    ++next;
    by_tcp = false;
    // A refusal will be the same the next time.
    if (next >= asked.servers.size()) return finish_without();
    again();
  }

  void failed(const std::string& why) {
    if (finished) return;
    step().took = world.clock.now() - began - step().at;
    step().trouble = printable(why);
    ++next;
    by_tcp = false;
    again();
  }

  // Not from within a callback of the sockets that go now.
  void again() {
    alarm.cancel();
    auto old = attempt++;
    begin = world.scheduler.after(duration{}, [this, old] {
      links.close(old);
      ask();
    });
  }

  void finish(message reply) {
    report.server = step().server;
    report.over = step().over;
    report.reply = std::move(reply);
    finish_now();
  }
  void finish_without() {
    if (refusal) {
      report.reply = std::move(refusal);
    } else {
      std::string why;
      for (const auto& s : report.steps)
        if (why.find(s.server) == std::string::npos)
          why += (why.empty() ? "" : "; ") + s.server + ": " + (s.trouble.empty() ? "no answer" : s.trouble);
      report.failure = error{errc::timeout, "nobody answered: " + why, "dns.resolve"};
    }
    finish_now();
  }
  void finish_now() {
    if (finished) return;
    finished = true;
    report.took = world.clock.now() - began;
    alarm.cancel();
    end.cancel();
    begin = world.scheduler.after(duration{}, [this] {
      auto fn = std::move(done);
      fn(std::move(report)); // may drop this
    });
  }
};

client::client(std::unique_ptr<impl> made) : impl_(std::move(made)) {}
client::~client() = default;

result<std::unique_ptr<client>> client::start(runtime& world, client_question question,
                                              std::function<void(client_report)> done) {
  if (question.servers.empty()) return fail(errc::invalid, "there is no server to ask", "dns.resolve");
  auto named = [](const upstream& u) { return !u.host.empty(); };
  if (auto u = std::find_if(question.servers.begin(), question.servers.end(), named);
      u != question.servers.end()) {
    if (question.finders.empty())
      return fail(errc::invalid, "\"" + u->text + "\" is named, and nobody is there to find its address",
                  "dns.resolve");
    if (auto possible = bootstrap_question(u->host, question.finders); !possible)
      return tl::unexpected(possible.error());
  }
  auto made = std::make_unique<impl>(world, std::move(question), std::move(done));
  auto* i = made.get();
  i->begin = world.scheduler.after(duration{}, [i] { i->ask(); });
  i->end = world.scheduler.after(i->asked.timeout, [i] {
    if (!i->report.steps.empty() && i->step().trouble.empty()) i->step().trouble = "no answer";
    i->finish_without();
  });
  return std::unique_ptr<client>(new client(std::move(made)));
}

std::vector<upstream> parse_resolv_conf(std::string_view text) {
  std::vector<upstream> out;
  for (auto line : split(text, '\n')) {
    line = trim(line.substr(0, line.find_first_of("#;")));
    if (!line.starts_with("nameserver") || line.size() < 12 || (line[10] != ' ' && line[10] != '\t'))
      continue;
    auto word = trim(line.substr(10));
    // A scope of a link-local address has no place in an upstream.
    if (auto address = ip_address::parse(word.substr(0, word.find('%'))); address && out.size() < 8) {
      upstream u;
      u.address = {*address, 53};
      u.text = address->to_string();
      out.push_back(std::move(u));
    }
  }
  return out;
}

} // namespace netlab::dns
