#include "netlab/dns_query_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "netlab/dns_operator_messages.h"
#include "netlab/dns_statistics.h"
#include "netlab/text.h"
#include "query_ring.h"
#include "query_segment.h"
#include "row_counts.h"
#include "statistics_files.h"

namespace netlab::dns {

namespace {

using namespace std::chrono_literals;

constexpr duration linger = 1s;           // rows wait for company before they are written
constexpr duration longest_sleep = 10min; // without a query
constexpr duration retry_after = 1min;    // a write that failed
constexpr duration publish_every = 5min;  // statistics of the hour that runs, for who reads files
constexpr duration metrics_every = 10s;   // of lists and clients
constexpr std::size_t clients_told = 64;  // in metrics: those that ask most in the hour
// Above so many rows a second, one of several tells what is frequent: their sum is right in the mean.
constexpr std::uint64_t busy_rate = 4096, very_busy_rate = 32768;
constexpr std::size_t block_bytes = 64u << 10;

std::string hour_of(wall_time t) { return format_time(t, false).substr(0, 13); }

} // namespace

std::string_view to_string(query_outcome outcome) {
  static constexpr std::string_view words[] = {"local",     "cached",  "stale",
                                               "forwarded", "blocked", "refused",
                                               "limited",   "failed",  "answered by the recipe"};
  auto i = static_cast<std::size_t>(outcome);
  return i < std::size(words) ? words[i] : "unknown";
}

result<void> check(const query_log_config& c) {
  if (c.folder.empty()) return fail(errc::invalid, "a log needs a folder", "log");
  if (c.segment_bytes < 4096 || c.max_bytes < 2 * c.segment_bytes)
    return fail(errc::invalid, "a log of less than two segments keeps nothing", "log.max_size");
  if (c.retention < std::chrono::hours(1))
    return fail(errc::invalid, "the log is kept for an hour at least", "log.retention");
  if (c.ring_bytes < 4096 || !std::has_single_bit(c.ring_bytes))
    return fail(errc::invalid, "a ring is a power of two", "log");
  return {};
}

struct query_log::impl {
  // The thread's state: what the workers look at on every query is one word.
  enum state : std::uint32_t { sleeping, lingering, hurried };

