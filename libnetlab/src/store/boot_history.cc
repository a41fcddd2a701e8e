#include "boot_history.h"

#include <sqlite3.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "messages.h"

namespace netlab {

namespace {

using namespace std::chrono_literals;

constexpr duration retry_after = 30s;
constexpr std::uint64_t sweep_every = 1000; // events between two clean-ups
constexpr int schema_version = 1;

struct write_job {
  enum class kind { event, query, drain } what = kind::event;
  history_event event;
  boot_time when{};
  std::string node;
  std::size_t limit = 0;
  timeline::history_fn found;
  std::function<void()> drained;
};

// Statements of one connection; every call reports SQLite's own words.
class database {
public:
  database() = default;
  database(const database&) = delete;
  database& operator=(const database&) = delete;
  ~database() { close(); }
  bool is_open() const { return db_ != nullptr; }

  result<void> open(const std::string& path) {
    if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        nullptr) != SQLITE_OK)
      return trouble(path);
    sqlite3_busy_timeout(db_, 2000);
    // NORMAL: a power cut may cost the last seconds of history, never the file.
    for (auto sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-256"})
      if (auto ran = run(sql); !ran) return ran;
    statement version(*this, "PRAGMA user_version");
    if (!version || version.step() != SQLITE_ROW) return trouble("user_version");
    auto found = sqlite3_column_int(version.get(), 0);
    version.reset();
    if (found > schema_version)
      return fail(errc::unsupported, path + " was written by a newer netlab", "history.open");
    if (auto made = run("CREATE TABLE IF NOT EXISTS events (time INTEGER NOT NULL, node TEXT NOT NULL, "
                        "mac TEXT NOT NULL, address TEXT NOT NULL, architecture TEXT NOT NULL, "
                        "stage TEXT NOT NULL, detail TEXT NOT NULL, bytes INTEGER NOT NULL, "
                        "elapsed INTEGER NOT NULL, done INTEGER NOT NULL, id TEXT NOT NULL)");
        !made)
      return made;
    return run("PRAGMA user_version=1");
  }
  void close() {
    if (db_) sqlite3_close_v2(std::exchange(db_, nullptr));
  }
  result<void> run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return trouble(sql);
    return {};
  }
  tl::unexpected<error> trouble(std::string_view what) const {
    return fail(errc::io, std::string(what) + ": " + (db_ ? sqlite3_errmsg(db_) : "out of memory"), "sqlite");
  }

  class statement {
  public:
    statement(database& db, const char* sql) { sqlite3_prepare_v2(db.db_, sql, -1, &s_, nullptr); }
    ~statement() { reset(); }
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;
    explicit operator bool() const { return s_ != nullptr; }
    sqlite3_stmt* get() const { return s_; }
    int step() { return sqlite3_step(s_); }
    void reset() { sqlite3_finalize(std::exchange(s_, nullptr)); }
    void again() { sqlite3_reset(s_); }
    void bind(int at, const std::string& text) {
      sqlite3_bind_text(s_, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    }
    void bind(int at, std::int64_t value) { sqlite3_bind_int64(s_, at, value); }
    std::string text(int column) const {
      auto* p = sqlite3_column_text(s_, column);
      return p ? std::string(reinterpret_cast<const char*>(p),
                             static_cast<std::size_t>(sqlite3_column_bytes(s_, column)))
               : std::string();
    }
    std::int64_t number(int column) const { return sqlite3_column_int64(s_, column); }

  private:
    sqlite3_stmt* s_ = nullptr;
  };

private:
  sqlite3* db_ = nullptr;
};

} // namespace

