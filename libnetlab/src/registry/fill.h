#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/digest.h"
#include "netlab/transfer_plan.h"
#include "store.h"
#include "upstream.h"

namespace netlab::registry {

// One blob on its way into the cache: fetched once, however many ask for it, and to its end, whoever leaves.
// What is there of it can be read along, but for its last bytes, which wait until the whole is right. Owned
// by the proxy until it ends and by those who read along; one loop's thread.
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
    whole,   // right, and in the cache
    no_room, // neither the cache nor the disk can take it: who wants it has to be served without them
    failed,
  };
  phase state() const { return phase_; }
  std::uint64_t size() const { return size_; } // known unless asking or failed
  // How many bytes of the file may be read now.
  std::uint64_t readable() const;
  const std::shared_ptr<open_file>& file() const { return file_; }
  // Why it failed, and the upstream's status when that was the reason, else 0.
  const error& failure() const { return failure_; }
  int status() const { return status_; }
  std::optional<duration> retry_after() const { return retry_after_; }
  bool imported() const { return imported_; }
  const std::string& digest() const { return digest_; }
  const std::string& repository() const { return repository_; }
  upstream& from() { return from_; }

  // Who reads along holds the blob, so that it is not evicted while it is still read.
  void join();
  void leave();

  // Runs `fn` once, in a later turn, when there is more to read or the phase has changed.
  void wait(std::function<void()> fn) { waiting_.push_back(std::move(fn)); }

private:
  task<bool> run();
  // From the folder of an older cache.
  task<bool> import_it();
  bool take_head(int status, const http_headers& headers);
  void take(byte_view bytes);
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

  const runtime& world_;
  store& store_;
  upstream& from_;
  std::string repository_, digest_;
  checksum expected_;
  phase phase_ = phase::asking;
  std::uint64_t size_ = 0;
  parts::part* room_ = nullptr; // what it writes to; null before the run and after it
  std::size_t readers_ = 0;
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

// A blob as it grows, for one reply.
class fill_body final : public http_body {
public:
  explicit fill_body(std::shared_ptr<fill> of) : fill_(std::move(of)) {}
  std::uint64_t size() const override { return fill_->size(); }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) override;

private:
  std::shared_ptr<fill> fill_;
};

// A blob that goes straight from the upstream to one client, because there is no room for it here. The whole
// is compared with its digest before its last bytes leave; a part that the client asked for cannot be.
class straight_body final : public http_body, public std::enable_shared_from_this<straight_body> {
public:
  straight_body(const runtime& world, upstream& from, std::string repository, std::string digest,
                std::uint64_t size);
  std::uint64_t size() const override { return size_; }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) override;

private:
  void ask(std::uint64_t offset);
  task<bool> fetch(std::uint64_t offset);
  void tell();

  const runtime& world_;
  upstream& from_;
  std::string repository_, digest_;
  std::uint64_t size_;
  std::string held_;           // fetched and not read
  std::uint64_t position_ = 0; // of held_ in the blob
  std::optional<hasher> sum_;  // of a whole
  bool asked_ = false, right_ = false;
  std::optional<error> failure_;
  std::shared_ptr<exchange_control> control_ = std::make_shared<exchange_control>();
  std::function<void()> ready_;
  task_run<bool> run_;
};

} // namespace netlab::registry