  struct worker final : query_sink {
    impl& owner;
    query_ring ring;
    worker(impl& o, std::size_t capacity) : owner(o), ring(capacity) {}
    void note(const query_note& q) noexcept override {
      query_row head;
      head.at = q.at.time_since_epoch().count();
      auto us = std::chrono::duration_cast<std::chrono::microseconds>(q.took).count();
      head.took = static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, 0xffffffff));
      head.type = q.type;
      head.rcode = q.rcode;
      head.list = q.list;
      head.outcome = static_cast<std::uint8_t>(q.outcome);
      head.policy = q.policy;
      head.group = q.group;
      head.upstream = q.upstream;
      head.stream = q.stream;
      auto qname = owner.keeps_names ? q.qname : byte_view();
      auto client = owner.keeps_clients ? q.client.bytes() : byte_view();
      head.client_size = static_cast<std::uint8_t>(client.size());
      head.name_size = static_cast<std::uint8_t>(qname.size());
      head.size = static_cast<std::uint16_t>(row_size(client.size(), qname.size()));
      owner.wake(ring.put(head, client, qname));
    }
  };

  impl(const clock& t, const netlab::log& o, metrics& m, query_log_config c)
      : time(t), out(o), counters(m), config(std::move(c)), keeps_names(config.privacy == log_privacy::all),
        keeps_clients(config.privacy <= log_privacy::hide_domains),
        rows_total(m.get("netlab_dns_log_rows_total", {{"server", config.server}})),
        dropped_total(m.get("netlab_dns_log_dropped_total", {{"server", config.server}})),
        bytes_total(m.get("netlab_dns_log_bytes_total", {{"server", config.server}})) {
    block.reserve(block_bytes + max_row);
  }

  ~impl() {
    if (thread.joinable()) {
      {
        std::lock_guard hold(mutex);
        stopping = true;
      }
      changed.notify_all();
      thread.join();
    }
    close_segment();
  }

  // --- on the answering path

  void wake(std::size_t used) noexcept {
    auto now = current.load(std::memory_order_relaxed);
    if (now == hurried || (now == lingering && used < config.ring_bytes / 2)) return;
    rouse(now == sleeping ? lingering : hurried);
  }
  void rouse(state wanted) noexcept {
    {
      std::lock_guard hold(mutex);
      if (current.load(std::memory_order_relaxed) >= wanted) return;
      current.store(wanted, std::memory_order_relaxed);
    }
    changed.notify_all();
  }

  // --- the thread

  void run() {
    begin();
    std::unique_lock hold(mutex);
    for (;;) {
      // A worker may put a row between our last look and here, and see the old state: it waits for the next
      // query or flush then, and a log may be late.
      if (!stopping && wanted_flush == done_flush && current.load(std::memory_order_relaxed) == sleeping)
        changed.wait_for(hold, longest_sleep, [this] {
          return stopping || wanted_flush != done_flush ||
                 current.load(std::memory_order_relaxed) != sleeping;
        });
      if (!stopping && wanted_flush == done_flush && current.load(std::memory_order_relaxed) == lingering)
        changed.wait_for(hold, linger, [this] {
          return stopping || wanted_flush != done_flush || current.load(std::memory_order_relaxed) == hurried;
        });
      bool last = stopping;
      auto flushing = wanted_flush;
      // Who fills a ring while this thread works says so, and is heard.
      if (current.load(std::memory_order_relaxed) == hurried)
        current.store(lingering, std::memory_order_relaxed);
      hold.unlock();
      bool any = collect();
      bool due = any && time.now() >= publish_at;
      // What came last is told before this thread sleeps.
      metrics_due = metrics_due || any;
      if (metrics_due && (!any || time.now() >= metrics_at)) tell_metrics();
      if (last || flushing != done_flush || due) finish_round();
      hold.lock();
      done_flush = flushing;
      flushed.notify_all();
      if (last) return;
      if (!any && current.load(std::memory_order_relaxed) == lingering)
        current.store(sleeping, std::memory_order_relaxed);
    }
  }

  void begin() {
    if (::mkdir(config.folder.c_str(), 0750) != 0 && errno != EEXIST) trouble_with("mkdir", errno);
    if (auto found = list_segments(config.folder))
      for (const auto& s : *found) next_segment = std::max(next_segment, s.number + 1);
    hour = hour_of(time.wall());
    if (auto kept = keep_current(config.folder, time.wall()); !kept) trouble_with(kept.error().message);
    clean_up();
  }

  // Empties the rings into blocks, and counts.
  bool collect() {
    bool any = false;
    auto boot_to_wall = time.wall().time_since_epoch() - time.now().time_since_epoch();
    auto now = time.wall();
    turn_hour(now);
    if (broken && time.now() >= retry_at) try_again();
    bool keeps_rows = config.privacy != log_privacy::anonymous;
    std::uint64_t lost = 0, taken = 0;
    for (auto& w : workers) {
      auto take = [&](query_row head, std::uint8_t* row) {
        ++taken;
        head.at += boot_to_wall.count();
        counts.add(head, row, taken % stands_for == 0 ? stands_for : 0);
        if (!keeps_rows) return;
        ++block_rows;
        if (broken) return;
        std::memcpy(row, &head, sizeof head);
        block.insert(block.end(), row, row + head.size);
      };
      if (w->ring.take(take)) any = true;
      lost += w->ring.take_lost();
      if (block.size() >= block_bytes) lost += write_block();
    }
    lost += write_block();
    judge_rate(taken);
    if (taken > 0) {
      counts.span(now);
      rows_total.add(taken);
      total_rows.fetch_add(taken, std::memory_order_relaxed);
    }
    if (lost > 0) count_lost(lost);
    return any;
  }

  // For how many rows each that is looked at closely stands.
  void judge_rate(std::uint64_t taken) {
    auto elapsed = time.now() - rate_from;
    rate_rows += taken;
    if (elapsed < std::chrono::milliseconds(100)) return; // a ring is emptied many times a second then
    auto rate = static_cast<double>(rate_rows) / std::chrono::duration<double>(elapsed).count();
    stands_for = rate > static_cast<double>(very_busy_rate) ? 32
                 : rate > static_cast<double>(busy_rate)    ? 8
                                                            : 1;
    rate_from += elapsed;
    rate_rows = 0;
  }

  void count_lost(std::uint64_t lost) {
    counts.dropped += lost;
    dropped_total.add(lost);
    total_dropped.fetch_add(lost, std::memory_order_relaxed);
    if (broken || time.now() < say_dropped_at) return; // a disk that takes nothing is told in its own way
    say_dropped_at = time.now() + std::chrono::hours(1);
    out(msg_log_dropped, config.server + ": " + std::to_string(lost) + " queries are not in the log");
  }

  void finish_round() {
    publish_at = time.now() + publish_every;
    tell_metrics();
    if (broken) return;
    if (auto written = write_current(config.folder, counts.statistics(config.names)); !written)
      trouble_with(written.error().message);
  }

  void turn_hour(wall_time now) {
    auto here = hour_of(now);
    if (here == hour) return;
    hour = here;
    tell_metrics();
    auto done = counts.statistics(config.names);
    counts = row_counts();
    published_lists.fill(0);
    for (auto* told : {&published_clients, &published_blocked_clients}) told->clear();
    if (!done.empty() && !broken)
      if (auto written = append_hour(config.folder, done, now); !written)
        trouble_with(written.error().message);
    clean_up();
  }

  // --- segments

  // Returns how many rows were lost by it.
  std::uint64_t write_block() {
    if (!block.empty() && !broken) {
      if (descriptor < 0 || segment_size + block.size() > config.segment_bytes) open_segment();
      if (descriptor >= 0 && !broken) put(segment_block::kind::rows, block);
    }
    auto lost = broken ? block_rows : 0;
    block.clear();
    block_rows = 0;
    return lost;
  }

  void open_segment() {
    close_segment();
    auto path = config.folder + "/" + segment_name(next_segment);
    descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
    if (descriptor < 0) return trouble_with(path, errno);
    ++next_segment;
    clean_up();
    auto names = names_payload(config.names);
    put(segment_block::kind::names, as_bytes(names));
  }

  void close_segment() {
    if (descriptor >= 0) ::close(descriptor);
    descriptor = -1;
    segment_size = 0;
  }

  void put(segment_block::kind what, byte_view payload) {
    std::uint8_t head[block_head_size];
    put_block_head(head, what, payload);
    if (!write_all(head) || !write_all(payload)) {
      auto why = errno;
      // Half a block would only be skipped by readers; the file ends with what is whole.
      if (::ftruncate(descriptor, static_cast<off_t>(segment_size)) != 0) close_segment();
      return trouble_with(config.folder, why);
    }
    segment_size += sizeof head + payload.size();
    bytes_total.add(sizeof head + payload.size());
    total_bytes.fetch_add(sizeof head + payload.size(), std::memory_order_relaxed);
  }

  bool write_all(byte_view bytes) {
    while (!bytes.empty()) {
      auto n = ::write(descriptor, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }

  // The oldest segments go while there are too many bytes, and those that are too old.
  void clean_up() {
    auto all = list_segments(config.folder);
    if (!all) return;
    std::uint64_t sum = 0;
    for (const auto& s : *all) sum += s.bytes;
    auto now = std::chrono::duration_cast<std::chrono::seconds>(time.wall().time_since_epoch()).count();
    auto oldest = now - std::chrono::duration_cast<std::chrono::seconds>(config.retention).count();
    for (const auto& s : *all) {
      bool open = descriptor >= 0 && s.number + 1 == next_segment;
      if (open || (sum + config.segment_bytes <= config.max_bytes && s.modified >= oldest)) continue;
      if (::unlink((config.folder + "/" + segment_name(s.number)).c_str()) == 0) sum -= s.bytes;
    }
    total_bytes.store(sum, std::memory_order_relaxed);
  }

  void trouble_with(const std::string& what, int why) {
    trouble_with(system_error(why, what, "dns.log").message);
  }
  void trouble_with(const std::string& text) {
    retry_at = time.now() + retry_after;
    if (!broken) out(msg_log_stopped, config.server + ": " + text);
    broken = true;
    std::lock_guard hold(mutex);
    trouble = text;
  }

  // A segment of its own, so that what was written before is left alone.
  void try_again() {
    broken = false;
    if (::mkdir(config.folder.c_str(), 0750) != 0 && errno != EEXIST) return still_broken(errno);
    clean_up();
    auto path = config.folder + "/" + segment_name(next_segment);
    close_segment();
    descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
    if (descriptor < 0) return still_broken(errno);
    ++next_segment;
    auto names = names_payload(config.names);
    broken = true; // no second message when this fails
    put(segment_block::kind::names, as_bytes(names));
    if (segment_size == 0) {
      close_segment();
      ::unlink(path.c_str());
      return;
    }
    broken = false;
    out(msg_log_goes_on, config.server + ": the query log is written again");
    std::lock_guard hold(mutex);
    trouble.clear();
  }
  void still_broken(int why) {
    broken = true;
    trouble_with(config.folder, why);
  }

  void tell_metrics() {
    metrics_at = time.now() + metrics_every;
    metrics_due = false;
    publish_lists();
    publish_clients("queries", counts.clients, published_clients);
    publish_clients("blocked", counts.blocked_clients, published_blocked_clients);
  }

  // The clients that ask most, as far as the log may know clients. What a sample says of one may fall when
  // rare ones are forgotten; the counter waits then.
  void publish_clients(const char* what, const frequent& now, std::map<std::string, std::uint64_t>& told) {
    for (const auto& [octets, count] : now.top(clients_told)) {
      auto found = told.find(octets);
      if (found == told.end()) {
        if (told.size() >= 2 * clients_told) continue; // no more of them in an hour
        found = told.emplace(octets, 0).first;
      }
      if (count <= found->second) continue;
      counters
          .get(std::string("netlab_dns_client_") + what + "_total",
               {{"server", config.server}, {"client", address_of(as_bytes(octets)).to_string()}})
          .add(count - found->second);
      found->second = count;
    }
  }

  // What lists blocked, as counters beside the others.
  void publish_lists() {
    for (std::size_t i = 0; i < counts.lists.size(); ++i) {
      if (counts.lists[i] == published_lists[i]) continue;
      auto& total =
          counters.get("netlab_dns_list_blocked_total",
                       {{"server", config.server},
                        {"list", i < config.names.lists.size() ? printable(config.names.lists[i]) : ""}});
      total.add(counts.lists[i] - published_lists[i]);
      published_lists[i] = counts.lists[i];
    }
  }

  const clock& time;
  const netlab::log out;
  metrics& counters;
  const query_log_config config;
  const bool keeps_names, keeps_clients;
  counter &rows_total, &dropped_total, &bytes_total;
  std::vector<std::unique_ptr<worker>> workers;

  alignas(64) std::atomic<std::uint32_t> current{sleeping};
  alignas(64) std::mutex mutex;
  std::condition_variable changed, flushed;
  bool stopping = false;
  std::uint64_t wanted_flush = 0, done_flush = 0;
  std::string trouble;
  std::atomic<std::uint64_t> total_rows{0}, total_dropped{0}, total_bytes{0};

  // The thread's own.
  byte_vector block; // rows on their way to the disk
  std::uint64_t block_rows = 0;
  int descriptor = -1;
  std::uint64_t segment_size = 0, next_segment = 1;
  row_counts counts;
  std::array<std::uint64_t, row_counts::list_numbers> published_lists{};
  std::map<std::string, std::uint64_t> published_clients, published_blocked_clients; // by address octets
  std::string hour;
  bool broken = false;
  std::uint64_t stands_for = 1, rate_rows = 0;
  boot_time retry_at{}, say_dropped_at{}, publish_at{}, metrics_at{}, rate_from{};
  bool metrics_due = false;
  std::thread thread;
};

query_log::query_log(const clock& time, const netlab::log& out, metrics& counters, query_log_config config)
    : impl_(std::make_unique<impl>(time, out, counters, std::move(config))) {}
query_log::~query_log() = default;

query_sink& query_log::add_worker() {
  impl_->workers.push_back(std::make_unique<impl::worker>(*impl_, impl_->config.ring_bytes));
  return *impl_->workers.back();
}

void query_log::start() {
  impl_->thread = std::thread([i = impl_.get()] { i->run(); });
}

bool query_log::flush(duration patience) {
  auto& i = *impl_;
  std::unique_lock hold(i.mutex);
  if (!i.thread.joinable()) return false;
  auto mine = ++i.wanted_flush;
  i.changed.notify_all();
  return i.flushed.wait_for(hold, patience, [&] { return i.done_flush >= mine; });
}

query_log_status query_log::status() const {
  auto& i = *impl_;
  std::lock_guard hold(i.mutex);
  return {i.total_rows.load(std::memory_order_relaxed), i.total_dropped.load(std::memory_order_relaxed),
          i.total_bytes.load(std::memory_order_relaxed), i.trouble};
}

} // namespace netlab::dns