struct boot_history::impl {
  const std::string path;
  const std::uint64_t keep_events;
  const duration keep_for;
  const std::size_t max_waiting;
  const netlab::clock& clock;
  netlab::scheduler& scheduler;
  netlab::log log;
  counter &written, &dropped;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true); // touched on the scheduler's thread only

  std::mutex mutex;
  std::condition_variable wake;
  std::vector<write_job> queue;
  std::size_t events_waiting = 0;
  bool stopping = false;

  // The writer's thread.
  database db;
  bool failing = false;
  std::optional<boot_time> tried;
  std::uint64_t since_sweep = sweep_every; // clean up once at start
  std::thread writer;

  impl(const timeline_options& o, const netlab::clock& c, netlab::scheduler& s, netlab::log l, metrics& m)
      : path(o.history), keep_events(o.keep_events), keep_for(o.keep_for), max_waiting(o.max_waiting),
        clock(c), scheduler(s), log(l), written(m.get("netlab_history_events_total")),
        dropped(m.get("netlab_history_dropped_total")) {}

  void run();
  result<void> ready(boot_time now);
  result<void> store(const std::vector<write_job>& jobs, std::size_t events);
  result<void> insert(const std::vector<write_job>& jobs);
  result<void> sweep(wall_time newest);
  result<std::vector<history_event>> select(const std::string& node, std::size_t limit);
};

result<void> boot_history::impl::ready(boot_time now) {
  if (db.is_open()) return {};
  if (tried && now - *tried < retry_after) return fail(errc::io, path + " is not open", "history");
  tried = now;
  auto opened = db.open(path);
  if (!opened) db.close();
  return opened;
}

result<void> boot_history::impl::insert(const std::vector<write_job>& jobs) {
  database::statement add(db, "INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?)");
  if (!add) return db.trouble("insert");
  for (const auto& j : jobs) {
    if (j.what != write_job::kind::event) continue;
    const auto& e = j.event;
    add.bind(1, e.time.time_since_epoch().count());
    add.bind(2, e.node);
    add.bind(3, e.mac);
    add.bind(4, e.address);
    add.bind(5, e.architecture);
    add.bind(6, e.stage);
    add.bind(7, e.detail);
    add.bind(8, static_cast<std::int64_t>(e.bytes));
    add.bind(9, e.elapsed.count());
    add.bind(10, std::int64_t{e.done});
    add.bind(11, e.id);
    if (add.step() != SQLITE_DONE) return db.trouble("insert");
    add.again();
  }
  return {};
}

result<void> boot_history::impl::sweep(wall_time newest) {
  // rowid grows with each insert, so that the count needs no index and no counting.
  database::statement count(db, "DELETE FROM events WHERE rowid <= (SELECT max(rowid) FROM events) - ?");
  if (!count) return db.trouble("delete");
  count.bind(1, static_cast<std::int64_t>(std::min<std::uint64_t>(keep_events, INT64_MAX)));
  if (count.step() != SQLITE_DONE) return db.trouble("delete");
  if (keep_for == duration::max()) return {};
  database::statement age(db, "DELETE FROM events WHERE time < ?");
  if (!age) return db.trouble("delete");
  age.bind(1, (newest - keep_for).time_since_epoch().count());
  if (age.step() != SQLITE_DONE) return db.trouble("delete");
  return {};
}

result<void> boot_history::impl::store(const std::vector<write_job>& jobs, std::size_t events) {
  if (auto begun = db.run("BEGIN IMMEDIATE"); !begun) return begun;
  auto done = insert(jobs);
  if (done && (since_sweep += events) >= sweep_every) {
    wall_time newest{};
    for (const auto& j : jobs)
      if (j.what == write_job::kind::event) newest = std::max(newest, j.event.time);
    done = sweep(newest);
    since_sweep = 0;
  }
  if (done) done = db.run("COMMIT");
  if (!done) (void)db.run("ROLLBACK");
  return done;
}

