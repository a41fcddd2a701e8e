#include "netlab/dns_statistics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/net.h"
#include "netlab/text.h"
#include "row_counts.h"
#include "statistics_files.h"

namespace netlab::dns {

namespace {

using namespace std::chrono_literals;

constexpr duration hours_kept = 24h * 8, days_kept = 24h * 366;
constexpr std::size_t most_bytes = 64u << 20; // of a statistics file that is read

std::string hours_path(const std::string& folder) { return folder + "/hours.jsonl"; }
std::string current_path(const std::string& folder) { return folder + "/current.json"; }

std::int64_t seconds_of(wall_time t) {
  return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}

json counted(const frequent& f, std::size_t keep) {
  json out = json::object();
  for (const auto& [key, count] : f.top(keep)) out[key] = count;
  return out;
}

result<std::string> read_text(const std::string& path) {
  auto file = open_file::open(path);
  if (!file) return tl::unexpected(file.error());
  if ((*file)->size() > most_bytes) return fail(errc::limit, path + ": too large for statistics");
  std::string out((*file)->size(), '\0');
  auto got = (*file)->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  if (!got) return tl::unexpected(got.error());
  out.resize(*got);
  return out;
}

// Not synced: the last hour of a log is no loss, and a memory card lives longer.
result<void> replace(const std::string& path, const std::string& text) {
  auto beside = path + ".new";
  int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return system_fail(errno, beside, "dns.log");
  std::string_view rest = text;
  while (!rest.empty()) {
    auto n = ::write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      auto failed = system_fail(errno, beside, "dns.log");
      ::close(fd);
      ::unlink(beside.c_str());
      return failed;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (::rename(beside.c_str(), path.c_str()) != 0) return system_fail(errno, path, "dns.log");
  return {};
}

std::string day_of(wall_time t) { return format_time(t, false).substr(0, 10); }

} // namespace

void frequent::add(std::string_view key, std::uint64_t count) {
  auto found = counts_.find(key);
  if (found != counts_.end()) {
    found->second += count;
    return;
  }
  if (counts_.size() >= 2 * most_) prune();
  counts_.emplace(key, count);
}

void frequent::prune() {
  std::vector<std::uint64_t> all;
  all.reserve(counts_.size());
  for (const auto& [key, count] : counts_) all.push_back(count);
  auto middle = all.begin() + static_cast<std::ptrdiff_t>(most_);
  std::nth_element(all.begin(), middle, all.end(), std::greater<>());
  auto cut = *middle;
  error_ += cut;
  std::erase_if(counts_, [cut](const auto& c) { return c.second <= cut; });
  for (auto& [key, count] : counts_) count -= cut;
}

std::vector<std::pair<std::string, std::uint64_t>> frequent::top(std::size_t how_many) const {
  std::vector<std::pair<std::string, std::uint64_t>> out(counts_.begin(), counts_.end());
  auto before = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  auto keep = std::min(how_many, out.size());
  std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(keep), out.end(), before);
  out.resize(keep);
  return out;
}

void query_statistics::add(const query_statistics& other) {
  from = std::min(from, other.from);
  until = std::max(until, other.until);
  queries += other.queries;
  blocked += other.blocked;
  dropped += other.dropped;
  auto sum = [](auto& into, const auto& more) {
    for (const auto& [key, count] : more) into[key] += count;
  };
  sum(outcomes, other.outcomes);
  sum(lists, other.lists);
  sum(upstreams, other.upstreams);
  auto merge = [](frequent& into, const frequent& more) {
    for (const auto& [key, count] : more.top(more.size())) into.add(key, count);
    into.add_error(more.error());
  };
  merge(names, other.names);
  merge(blocked_names, other.blocked_names);
  merge(clients, other.clients);
  merge(blocked_clients, other.blocked_clients);
}

ip_address address_of(byte_view octets) {
  std::array<std::uint8_t, 16> raw{};
  std::copy_n(octets.begin(), std::min<std::size_t>(octets.size(), 16), raw.begin());
  return octets.size() == 4 ? ip_address::v4(raw[0], raw[1], raw[2], raw[3]) : ip_address::v6(raw);
}

query_statistics row_counts::statistics(const query_log_names& known) const {
  query_statistics out;
  out.from = from;
  out.until = until;
  out.queries = queries;
  out.blocked = blocked_queries;
  out.dropped = dropped;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    if (outcomes[i] > 0) out.outcomes[std::string(to_string(static_cast<query_outcome>(i)))] += outcomes[i];
  for (std::size_t i = 0; i < lists.size(); ++i)
    if (lists[i] > 0 && i < known.lists.size()) out.lists[known.lists[i]] += lists[i];
  for (const auto& [which, count] : upstreams) {
    std::size_t group = which >> 8, place = which & 0xff;
    if (group < known.upstreams.size() && place < known.upstreams[group].size())
      out.upstreams[known.upstreams[group][place]] += count;
  }
  auto to_names = [](const frequent& by_wire, frequent& into) {
    for (const auto& [wire, count] : by_wire.top(by_wire.size()))
      if (auto n = name::from_wire(as_bytes(wire))) into.add(n->to_string(), count);
    into.add_error(by_wire.error());
  };
  auto to_addresses = [](const frequent& by_octets, frequent& into) {
    for (const auto& [octets, count] : by_octets.top(by_octets.size())) {
      into.add(address_of(as_bytes(octets)).to_string(), count);
    }
    into.add_error(by_octets.error());
  };
  to_names(names, out.names);
  to_names(blocked, out.blocked_names);
  to_addresses(clients, out.clients);
  to_addresses(blocked_clients, out.blocked_clients);
  return out;
}

std::string to_line(const query_statistics& s, std::size_t keep) {
  json out = {{"from", seconds_of(s.from)}, {"until", seconds_of(s.until)}, {"queries", s.queries},
              {"blocked", s.blocked},       {"dropped", s.dropped},         {"outcomes", s.outcomes},
              {"lists", s.lists},           {"upstreams", s.upstreams}};
  out["names"] = counted(s.names, keep);
  out["blocked_names"] = counted(s.blocked_names, keep);
  out["clients"] = counted(s.clients, keep);
  out["blocked_clients"] = counted(s.blocked_clients, keep);
  return out.dump(-1, ' ', true, json::error_handler_t::replace);
}

result<query_statistics> parse_statistics(std::string_view line) {
  auto parsed = parse_json(line);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->is_object()) return fail(errc::invalid, "no statistics", "dns.statistics");
  query_statistics out;
  auto number = [&](const char* key) -> std::uint64_t {
    auto found = parsed->find(key);
    return found != parsed->end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  auto time = [&](const char* key) {
    // Seconds that fit into nanoseconds of 64 bits.
    return wall_time(std::chrono::seconds(std::min<std::uint64_t>(number(key), 9'000'000'000ull)));
  };
  if (!parsed->contains("from") || !parsed->contains("until"))
    return fail(errc::invalid, "no statistics", "dns.statistics");
  out.from = time("from");
  out.until = time("until");
  out.queries = number("queries");
  out.blocked = number("blocked");
  out.dropped = number("dropped");
  auto each = [&](const char* key, const auto& fn) {
    auto found = parsed->find(key);
    if (found == parsed->end() || !found->is_object()) return;
    for (const auto& [name, count] : found->items())
      if (count.is_number_unsigned()) fn(printable(name), count.template get<std::uint64_t>());
  };
  auto to_map = [&](std::map<std::string, std::uint64_t>& into) {
    return [&into](const std::string& key, std::uint64_t count) { into[key] += count; };
  };
  auto to_frequent = [&](frequent& into) {
    return [&into](const std::string& key, std::uint64_t count) { into.add(key, count); };
  };
  each("outcomes", to_map(out.outcomes));
  each("lists", to_map(out.lists));
  each("upstreams", to_map(out.upstreams));
  each("names", to_frequent(out.names));
  each("blocked_names", to_frequent(out.blocked_names));
  each("clients", to_frequent(out.clients));
  each("blocked_clients", to_frequent(out.blocked_clients));
  return out;
}

result<query_statistics> read_statistics(const std::string& folder, wall_time since) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return system_fail(errno, folder, "dns.statistics");
  query_statistics out;
  for (const auto& path : {hours_path(folder), current_path(folder)}) {
    auto text = read_text(path);
    if (!text) continue; // nothing has been written yet
    for (auto line : split(*text, '\n'))
      if (auto s = parse_statistics(line); s && s->until >= since) out.add(*s);
  }
  return out;
}

result<void> write_current(const std::string& folder, const query_statistics& s) {
  return replace(current_path(folder), s.empty() ? std::string() : to_line(s) + "\n");
}

result<void> append_hour(const std::string& folder, const query_statistics& s, wall_time now) {
  auto path = hours_path(folder);
  auto text = read_text(path).value_or("");
  std::string out;
  std::map<std::string, query_statistics> days; // to be rolled up
  for (auto line : split(text, '\n')) {
    auto parsed = parse_statistics(line);
    if (!parsed || parsed->until < now - days_kept) continue;
    if (parsed->until < now - hours_kept)
      days[day_of(parsed->from)].add(*parsed);
    else
      out += std::string(line) + "\n";
  }
  std::string head;
  for (const auto& [day, sum] : days) head += to_line(sum) + "\n";
  if (auto written = replace(path, head + out + to_line(s) + "\n"); !written) return written;
  return write_current(folder, query_statistics());
}

result<void> keep_current(const std::string& folder, wall_time now) {
  auto text = read_text(current_path(folder));
  if (!text) return {};
  auto s = parse_statistics(trim(*text));
  return s && !s->empty() ? append_hour(folder, *s, now) : result<void>();
}

} // namespace netlab::dns
