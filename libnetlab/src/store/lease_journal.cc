#include "netlab/lease_journal.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "journal_format.h"
#include "messages.h"

namespace netlab {

namespace {

using namespace std::chrono_literals;

// Below this the wall clock moved with boot time as far as leases care: NTP slewing, suspend rounding.
constexpr duration step_tolerance = 10s;
// A clock that shows less was never set: netlab did not exist then.
constexpr wall_time plausible{std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}};

struct job {
  lease_store::outcome result; // holds the claimed lease until the writer decides
  lease_store::done_fn done;
  wall_time written{};
  duration offset{}; // wall clock minus boot time when it was claimed
  bool drain = false;
  bool ahead = false; // a conflict with a record of the same batch: stands or falls with it
};

struct place {
  std::uint64_t offset = 0;
  std::uint64_t version = 0;
  std::uint32_t size = 0;
};
using place_index = std::unordered_map<ip_address, place>;

wall_time shifted(wall_time t, duration by) {
  if (t == wall_time::max()) return t;
  wall_time out;
  // Damaged or hostile times must not overflow; saturating keeps their order.
  duration::rep ticks;
  if (__builtin_add_overflow(t.time_since_epoch().count(), by.count(), &ticks))
    return by.count() > 0 ? wall_time::max() - duration{1} : wall_time::min();
  out = wall_time{duration{ticks}};
  return out;
}

// Wall clock steps by where they stand in the file.
class step_list {
public:
  void add(std::uint64_t offset, duration step) { steps_.push_back({offset, total() + step}); }
  duration total() const { return steps_.empty() ? duration{} : steps_.back().total; }
  // What happened to the clock after the record at `offset` was written.
  duration since(std::uint64_t offset) const {
    duration before{};
    for (const auto& s : steps_) {
      if (s.offset > offset) break;
      before = s.total;
    }
    return total() - before;
  }
  void cut(std::uint64_t end) {
    while (!steps_.empty() && steps_.back().offset >= end) steps_.pop_back();
  }

private:
  struct entry {
    std::uint64_t offset;
    duration total;
  };
  std::vector<entry> steps_; // by offset
};

// A file and what is known of it.
struct volume {
  std::unique_ptr<journal_file> file;
  std::uint64_t secret = 0;
  std::uint64_t end = 0; // where the next record goes; everything before it is durable
  std::uint64_t live_bytes = 0;
  place_index index;
  step_list steps;

  // Returns what was there before.
  place enter(const ip_address& address, const place& p) {
    auto& slot = index[address];
    live_bytes += p.size;
    live_bytes -= slot.size;
    return std::exchange(slot, p);
  }
  void restore(const ip_address& address, const place& before) {
    auto it = index.find(address);
    live_bytes -= it->second.size;
    live_bytes += before.size;
    if (before.size == 0)
      index.erase(it);
    else
      it->second = before;
  }
};

result<std::uint64_t> fresh_secret() {
  std::uint64_t value = 0;
  if (::getrandom(&value, sizeof value, 0) != sizeof value)
    return system_fail(errno, "getrandom", "getrandom");
  return value;
}

result<void> begin_file(volume& v) {
  auto secret = fresh_secret();
  if (!secret) return tl::unexpected(secret.error());
  v.secret = *secret;
  byte_vector head;
  journal::write_header(head, v.secret);
  if (auto wrote = v.file->append(0, head); !wrote) return wrote;
  v.end = head.size();
  return {};
}

journal::scanner::read_fn reader(journal_file& file) {
  return [&file](std::uint64_t offset, byte_span out) { return file.read(offset, out); };
}

// Whether anything but zeros is in a part of the file. Zeros are a reserve that was never written to.
result<bool> has_bytes(journal_file& file, std::uint64_t begin, std::uint64_t end) {
  byte_vector part(64u << 10);
  while (begin < end) {
    auto got = file.read(begin, byte_span(part).first(std::min<std::uint64_t>(part.size(), end - begin)));
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) return false;
    if (std::any_of(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(*got),
                    [](auto b) { return b != 0; }))
      return true;
    begin += *got;
  }
  return false;
}

