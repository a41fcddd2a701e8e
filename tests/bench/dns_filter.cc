// What a million names cost: compiling them (time, memory, page cache, file), opening the file and asking it.
// Usage: netlab-bench-filter [--folder F] [--names N] [--lists L] [--lookups N] [--deep PERCENT]
//   The lists overlap by a quarter, as real ones do; --deep: how many names have four labels instead of two
//   or three.
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <vector>

#include "netlab/dns_filter_compiler.h"
#include "netlab/dns_name.h"
#include "netlab/random.h"
#include "tool.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

class system_random final : public random_source {
public:
  void fill(byte_span out) override {
    std::random_device device;
    for (auto& b : out) b = static_cast<std::uint8_t>(device());
  }
};

std::string number_word(std::uint64_t n) {
  static constexpr std::string_view syllables[] = {"ad",    "track", "pix",  "stat", "cdn", "media",
                                                   "click", "met",   "tag",  "sync", "bid", "log",
                                                   "push",  "an",    "serv", "net"};
  std::string out;
  for (int i = 0; i < 5; ++i, n >>= 4) out += syllables[n & 15];
  return out + std::to_string(n);
}

std::string listed_name(std::uint64_t n, unsigned deep) {
  static constexpr std::string_view tlds[] = {"com", "net", "org", "ru", "de", "co.uk", "info", "top"};
  auto mixed = n * 0x9e3779b97f4a7c15ull;
  std::string out;
  if (mixed >> 33 % 100 < deep) out += "s" + std::to_string(mixed >> 60) + ".";
  if ((mixed >> 13) % 100 < 50) out += "w" + std::to_string((mixed >> 20) % 50) + ".";
  return out + number_word(n) + "." + std::string(tlds[(mixed >> 40) % std::size(tlds)]);
}

std::vector<name> sample(std::uint64_t names, std::size_t count, unsigned deep, bool listed) {
  std::mt19937_64 random(7);
  std::vector<name> out;
  for (std::size_t i = 0; i < count; ++i) {
    auto text = listed_name(random() % names, deep);
    out.push_back(*name::parse(listed ? text : "www.not" + text));
  }
  return out;
}

// Processor time, which a busy machine leaves alone.
std::uint64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

struct lookup_cost {
  double ns = 0;
  std::uint64_t blocked = 0;
};

lookup_cost ask(const filter_set& filter, const std::vector<name>& names, std::size_t lookups) {
  lookup_cost out;
  auto began = cpu_ns();
  for (std::size_t i = 0; i < lookups; ++i)
    out.blocked += filter.match(names[i % names.size()].wire(), all_lists).action == filter_action::block;
  out.ns = static_cast<double>(cpu_ns() - began) / static_cast<double>(lookups);
  return out;
}

std::uint64_t resident_bytes(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) bench::die_errno(path);
  auto size = static_cast<std::size_t>(info.st_size);
  void* at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages((size + 4095) / 4096);
  if (at == MAP_FAILED || mincore(at, size, pages.data()) != 0) bench::die_errno("mincore");
  munmap(at, size);
  close(fd);
  return static_cast<std::uint64_t>(std::count_if(pages.begin(), pages.end(), [](auto p) { return p & 1; })) *
         4096;
}

std::uint64_t status_kib(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(field + ":")) return std::strtoull(line.c_str() + field.size() + 1, nullptr, 10);
  bench::die("/proc/self/status has no " + field);
}

// KiB by which `work` raises what this process has in memory. Its code was run before, so that it is there.
template<class F>
std::uint64_t peak_of(F work) {
  std::ofstream("/proc/self/clear_refs") << "5\n"; // the peak begins anew
  auto before = status_kib("VmRSS");
  if (!work()) bench::die("the compiler failed");
  return status_kib("VmHWM") - before;
}

} // namespace

