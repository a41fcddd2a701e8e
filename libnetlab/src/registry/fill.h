#pragma once
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/digest.h"
#include "netlab/http_server.h"
#include "netlab/transfer_plan.h"
#include "store.h"
#include "upstream.h"
#include "window.h"

namespace netlab::registry {

inline constexpr std::uint64_t withheld = 64u << 10; // the last bytes of what is not known to be right yet

// One blob on its way into the cache: fetched once, however many ask for it, and to its end, whoever leaves.
// What is there of it can be read along, but for its last bytes, which wait until the whole is right. When it
// turns out that it cannot be kept, who reads along gets the rest as it comes: the upstream then waits for
// the slowest of them, and it ends with the last. Owned by the proxy until it ends and by those who read
// along; one loop's thread.
class fill : public std::enable_shared_from_this<fill> {
public:
  fill(const runtime& world, store& into, upstream& from, std::string repository, std::string digest);

  // `ended` runs once, when nobody can join any more. Not inside start().
  void start(std::function<void(const std::shared_ptr<fill>&)> ended);

  // Ends it where it is; nobody is told. What is on the disk stays, to be gone on with.
  void stop();

  enum class phase {
    asking,  // the upstream has not answered yet
    growing, // readers may follow
    passing, // who followed gets the rest; the others have to be served without the cache and the disk
    whole,   // right, and in the cache
    no_room, // neither the cache nor the disk can take it: who wants it has to be served without them
    failed,
  };
  phase state() const { return phase_; }
  // Unknown while asking, and later as long as the upstream does not say it.
  std::optional<std::uint64_t> size() const;
  // How many bytes may be read now.
  std::uint64_t readable() const;
  // Why it failed, and the upstream's status when that was the reason, else 0.
  const error& failure() const { return failure_; }
  int status() const { return status_; }
  std::optional<duration> retry_after() const { return retry_after_; }
  bool imported() const { return imported_; }
  const std::string& digest() const { return digest_; }
  const std::string& repository() const { return repository_; }
  upstream& from() { return from_; }

  // Who reads, or is going to: where it is. It holds the blob, so that it is not evicted while it is read,
  // and when the rest is passed on, that waits for it. Nothing when it is too late for the beginning.
  // `reads`: false for who only wants to know how long it is.
  using reader = std::list<std::uint64_t>::iterator;
  std::optional<reader> join(bool reads = true);
  void leave(reader who);
  // As http_body::read().
  result<http_body::piece> read(reader who, std::uint64_t offset, std::uint64_t most,
                                std::function<void()> ready);

  // Runs `fn` once, in a later turn, when there is more to read or the phase has changed.
  void wait(std::function<void()> fn) { waiting_.push_back(std::move(fn)); }

private:
  task<bool> run();
  // From the folder of an older cache.
  task<bool> import_it();
  bool take_head(int status, const http_headers& headers);
  void take(byte_view bytes);
  // The first bytes of what is held go to the disk.
  void write(std::size_t bytes);
  void stop_for(error why);
  bool sha512() const { return expected_.algorithm == digest_algorithm::sha512; }
  // The part is of no use: it is emptied.
  result<void> start_over();
  void set(phase to);
  void tell();
  bool fail_with(error why, int status = 0);
  bool give_up();
  void conclude();
  void become_whole();
  void hold();
  // Room for the body up to that byte.
  bool claim(std::uint64_t end);
  // Bytes that have come, in the file and behind it.
  std::uint64_t come() const { return phase_ == phase::passing ? window_.end() : part_->bytes(); }
  bool measured() const { return size_ > 0 || phase_ == phase::whole || right_; }
  bool ended_well() const { return phase_ == phase::whole || right_; }
  // There is enough for readers to begin with.
  void show();
  // Nothing more is written: the rest is for those who read. False: there are none.
  bool pass_on(const error& why);
  void hand_over(byte_view bytes);
  // Those who read went on, or away.
  void advance();
  // Where the slowest of them is; http_body::unknown when there is none.
  std::uint64_t slowest() const;

  const runtime& world_;
  store& store_;
  upstream& from_;
  std::string repository_, digest_;
  checksum expected_;
  phase phase_ = phase::asking;
  std::uint64_t size_ = 0;
  parts::part* room_ = nullptr; // what it writes to; null before the run and after it
  std::string held_;            // came, and is not written yet
  window window_;               // behind the end of the file, when it is passed on
  bool right_ = false;          // passed on, and of the right digest
  bool over_ = false;           // the run has ended
  std::list<std::uint64_t> readers_;
  timer late_; // when it is, however little it is
  bool holding_ = false;
  std::uint64_t skip_ = 0; // bytes of the answer that are here already
  error failure_;
  int status_ = 0;
  std::optional<duration> retry_after_;
  std::shared_ptr<part_file> part_;
  std::shared_ptr<open_file> file_;
  transfer_part begun_;
  transfer_verdict verdict_;
  std::optional<error> trouble_; // with the disk, found while the body came
  std::shared_ptr<exchange_control> control_ = std::make_shared<exchange_control>();
  std::vector<std::function<void()>> waiting_;
  bool telling_ = false, imported_ = false;
  std::function<void(const std::shared_ptr<fill>&)> ended_;
  task_run<bool> run_;
};

} // namespace netlab::registry