// A new file being written beside the journal, a piece at a time.
struct compaction {
  volume next;
  std::uint64_t folded_to; // records before this offset of the old file take their clock steps with them
  journal::scanner scan;
};

} // namespace

struct lease_journal::impl {
  std::unique_ptr<journal_storage> storage;
  const netlab::clock& clock;
  netlab::scheduler& scheduler;
  netlab::log log;
  lease_journal_options options;
  counter &stored, &conflicts, &failed, &syncs, &compacted;

  // The loop's thread.
  std::optional<std::vector<lease>> loaded = std::vector<lease>{};
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  bool overloaded = false;

  // Shared, under `mutex`.
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<job> queue;
  bool sleeping = false, stopping = false, hurry = false;

  std::atomic<std::uint64_t> in_flight{0}, live{0}, file_bytes{0}, batches{0}, largest{0}, compactions{0};

  // The writer's thread (before it starts: open()).
  volume at;
  duration reference{};    // wall clock minus boot time that the records so far are told in
  duration pending_step{}; // found at open, goes in front of the next record
  bool tail_dirty = false, folder_dirty = false, failing = false;
  std::optional<compaction> compacting;
  std::uint64_t compact_after = 0; // put off after a failure until the file is this large
  bool compact_now = false;        // the file is damaged
  byte_vector buffer;
  std::thread writer;

  impl(std::unique_ptr<journal_storage> s, const netlab::clock& c, netlab::scheduler& sched, netlab::log l,
       metrics& m, lease_journal_options o)
      : storage(std::move(s)), clock(c), scheduler(sched), log(l), options(o),
        stored(m.get("netlab_lease_claims_total", {{"result", "stored"}})),
        conflicts(m.get("netlab_lease_claims_total", {{"result", "conflict"}})),
        failed(m.get("netlab_lease_claims_total", {{"result", "failed"}})),
        syncs(m.get("netlab_lease_syncs_total")), compacted(m.get("netlab_lease_compactions_total")) {}

  result<void> recover();
  result<void> recover_records(std::uint64_t size, bool header_damaged);
  void run();
  void decide(job& j, std::vector<std::pair<ip_address, place>>& undo);
  void commit(std::vector<job>& jobs);
  result<void> make_durable();
  result<lease> read_lease(const place& p) const;
  void deliver(std::vector<job> jobs);
  void compact();
  result<bool> compact_some();
  result<void> finish_compaction();
  bool compaction_due() const {
    // The floor keeps a tiny limit from rewriting an empty file for ever.
    auto needed = std::max(2u, options.compact_factor) * at.live_bytes + 4096;
    return compact_now || at.end > std::max({options.compact_above, compact_after, needed});
  }
  void publish() {
    live.store(at.index.size(), std::memory_order_relaxed);
    file_bytes.store(at.end, std::memory_order_relaxed);
  }
};

result<void> lease_journal::impl::recover() {
  auto file = storage->open();
  if (!file) return tl::unexpected(file.error());
  at.file = std::move(*file);
  auto size = at.file->size();
  if (!size) return tl::unexpected(size.error());
  byte_vector head(journal::header_size);
  auto got = at.file->read(0, head);
  if (!got) return tl::unexpected(got.error());
  head.resize(*got);

  auto refuse = [&](errc code, const message& m, const std::string& why) {
    return fail(code, std::string(m.id) + ": " + storage->name() + " " + why + ". " + m.remedy,
                "lease_journal.open");
  };
  reference = clock.wall().time_since_epoch() - clock.now().time_since_epoch();
  auto header = journal::read_header(head, *size);
  switch (header.what) {
  case journal::header::kind::foreign:
    return refuse(errc::invalid, messages::journal_foreign,
                  "is not a lease journal, or its beginning is destroyed");
  case journal::header::kind::newer:
    return refuse(errc::unsupported, messages::journal_newer,
                  "has format " + std::to_string(header.version) + "; this netlab reads up to " +
                      std::to_string(journal::format_version));
  case journal::header::kind::empty: {
    if (auto cut = at.file->truncate(0); !cut) return cut;
    if (auto begun = begin_file(at); !begun) return begun;
    if (auto synced = at.file->sync(); !synced) return synced;
    return storage->sync_folder();
  }
  case journal::header::kind::ours: break;
  }
  at.secret = header.secret;
  return recover_records(*size, header.damaged);
}

