// Processor time of the resolver alone, per query: no socket, an upstream that answers at once. One thread,
// and then two with an engine each and the same lists, as two workers have. Usage: netlab-bench-dns-engine
// [--folder F] [--names N] [--queries N]
#include <atomic>
#include <fstream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/dns_filter_compiler.h"
#include "tool.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

class fast_random final : public random_source {
public:
  explicit fast_random(std::uint64_t seed) : numbers_(seed) {}
  void fill(byte_span out) override {
    for (auto& b : out) b = static_cast<std::uint8_t>(numbers_());
  }

private:
  std::mt19937_64 numbers_;
};

std::uint64_t thread_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

std::string listed(std::uint64_t n) { return "tracker" + std::to_string(n) + ".ads.example"; }

byte_vector query_for(const std::string& text) {
  message m;
  m.id = 7;
  m.flags = flag::rd;
  m.questions = {{*name::parse(text), rtype::a, class_in}};
  auto bytes = encode(m); // with room for the largest message
  return {bytes.begin(), bytes.end()};
}

// What an upstream says: the question back, and one address.
byte_vector reply_to(byte_view query) {
  auto at = header_size;
  while (query[at] != 0) at += query[at] + std::size_t{1};
  byte_vector out(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(at + 5));
  out[2] = 0x81;
  out[3] = 0x80;
  out[7] = 1;
  out[11] = 0;
  static constexpr std::uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113, 1};
  out.insert(out.end(), std::begin(record), std::end(record));
  return out;
}

struct costs {
  double cached = 0, blocked = 0, miss = 0; // processor time, ns a query
};

// One worker: its own engine, cache and queries; the snapshot is everybody's.
class worker {
public:
  worker(std::shared_ptr<const snapshot> rules, std::uint64_t names, std::size_t queries, unsigned number)
      : random_(number), names_(names), queries_(queries), number_(number), engine_(config(), random_) {
    engine_.use(std::move(rules));
    std::mt19937_64 chosen(7);
    for (std::size_t i = 0; i < 1000; ++i)
      cached_.push_back(query_for("host" + std::to_string(i) + ".example.org"));
    for (std::size_t i = 0; i < 200'000; ++i) blocked_.push_back(query_for(listed(chosen() % names_)));
    for (const auto& q : cached_) ask(q, true);
    for (const auto& q : cached_)
      if (!ask(q, false)) bench::die("an answer was not kept");
    for (const auto& q : blocked_)
      if (!ask(q, false)) bench::die("a listed name is not blocked");
  }

  void run(costs& out) {
    out.cached = each(queries_ * 4, [&](std::size_t i) { ask(cached_[i % cached_.size()], false); });
    out.blocked = each(queries_ * 2, [&](std::size_t i) { ask(blocked_[i % blocked_.size()], false); });
    std::vector<byte_vector> fresh;
    fresh.reserve(queries_);
    for (std::size_t i = 0; i < queries_; ++i)
      fresh.push_back(query_for("n" + std::to_string(i) + ".w" + std::to_string(number_) + ".example.net"));
    out.miss = each(queries_, [&](std::size_t i) { ask(fresh[i], true); });
    if (engine_.counts().failures > 0) bench::die("a question was not answered");
  }

private:
  static engine_config config() {
    engine_config c;
    c.groups.resize(1);
    c.groups[0].members = {*upstream::parse("192.0.2.1")};
    return c;
  }

  bool ask(byte_view query, bool answer) {
    request r;
    r.bytes = query;
    r.client = {ip_address::v4(10, 0, 0, 9), 5353};
    now_ += std::chrono::nanoseconds(500);
    auto size = engine_.handle(r, now_, out_);
    if (!answer) return size > 0;
    auto todo = std::exchange(engine_.actions(), {});
    for (const auto& t : todo.transmissions)
      engine_.on_upstream(t.attempt, t.to.address, reply_to(t.bytes), now_);
    answered_ += engine_.actions().replies.size();
    engine_.actions() = {};
    return true;
  }

  template<class F>
  double each(std::size_t count, F fn) {
    auto began = thread_cpu_ns();
    for (std::size_t i = 0; i < count; ++i) fn(i);
    return static_cast<double>(thread_cpu_ns() - began) / static_cast<double>(count);
  }

  fast_random random_;
  std::uint64_t names_;
  std::size_t queries_;
  unsigned number_;
  engine engine_;
  boot_time now_{std::chrono::hours(1)};
  byte_vector out_ = byte_vector(4096);
  std::vector<byte_vector> cached_, blocked_;
  std::uint64_t answered_ = 0;
};

} // namespace

int main(int argc, char** argv) {
  bench::arguments args(argc, argv, 1);
  auto folder = args.text("folder", ".");
  auto names = static_cast<std::uint64_t>(args.number("names", 1e6, 1, 1e8));
  auto queries = static_cast<std::size_t>(args.number("queries", 5e5, 1, 1e8));
  args.check();

  fast_random random(1);
  filter_source list;
  list.path = list.name = folder + "/bench-engine.list";
  {
    std::ofstream out(list.path);
    for (std::uint64_t n = 0; n < names; ++n) out << "0.0.0.0 " << listed(n) << "\n";
  }
  compile_options options;
  options.path = folder + "/bench-engine.filter";
  auto report = compile_filter({list}, options, random);
  unlink(list.path.c_str());
  if (!report) bench::die(report.error().message);
  auto filter = open_filter(options.path);
  unlink(options.path.c_str());
  if (!filter) bench::die(filter.error().message);

  auto rules = std::make_shared<snapshot>();
  rules->generation = 1;
  name_table_builder own({});
  add_standard_names(own);
  rules->fixed = own.build();
  auto routes = std::make_shared<route_table>();
  add_standard_routes(*routes, true);
  rules->routes = routes;
  rules->policies = {{std::shared_ptr<const filter_set>(std::move(*filter)), all_lists}};

  // Work by the clock on the wall, for two threads on two processors are worth what they finish together.
  auto round = [&](unsigned threads, costs& mean) {
    std::vector<std::unique_ptr<worker>> workers;
    for (unsigned i = 0; i < threads; ++i)
      workers.push_back(std::make_unique<worker>(rules, names, queries, i + 1));
    std::vector<costs> each(threads);
    std::atomic<unsigned> ready{0};
    std::vector<std::thread> all;
    auto began = bench::now_ns();
    for (unsigned i = 0; i < threads; ++i)
      all.emplace_back([&, i] {
        ++ready;
        while (ready < threads) {
        }
        workers[i]->run(each[i]);
      });
    for (auto& t : all) t.join();
    auto seconds = static_cast<double>(bench::now_ns() - began) / 1e9;
    mean = {};
    for (const auto& c : each) {
      mean.cached += c.cached / threads;
      mean.blocked += c.blocked / threads;
      mean.miss += c.miss / threads;
    }
    return static_cast<double>(threads) * static_cast<double>(queries) / seconds;
  };
  costs one, two;
  auto alone = round(1, one), together = round(2, two);
  std::printf("{\"cached_ns\": %.0f, \"blocked_ns\": %.0f, \"miss_ns\": %.0f, \"two_cached_ns\": %.0f, "
              "\"two_blocked_ns\": %.0f, \"two_miss_ns\": %.0f, \"two_threads\": %.2f}\n",
              one.cached, one.blocked, one.miss, two.cached, two.blocked, two.miss, together / alone);
}
