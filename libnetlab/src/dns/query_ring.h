#pragma once
#include <algorithm>
#include <atomic>
#include <memory>

#include "query_row.h"

namespace netlab::dns {

// Rows on their way from one worker to the log's thread: one writer, one reader, no lock. A row that does
// not fit is counted and lost.
class query_ring {
public:
  // `capacity`: a power of two, at least 4096.
  explicit query_ring(std::size_t capacity)
      : capacity_(capacity), bytes_(new std::uint8_t[capacity + max_row]) {}

  // The writer's: how many bytes are in the ring now, or 0 when the row was lost.
  std::size_t put(const query_row& head, byte_view client, byte_view name) {
    auto begin = written_.load(std::memory_order_relaxed);
    if (begin + max_row - seen_ > capacity_) {
      seen_ = taken_.load(std::memory_order_acquire);
      if (begin + max_row - seen_ > capacity_) {
        lost_.fetch_add(1, std::memory_order_relaxed);
        return 0;
      }
    }
    // A row lies in one piece: the ring has room for the last one behind its end.
    auto* at = bytes_.get() + (begin & (capacity_ - 1));
    std::memcpy(at, &head, sizeof head);
    if (!client.empty()) std::memcpy(at + sizeof head, client.data(), client.size());
    if (!name.empty()) std::memcpy(at + sizeof head + client.size(), name.data(), name.size());
    auto used = sizeof head + client.size() + name.size();
    std::memset(at + used, 0, head.size - used);
    auto end = next(begin, head.size);
    written_.store(end, std::memory_order_release);
    // What the reader took is looked up only when it matters: its word is in another core's cache.
    if (end - seen_ > capacity_ / 2) seen_ = taken_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(end - seen_);
  }

  // The reader's: calls `fn(row)` for what is there; returns whether there was anything.
  template<class F>
  bool take(F fn) {
    auto at = taken_.load(std::memory_order_relaxed);
    auto end = written_.load(std::memory_order_acquire);
    if (at == end) return false;
    while (at != end) {
      auto* row = bytes_.get() + (at & (capacity_ - 1));
      query_row head;
      std::memcpy(&head, row, sizeof head);
      fn(head, row);
      at = next(at, head.size);
    }
    taken_.store(end, std::memory_order_release);
    return true;
  }

  // Rows lost since the last call; the reader's.
  std::uint64_t take_lost() { return lost_.exchange(0, std::memory_order_relaxed); }

private:
  // What would begin behind the end begins at the front: positions never point into the spare room.
  std::uint64_t next(std::uint64_t at, std::size_t size) const {
    auto offset = (at & (capacity_ - 1)) + size;
    return offset < capacity_ ? at + size : at - (at & (capacity_ - 1)) + capacity_;
  }

  std::size_t capacity_;
  std::unique_ptr<std::uint8_t[]> bytes_;
  alignas(64) std::atomic<std::uint64_t> written_{0};
  std::uint64_t seen_ = 0; // what the writer last saw of taken_
  std::atomic<std::uint64_t> lost_{0};
  alignas(64) std::atomic<std::uint64_t> taken_{0};
};

} // namespace netlab::dns