result<void> lease_journal::impl::recover_records(std::uint64_t size, bool header_damaged) {
  struct held {
    netlab::lease lease;
    std::uint64_t offset;
  };
  std::unordered_map<ip_address, held> found;
  std::optional<wall_time> last_written;
  journal::scanner scan(reader(*at.file), at.secret, journal::header_size, size);
  for (;;) {
    auto next = scan.next();
    if (!next) return tl::unexpected(next.error());
    if (!*next) break;
    auto record = journal::read_record((*next)->bytes);
    if (!record) continue;
    last_written = record->written;
    if (record->what == journal::record::kind::step) {
      at.steps.add((*next)->offset, record->step);
      continue;
    }
    const auto& l = record->lease;
    auto known = at.index.find(l.address);
    if (known != at.index.end() && known->second.version > l.version) continue;
    at.enter(l.address, {(*next)->offset, l.version, static_cast<std::uint32_t>((*next)->bytes.size())});
    found.insert_or_assign(l.address, held{l, (*next)->offset});
  }
  at.end = scan.good_end();
  auto torn = has_bytes(*at.file, at.end, size);
  if (!torn) return tl::unexpected(torn.error());
  if (*torn) {
    log(messages::journal_torn_tail, storage->name() + ": " + std::to_string(size - at.end) +
                                         " bytes of an unfinished write cut off; " +
                                         std::to_string(found.size()) + " leases read");
    tail_dirty = !at.file->truncate(at.end);
  }
  if (scan.damaged() > 0 || header_damaged) {
    log(messages::journal_damaged,
        storage->name() + ": " + std::to_string(scan.damaged() + (header_damaged ? 32 : 0)) +
            " bytes unreadable; " + std::to_string(found.size()) + " leases recovered");
    compact_now = true;
  }

  auto now = clock.wall();
  if (last_written && (now < *last_written || (*last_written < plausible && now >= plausible))) {
    pending_step = now - *last_written;
    log(messages::journal_clock_rebased, "last lease stored at " + format_time(*last_written, false) +
                                             ", the clock says " + format_time(now, false) +
                                             ": leases keep what remained of them");
  }
  loaded->reserve(found.size());
  for (auto& [address, h] : found) {
    auto shift = at.steps.since(h.offset) + pending_step;
    h.lease.starts = shifted(h.lease.starts, shift);
    h.lease.expires = shifted(h.lease.expires, shift);
    loaded->push_back(std::move(h.lease));
  }
  std::sort(loaded->begin(), loaded->end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  return {};
}

result<lease> lease_journal::impl::read_lease(const place& p) const {
  byte_vector bytes(p.size);
  if (p.offset >= at.end) {
    std::copy_n(buffer.begin() + static_cast<std::ptrdiff_t>(p.offset - at.end), p.size, bytes.begin());
  } else {
    auto got = at.file->read(p.offset, bytes);
    if (!got) return tl::unexpected(got.error());
    bytes.resize(*got);
  }
  if (journal::check_record(bytes, at.secret, p.offset) == 0)
    return fail(errc::io, storage->name() + ": a lease that was written cannot be read back",
                "lease_journal");
  auto record = journal::read_record(bytes);
  auto shift = at.steps.since(p.offset) + pending_step;
  record->lease.starts = shifted(record->lease.starts, shift);
  record->lease.expires = shifted(record->lease.expires, shift);
  return std::move(record->lease);
}

// Compares versions and encodes; what is stored stands in `buffer` afterwards.
void lease_journal::impl::decide(job& j, std::vector<std::pair<ip_address, place>>& undo) {
  auto& l = j.result.current;
  auto known = at.index.find(l.address);
  std::uint64_t version = known == at.index.end() ? 0 : known->second.version;
  if (version != l.version) {
    j.result.what = outcome::kind::conflict;
    if (known == at.index.end()) {
      lease nothing;
      nothing.address = l.address;
      l = std::move(nothing);
      return;
    }
    j.ahead = known->second.offset >= at.end;
    auto current = read_lease(known->second);
    if (current) {
      l = std::move(*current);
    } else {
      j.result.what = outcome::kind::failed;
      j.result.reason = current.error().message;
    }
    return;
  }

  auto move = pending_step;
  if (auto drift = j.offset - reference; drift > step_tolerance || drift < -step_tolerance) {
    move += drift;
    reference = j.offset;
  }
  if (move != duration{}) {
    at.steps.add(at.end + buffer.size(), move);
    journal::write_step(buffer, at.secret, at.end + buffer.size(), move, j.written);
    pending_step = {};
  }
  auto offset = at.end + buffer.size();
  ++l.version;
  if (!journal::write_lease(buffer, at.secret, offset, l, j.written)) {
    --l.version;
    j.result.what = outcome::kind::failed;
    j.result.reason = "the client identifier and names are too long to store";
    return;
  }
  auto size = static_cast<std::uint32_t>(at.end + buffer.size() - offset);
  undo.emplace_back(l.address, at.enter(l.address, {offset, l.version, size}));
}

result<void> lease_journal::impl::make_durable() {
  if (tail_dirty) {
    if (auto cut = at.file->truncate(at.end); !cut) return cut;
    tail_dirty = false;
  }
  if (auto wrote = at.file->append(at.end, buffer); !wrote) return wrote;
  syncs.add();
  if (auto synced = at.file->sync(); !synced) return synced;
  if (folder_dirty) {
    // Before this the old file may come back after a power cut, without what was written to this one.
    if (auto synced = storage->sync_folder(); !synced) return synced;
    folder_dirty = false;
  }
  return {};
}

void lease_journal::impl::commit(std::vector<job>& jobs) {
  buffer.clear();
  std::vector<std::pair<ip_address, place>> undo;
  undo.reserve(jobs.size());
  auto reference_before = reference;
  auto pending_before = pending_step;
  std::uint64_t claims = 0;
  for (auto& j : jobs) {
    if (j.drain) continue;
    ++claims;
    decide(j, undo);
  }

  if (!buffer.empty()) {
    auto durable = make_durable();
    if (durable) {
      at.end += buffer.size();
      batches.fetch_add(1, std::memory_order_relaxed);
      if (claims > largest.load(std::memory_order_relaxed)) largest.store(claims, std::memory_order_relaxed);
      if (std::exchange(failing, false))
        log(messages::journal_recovered, storage->name() + " takes writes again");
    } else {
      for (auto it = undo.rbegin(); it != undo.rend(); ++it) at.restore(it->first, it->second);
      at.steps.cut(at.end);
      reference = reference_before;
      pending_step = pending_before;
      tail_dirty = !at.file->truncate(at.end);
      for (auto& j : jobs) {
        if (j.drain) continue;
        if (j.result.what == outcome::kind::stored)
          --j.result.current.version;
        else if (!j.ahead)
          continue;
        j.result.what = outcome::kind::failed;
        j.result.reason = durable.error().message;
      }
      if (!std::exchange(failing, true))
        log(messages::journal_write_failed, storage->name() + " is not written: " + durable.error().message +
                                                "; " + std::to_string(undo.size()) + " leases not given");
    }
  }
  std::uint64_t kinds[3] = {};
  for (auto& j : jobs)
    if (!j.drain) ++kinds[static_cast<std::size_t>(j.result.what)];
  stored.add(kinds[0]);
  conflicts.add(kinds[1]);
  failed.add(kinds[2]);
  if (buffer.capacity() > (4u << 20)) byte_vector().swap(buffer);
  publish();
}

void lease_journal::impl::deliver(std::vector<job> jobs) {
  auto batch = std::make_shared<std::vector<job>>(std::move(jobs));
  scheduler.post([still = alive, batch] {
    for (auto& j : *batch) {
      if (!*still) return; // the journal ended, perhaps inside a callback
      j.done(std::move(j.result));
    }
  });
}

void lease_journal::impl::run() {
  std::vector<job> jobs;
  bool busy = false; // clients come faster than one after the other
  std::chrono::steady_clock::time_point begun{};
  for (;;) {
    bool last;
    {
      std::unique_lock lock(mutex);
      bool compact_due = compacting || compaction_due();
      sleeping = true;
      wake.wait(lock, [&] { return !queue.empty() || stopping || compact_due; });
      sleeping = false;
      if (busy) wake.wait_until(lock, begun + options.group_time, [&] { return stopping || hurry; });
      begun = std::chrono::steady_clock::now();
      busy = queue.size() > 1;
      hurry = false;
      jobs.clear();
      jobs.swap(queue);
      in_flight.store(jobs.size(), std::memory_order_relaxed);
      last = stopping;
    }
    if (!jobs.empty()) {
      commit(jobs);
      in_flight.store(0, std::memory_order_relaxed);
      deliver(std::exchange(jobs, {}));
    }
    if (last) return; // nothing can be queued after `stopping`; an unfinished compaction is dropped
    compact();
  }
}

// Does one bounded piece of the compaction, if one is due.
void lease_journal::impl::compact() {
  if (!compacting && !compaction_due()) return;
  auto done = compact_some();
  if (done && !*done) return;
  compacting.reset();
  compact_now = false;
  if (done) {
    compact_after = 0;
    compacted.add();
    compactions.fetch_add(1, std::memory_order_relaxed);
    publish();
    return;
  }
  compact_after = at.end + std::max(at.end / 4, options.compact_above / 4);
  log(messages::journal_compact_failed, storage->name() + ": " + done.error().message);
}

// True when the new file took the old one's place.
result<bool> lease_journal::impl::compact_some() {
  if (!compacting) {
    auto file = storage->make_replacement();
    if (!file) return tl::unexpected(file.error());
    volume next;
    next.file = std::move(*file);
    next.index.reserve(at.index.size());
    if (auto begun = begin_file(next); !begun) return tl::unexpected(begun.error());
    compacting.emplace(
        compaction{std::move(next), at.end,
                   journal::scanner(reader(*at.file), at.secret, journal::header_size, at.end)});
  }
  auto& c = *compacting;
  byte_vector out;
  std::uint64_t begin = c.scan.position();
  bool caught_up = false;
  while (out.size() < options.compact_step && c.scan.position() - begin < 16 * options.compact_step) {
    auto found = c.scan.next();
    if (!found) return tl::unexpected(found.error());
    if (!*found) {
      auto position = c.scan.position();
      if (position >= at.end) {
        caught_up = true;
        break;
      }
      c.scan = journal::scanner(reader(*at.file), at.secret, position, at.end); // what came meanwhile
      begin = position;
      continue;
    }
    auto record = journal::read_record((*found)->bytes);
    if (!record) continue;
    auto old_offset = (*found)->offset, offset = c.next.end + out.size();
    if (record->what == journal::record::kind::step) {
      if (old_offset < c.folded_to) continue;
      c.next.steps.add(offset, record->step);
      journal::write_step(out, c.next.secret, offset, record->step, record->written);
      continue;
    }
    auto& l = record->lease;
    auto current = at.index.find(l.address);
    if (current == at.index.end() || current->second.offset != old_offset) continue; // outdated
    if (old_offset < c.folded_to) {
      auto later = at.steps.since(old_offset) - at.steps.since(c.folded_to - 1);
      l.starts = shifted(l.starts, later);
      l.expires = shifted(l.expires, later);
      record->written = shifted(record->written, later);
    }
    journal::write_lease(out, c.next.secret, offset, l, record->written);
    c.next.enter(l.address,
                 {offset, l.version, static_cast<std::uint32_t>(c.next.end + out.size() - offset)});
  }
  if (auto wrote = c.next.file->append(c.next.end, out); !wrote) return tl::unexpected(wrote.error());
  c.next.end += out.size();
  // Synced piece by piece, so that no single sync is long enough for a claim to notice.
  if (auto synced = c.next.file->sync(); !synced) return tl::unexpected(synced.error());
  if (!caught_up) return false;
  if (auto finished = finish_compaction(); !finished) return tl::unexpected(finished.error());
  return true;
}

result<void> lease_journal::impl::finish_compaction() {
  auto& next = compacting->next;
  for (const auto& [address, p] : at.index) {
    auto copy = next.index.find(address);
    if (copy == next.index.end() || copy->second.version != p.version)
      return fail(errc::io, "the lease of " + address.to_string() + " can no longer be read from it",
                  "lease_journal.compact");
  }
  if (auto replaced = storage->replace(); !replaced) return replaced;
  at = std::move(next);
  tail_dirty = false;
  folder_dirty = !storage->sync_folder();
  return {};
}

lease_journal::lease_journal(std::unique_ptr<impl> state) : impl_(std::move(state)) {}

result<std::unique_ptr<lease_journal>> lease_journal::open(std::unique_ptr<journal_storage> storage,
                                                           const netlab::clock& clock,
                                                           netlab::scheduler& scheduler, netlab::log log,
                                                           metrics& counters, lease_journal_options options) {
  auto state = std::make_unique<impl>(std::move(storage), clock, scheduler, log, counters, options);
  if (auto recovered = state->recover(); !recovered) return tl::unexpected(recovered.error());
  state->publish();
  std::unique_ptr<lease_journal> journal(new lease_journal(std::move(state)));
  auto& i = *journal->impl_;
  i.writer = std::thread([&i] { i.run(); });
  return journal;
}

lease_journal::~lease_journal() {
  *impl_->alive = false;
  if (!impl_->writer.joinable()) return;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->writer.join();
}

result<std::vector<lease>> lease_journal::load() {
  if (!impl_->loaded) return fail(errc::invalid, "the leases were already handed out", "lease_journal.load");
  auto out = std::move(*impl_->loaded);
  impl_->loaded.reset();
  return out;
}

void lease_journal::claim(lease next, done_fn done) {
  auto& i = *impl_;
  job j;
  j.result.current = std::move(next);
  j.done = std::move(done);
  j.written = i.clock.wall();
  j.offset = j.written.time_since_epoch() - i.clock.now().time_since_epoch();
  {
    std::unique_lock lock(i.mutex);
    if (i.queue.size() + i.in_flight.load(std::memory_order_relaxed) < i.options.max_waiting) {
      i.queue.push_back(std::move(j));
      const bool notify = i.sleeping;
      lock.unlock();
      if (notify) i.wake.notify_one();
      i.overloaded = false;
      return;
    }
  }
  j.result.what = outcome::kind::failed;
  j.result.reason = std::to_string(i.options.max_waiting) + " leases wait for the disk already";
  i.failed.add();
  if (!std::exchange(i.overloaded, true))
    i.log(messages::journal_overloaded, i.storage->name() + ": " + j.result.reason);
  std::vector<job> one;
  one.push_back(std::move(j));
  i.deliver(std::move(one));
}

void lease_journal::drain(std::function<void()> fn) {
  auto& i = *impl_;
  job j;
  j.drain = true;
  j.done = [run = std::move(fn)](outcome) { run(); };
  {
    std::lock_guard lock(i.mutex);
    i.queue.push_back(std::move(j));
    i.hurry = true;
  }
  i.wake.notify_one();
}

lease_journal::figures lease_journal::measure() const {
  const auto& i = *impl_;
  return {i.live.load(), i.file_bytes.load(), i.batches.load(), i.largest.load(), i.compactions.load()};
}

} // namespace netlab
