#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "netlab/lease.h"
#include "netlab/log.h"
#include "netlab/metrics.h"
#include "netlab/result.h"

namespace netlab {

// One open journal. Used by one thread at a time. A write that was not followed by a successful sync()
// may be lost, whole or in part, when the power goes.
class journal_file {
public:
  virtual ~journal_file() = default;
  virtual result<std::uint64_t> size() = 0;
  // Fills `out` from `offset`; fewer bytes only at the end of the file.
  virtual result<std::size_t> read(std::uint64_t offset, byte_span out) = 0;
  // Writes at `offset`, which is the end of what is there. After an error any part may be there.
  virtual result<void> append(std::uint64_t offset, byte_view bytes) = 0;
  virtual result<void> sync() = 0;
  virtual result<void> truncate(std::uint64_t size) = 0;
};

// Where a journal lives: its file, the replacement that a compaction writes, and the lock that keeps a
// second process away for as long as this object lives. Injected, so that tests own power cuts, slow
// syncs and full disks.
class journal_storage {
public:
  virtual ~journal_storage() = default;
  virtual std::string name() const = 0; // for messages
  // The journal; made empty when there is none. errc::conflict when another process holds it.
  virtual result<std::unique_ptr<journal_file>> open() = 0;
  // A new, empty file beside the journal; what an earlier attempt left is dropped.
  virtual result<std::unique_ptr<journal_file>> make_replacement() = 0;
  // Puts the replacement in the journal's place at once. Not durable before sync_folder().
  virtual result<void> replace() = 0;
  virtual result<void> sync_folder() = 0;
};

// Files on a disk: `path`, `path`.new while compacting, and `path`.lock, which names the holder's pid.
// Makes missing folders.
std::unique_ptr<journal_storage> make_journal_storage(std::string path);

struct lease_journal_options {
  // A new file is written when the journal is larger than both.
  std::uint64_t compact_above = 1u << 20; // bytes
  unsigned compact_factor = 4;            // times what the live records need
  // Bytes of a compaction between two batches of claims: bounds how long a claim may wait for it.
  std::size_t compact_step = 256u << 10;
  // Under load a group is begun this long after the one before at the earliest. A fast disk would make many
  // small groups, each with its system calls and wake-ups; a claim waits for it only when the group before
  // had several, so a single client never does.
  duration group_time = std::chrono::milliseconds(1);
  // Claims that may wait for the disk; more fail at once, so that a hung disk cannot eat the memory.
  std::size_t max_waiting = 1u << 18;
};

// Leases in one append-only file; the embedded default behind lease_store.
//
// A claim is queued by the loop's thread. One writer thread takes all that is queued, writes it with one
// write and one sync, and posts one completion that runs the callbacks in the order of the claims: the
// group grows with the disk's latency, so the rate does not fall with it. Versions are compared by the
// writer, in queue order, against what is durable or ahead in the same batch.
//
// Failure: when a write or sync fails, the file is cut back to the last durable record and every claim of
// that batch gets outcome::failed; later claims try the disk again. A claim is acknowledged only after a
// successful sync, and never silently lost after that.
//
// Reading: each record carries a checksum over a secret of the file, its own offset and its bytes, so that
// neither a stale block nor bytes that a client put into its own identifier can pass for a record. A torn
// tail is cut off. After damage in the middle, reading goes on at the next record that checks out; of each
// address the highest version wins. Both are reported (NL-STORE-001, -002), neither stops the start.
// Refused at open: another holder (errc::conflict), a newer format (errc::unsupported), and a file whose
// two header copies are both unreadable (errc::invalid): it may be somebody else's file.
//
// Two clocks: a record says what the wall clock showed when it was written. When the wall clock steps
// against boot time, the step is journaled and moves every earlier record's `starts` and `expires` with
// it. When at open the wall clock is behind the last record (a Raspberry Pi without RTC), or the last
// record was written by a clock that had obviously never been set and now is, the time in between is
// unknown and counts as none: what remains of a lease is `expires` minus the last record's time. A lease
// may so live longer than promised, never shorter.
//
// Owned and called by one loop's thread. Ends with its destructor, which writes what is still queued and
// joins the writer; callbacks that have not run by then never run.
class lease_journal final : public lease_store {
public:
  // Locks, reads and recovers. Blocks on the disk: call at start. `clock`, `scheduler` and what `log` and
  // `counters` refer to must outlive the journal.
  static result<std::unique_ptr<lease_journal>> open(std::unique_ptr<journal_storage> storage,
                                                     const netlab::clock& clock, netlab::scheduler& scheduler,
                                                     netlab::log log, metrics& counters,
                                                     lease_journal_options options = {});
  ~lease_journal() override;

  result<std::vector<lease>> load() override; // frees what it returns: a second call is errc::invalid
  void claim(lease next, done_fn done) override;
  void drain(std::function<void()> fn) override;

  struct figures {
    std::uint64_t live = 0;        // addresses with a record
    std::uint64_t file_bytes = 0;  // of the journal now
    std::uint64_t batches = 0;     // syncs that carried claims
    std::uint64_t largest = 0;     // claims in one batch
    std::uint64_t compactions = 0; // finished
  };
  figures measure() const; // any thread

private:
  struct impl;
  explicit lease_journal(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

} // namespace netlab