int main(int argc, char** argv) {
  bench::arguments args(argc, argv, 1);
  auto folder = args.text("folder", ".");
  auto names = static_cast<std::uint64_t>(args.number("names", 1e6, 1, 1e9));
  auto lists = static_cast<std::size_t>(args.number("lists", 2, 1, 64));
  auto lookups = static_cast<std::size_t>(args.number("lookups", 4e6, 1, 1e9));
  auto deep = static_cast<unsigned>(args.number("deep", 10, 0, 100));
  args.check();

  system_random random;
  std::vector<filter_source> sources;
  auto share = (names + lists - 1) / lists;
  for (std::size_t l = 0; l < lists; ++l) {
    auto path = folder + "/bench-" + std::to_string(l) + ".list";
    std::ofstream out(path);
    auto end = std::min<std::uint64_t>((l + 1) * share + share / 4, names);
    for (auto n = l * share; n < end; ++n)
      out << (l % 2 == 0 ? "0.0.0.0 " : "||") << listed_name(n, deep) << (l % 2 == 0 ? "\n" : "^\n");
    sources.push_back({path, path, "", false, false});
  }
  compile_options options;
  options.path = folder + "/bench.filter";
  filter_source small;
  small.text = "a.example\n";
  if (!compile_filter({small}, options, random)) bench::die("compiling one name failed");
  auto peak = peak_of([&] { return compile_filter(sources, options, random).has_value(); });
  auto left = resident_bytes(options.path);
  auto began = bench::now_ns(), cpu_began = cpu_ns();
  auto report = compile_filter(sources, options, random);
  auto compiled = bench::now_ns(), cpu_compiled = cpu_ns();
  if (!report) bench::die(report.error().message);
  auto cold_opening = bench::now_ns();
  auto filter = open_filter(options.path);
  auto cold_opened = bench::now_ns();
  if (!filter) bench::die(filter.error().message);
  (*filter)->warm();
  auto damage = (*filter)->verify();
  if (!damage) bench::die(damage.error().message);
  filter->reset();
  auto opening = bench::now_ns();
  filter = open_filter(options.path);
  auto opened = bench::now_ns();
  if (!filter) bench::die(filter.error().message);
  auto first = (*filter)->match(name::parse(listed_name(1, deep))->wire(), all_lists);
  auto answered = bench::now_ns();
  if (first.action != filter_action::block) bench::die("a listed name is not blocked");
  auto blocked = sample(names, 200'000, deep, true), free = sample(names, 200'000, deep, false);
  ask(**filter, blocked, blocked.size()); // the pages come from the disk once
  auto hit = ask(**filter, blocked, lookups), miss = ask(**filter, free, lookups);
  if (hit.blocked != lookups || miss.blocked != 0) bench::die("wrong verdicts");
  std::printf("{\"names\": %llu, \"rules\": %llu, \"compile_s\": %.3f, \"compile_cpu_s\": %.3f, "
              "\"compile_peak_kib\": %llu, "
              "\"left_in_page_cache_bytes\": %llu, \"file_bytes\": %llu, \"bytes_per_name\": %.2f, "
              "\"open_cold_us\": %.0f, \"open_us\": %.0f, \"first_answer_us\": %.0f, \"blocked_ns\": %.1f, "
              "\"unblocked_ns\": %.1f}\n",
              static_cast<unsigned long long>(report->names), static_cast<unsigned long long>(report->rules),
              static_cast<double>(compiled - began) / 1e9,
              static_cast<double>(cpu_compiled - cpu_began) / 1e9, static_cast<unsigned long long>(peak),
              static_cast<unsigned long long>(left), static_cast<unsigned long long>(report->bytes),
              static_cast<double>(report->bytes) / static_cast<double>(report->names),
              static_cast<double>(cold_opened - cold_opening) / 1e3,
              static_cast<double>(opened - opening) / 1e3, static_cast<double>(answered - opening) / 1e3,
              hit.ns, miss.ns);
  for (const auto& s : sources) unlink(s.path.c_str());
  unlink(options.path.c_str());
}