result<std::vector<history_event>> boot_history::impl::select(const std::string& node, std::size_t limit) {
  database::statement find(
      db,
      "SELECT time, node, mac, address, architecture, stage, detail, bytes, elapsed, done, id FROM events "
      "WHERE ?1 = '' OR node = ?1 COLLATE NOCASE OR mac = ?1 COLLATE NOCASE OR address = ?1 "
      "ORDER BY rowid DESC LIMIT ?2");
  if (!find) return db.trouble("select");
  find.bind(1, node);
  find.bind(2, static_cast<std::int64_t>(std::min<std::size_t>(limit, INT64_MAX)));
  std::vector<history_event> out;
  int state;
  while ((state = find.step()) == SQLITE_ROW) {
    auto& e = out.emplace_back();
    e.time = wall_time{duration{find.number(0)}};
    e.node = find.text(1);
    e.mac = find.text(2);
    e.address = find.text(3);
    e.architecture = find.text(4);
    e.stage = find.text(5);
    e.detail = find.text(6);
    e.bytes = static_cast<std::uint64_t>(find.number(7));
    e.elapsed = duration{find.number(8)};
    e.done = find.number(9) != 0;
    e.id = find.text(10);
  }
  if (state != SQLITE_DONE) return db.trouble("select");
  std::reverse(out.begin(), out.end());
  return out;
}

void boot_history::impl::run() {
  for (;;) {
    std::vector<write_job> jobs;
    bool last;
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return !queue.empty() || stopping; });
      jobs.swap(queue);
      events_waiting = 0;
      last = stopping;
    }
    auto events = static_cast<std::size_t>(std::count_if(
        jobs.begin(), jobs.end(), [](const write_job& j) { return j.what == write_job::kind::event; }));
    if (events > 0) {
      auto stored = ready(jobs.back().when);
      if (stored) stored = store(jobs, events);
      if (stored) {
        written.add(events);
        if (std::exchange(failing, false)) log(messages::history_recovered, path + " is written again");
      } else {
        dropped.add(events);
        if (db.is_open()) { // a fresh connection is what helps after most trouble
          db.close();
          tried = jobs.back().when;
        }
        if (!std::exchange(failing, true)) log(messages::history_failed, stored.error().message);
      }
    }
    for (auto& j : jobs) {
      if (j.what == write_job::kind::event) continue;
      if (j.what == write_job::kind::drain) {
        scheduler.post([still = alive, fn = std::move(j.drained)] {
          if (*still) fn();
        });
        continue;
      }
      auto open = ready(j.when);
      auto found = open ? select(j.node, j.limit) : tl::unexpected(open.error());
      scheduler.post([still = alive, fn = std::move(j.found),
                      answer = std::make_shared<result<std::vector<history_event>>>(std::move(found))] {
        if (*still) fn(std::move(*answer));
      });
    }
    if (last) return;
  }
}

boot_history::boot_history(const timeline_options& options, const netlab::clock& clock,
                           netlab::scheduler& scheduler, netlab::log log, metrics& counters)
    : impl_(std::make_unique<impl>(options, clock, scheduler, log, counters)) {
  impl_->writer = std::thread([state = impl_.get()] { state->run(); });
}

boot_history::~boot_history() {
  *impl_->alive = false;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->writer.join();
}

void boot_history::add(history_event event) {
  auto& i = *impl_;
  write_job j;
  j.event = std::move(event);
  j.when = i.clock.now();
  {
    std::lock_guard lock(i.mutex);
    if (i.events_waiting >= i.max_waiting) {
      i.dropped.add();
      return;
    }
    ++i.events_waiting;
    i.queue.push_back(std::move(j));
  }
  i.wake.notify_one();
}

void boot_history::query(std::string node, std::size_t limit, timeline::history_fn fn) {
  write_job j;
  j.what = write_job::kind::query;
  j.when = impl_->clock.now();
  j.node = std::move(node);
  j.limit = limit;
  j.found = std::move(fn);
  std::lock_guard lock(impl_->mutex);
  impl_->queue.push_back(std::move(j));
  impl_->wake.notify_one();
}

void boot_history::drain(std::function<void()> fn) {
  write_job j;
  j.what = write_job::kind::drain;
  j.when = impl_->clock.now();
  j.drained = std::move(fn);
  std::lock_guard lock(impl_->mutex);
  impl_->queue.push_back(std::move(j));
  impl_->wake.notify_one();
}

} // namespace netlab
