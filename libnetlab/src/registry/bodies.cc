#include "bodies.h"

#include <algorithm>
#include <utility>

#include "messages.h"
#include "netlab/oci.h"

namespace netlab::registry {

straight_body::straight_body(const runtime& world, upstream& from, std::string repository, std::string digest,
                             std::optional<std::uint64_t> size)
    : world_(world), from_(from), repository_(std::move(repository)), digest_(std::move(digest)),
      size_(size) {}

void straight_body::ask(std::uint64_t offset) {
  asked_ = true;
  window_ = window(offset);
  if (offset == 0) sum_.emplace(oci::parse_digest(digest_)->algorithm);
  run_ = task_run<bool>(fetch(offset), [raw = this](bool) { raw->tell(); });
  run_.start();
}

task<bool> straight_body::fetch(std::uint64_t offset) {
  query q;
  q.repository = from_.repository(repository_);
  q.path = "blobs/" + digest_;
  q.control = control_;
  q.attempts = 1;
  if (offset > 0) q.headers.emplace_back("Range", "bytes=" + std::to_string(offset) + "-");
  auto skip = std::make_shared<std::uint64_t>(0);
  q.on_head = [skip, offset](int status, const http_headers&) {
    if (status == 200) *skip = offset; // it does not do ranges: what is not wanted is dropped
    return status == 200 || status == 206;
  };
  q.on_body = [this, skip](byte_view bytes) {
    auto left_out = std::min<std::uint64_t>(*skip, bytes.size());
    *skip -= left_out;
    bytes = bytes.subspan(static_cast<std::size_t>(left_out));
    if (size_ && window_.end() + bytes.size() > *size_) {
      failure_ = error{errc::protocol, "the upstream sends more than it announced", "registry.straight"};
      return tell();
    }
    if (sum_) sum_->update(bytes);
    window_.take(bytes);
    if (window_.full()) control_->pause(true);
    tell();
  };
  auto asking = from_.ask(std::move(q));
  auto got = co_await asking;
  if (failure_) co_return false;
  if (!got || got->status >= 300 || (size_ && window_.end() != *size_)) {
    failure_ =
        got ? error{errc::closed, "the upstream did not send everything", "registry.straight"} : got.error();
    co_return false;
  }
  if (sum_ && sum_->finish() != *oci::parse_digest(digest_)) {
    world_.log(msg_wrong_digest, from_.config().name + "/" + repository_ + " sends something else for " +
                                     digest_ + "; it was not served to its end");
    failure_ =
        error{errc::conflict, "the upstream sent something else under this digest", "registry.straight"};
    co_return false;
  }
  right_ = true;
  co_return true;
}

void straight_body::tell() {
  if (!ready_) return;
  world_.scheduler.post(std::exchange(ready_, nullptr));
}

result<http_body::piece> straight_body::read(std::uint64_t offset, std::uint64_t most,
                                             std::function<void()> ready) {
  if (!asked_) ask(offset);
  piece out;
  // The end of what cannot be taken back waits until the whole is known to be right.
  std::uint64_t keep = right_ || !sum_ ? 0 : withheld;
  auto here = window_.end() - window_.begin();
  auto free = here > keep ? here - keep : 0;
  if (failure_) return tl::unexpected(*failure_);
  if (free > 0) {
    out.bytes = window_.read(window_.begin(), std::min(most, free));
    window_.let_go(window_.begin() + out.bytes.size());
    if (window_.low()) control_->pause(false);
  }
  out.last = right_ && window_.begin() == window_.end();
  if (out.bytes.empty() && !out.last) ready_ = std::move(ready);
  return out;
}

} // namespace netlab::registry
