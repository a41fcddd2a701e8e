#pragma once
#include <array>
#include <cstddef>
#include <memory_resource>
#include <new>

namespace netlab::dns {

// Memory for the nodes of hash tables that grow and shrink with every question: what one node gives back, the
// next one of its size takes, in two steps where the heap needs fifty. It keeps at most `most_kept` of each
// size, so that a burst does not hold memory for ever. One thread; outlives the tables that use it.
class node_pool final : public std::pmr::memory_resource {
public:
  node_pool() = default;
  ~node_pool() override {
    for (auto& of_size : free_)
      while (auto* taken = of_size.take()) ::operator delete(taken);
  }
  node_pool(const node_pool&) = delete;
  node_pool& operator=(const node_pool&) = delete;

private:
  static constexpr std::size_t step = 64, sizes = 17; // up to 1 KiB; tables of buckets are larger
#ifdef __SANITIZE_ADDRESS__
  static constexpr std::size_t most_kept = 0; // the sanitizer sees who uses what is gone
#else
  static constexpr std::size_t most_kept = 512;
#endif
  struct hole {
    hole* next;
  };
  struct holes {
    hole* first = nullptr;
    std::size_t count = 0;
    hole* take() {
      auto* out = first;
      if (!out) return nullptr;
      first = out->next;
      --count;
      return out;
    }
  };
  static std::size_t place(std::size_t bytes) { return (bytes + step - 1) / step; }

  void* do_allocate(std::size_t bytes, std::size_t) override {
    auto at = place(bytes);
    if (at >= sizes) return ::operator new(bytes);
    if (auto* again = free_[at].take()) return again;
    return ::operator new(at* step);
  }
  void do_deallocate(void* gone, std::size_t bytes, std::size_t) override {
    auto at = place(bytes);
    if (at >= sizes || free_[at].count >= most_kept) return ::operator delete(gone);
    free_[at].first = new (gone) hole{free_[at].first};
    ++free_[at].count;
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::array<holes, sizes> free_;
};

} // namespace netlab::dns
