#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "netlab/clock.h"
#include "wire.h"

namespace netlab::dns {

// What an answer is for. The name is in lower case.
struct cache_key {
  byte_view qname;
  std::uint16_t type = 0;
  std::uint8_t group = 0; // of upstreams: what one says is never told as another's
  std::uint8_t bits = 0;  // DO and CD, which change the answer
};

// One answer in the form in which it is sent: the bytes behind the question, where every compression pointer
// to the question stays true because the question always has this length. Made by answer_cache only.
struct cached_answer {
  cached_answer* next = nullptr; // of its bucket
  std::uint64_t hash = 0;
  boot_time stored{};
  std::uint64_t checked_generation = 0; // the snapshot whose names and filters it passed,
  std::uint32_t passed_policies = 0;    // for these policies
  std::uint32_t ttl = 0;                // seconds from `stored`
  std::uint32_t size = 0;               // of everything
  std::uint16_t type = 0, qname_size = 0, ttl_count = 0, body_size = 0;
  std::uint16_t counts[3] = {0, 0, 0}; // answer, authority, additional
  std::uint16_t flags = 0;             // AA, AD and the rcode
  std::uint8_t group = 0, bits = 0;
  bool referenced = false;  // since the clock's hand last passed
  bool local_start = false; // begins with a CNAME of the recipe, so that it is good for one snapshot only
  bool aliased = false;     // holds a CNAME, whose target filters look at
  bool renewing = false;
  std::uint8_t hits = 0;

  // Behind the struct: TTL offsets (from the body's start), the name, the body.
  const std::uint16_t* ttl_offsets() const { return reinterpret_cast<const std::uint16_t*>(this + 1); }
  byte_view qname() const {
    return {reinterpret_cast<const std::uint8_t*>(ttl_offsets() + ttl_count), qname_size};
  }
  byte_view body() const { return {qname().data() + qname_size, body_size}; }
  boot_time expires() const { return stored + std::chrono::seconds(ttl); }
};

// Answers by question, in at most so many bytes. When they are full, what was not asked for lately goes
// first (the clock algorithm). One thread.
class answer_cache {
public:
  // `seed` keeps outsiders from choosing names that fall into one bucket.
  answer_cache(std::size_t max_bytes, std::uint64_t seed);
  ~answer_cache();
  answer_cache(const answer_cache&) = delete;
  answer_cache& operator=(const answer_cache&) = delete;

  // The same for every group and for all bits, so that it is known before they are.
  std::uint64_t hash(byte_view qname, std::uint16_t type) const;
  std::uint64_t hash(const cache_key& key) const { return hash(key.qname, key.type); }
  // Three steps of looking ahead, each for all names of a batch before the next: what a step reads has been
  // fetched by the one before it.
  void fetch_bucket(std::uint64_t hash) const { __builtin_prefetch(&buckets_[hash & mask_]); }
  void fetch_answer(std::uint64_t hash) const {
    const auto* e = reinterpret_cast<const std::uint8_t*>(buckets_[hash & mask_]);
    if (!e) return;
    for (std::size_t line = 0; line < typical_answer; line += 64) __builtin_prefetch(e + line);
  }
  bool may_hold(std::uint64_t hash) const {
    for (const auto* e = buckets_[hash & mask_]; e; e = e->next)
      if (e->hash == hash) return true;
    return false;
  }
  cached_answer* find(const cache_key& key, std::uint64_t hash) const {
    for (auto* e = buckets_[hash & mask_]; e; e = e->next)
      if (e->hash == hash && e->type == key.type && e->group == key.group && e->bits == key.bits &&
          e->qname_size == key.qname.size() &&
          std::memcmp(e->qname().data(), key.qname.data(), key.qname.size()) == 0)
        return e;
    return nullptr;
  }
  // The answer, of whatever group, that was found good for this policy under this snapshot. There is at most
  // one: a snapshot sends a name to one group only.
  cached_answer* find_passed(const cache_key& key, std::uint64_t hash, std::uint64_t generation,
                             std::uint8_t policy) const {
    for (auto* e = buckets_[hash & mask_]; e; e = e->next)
      if (e->hash == hash && e->checked_generation == generation && (e->passed_policies >> policy & 1) != 0 &&
          e->type == key.type && e->bits == key.bits && e->qname_size == key.qname.size() &&
          std::memcmp(e->qname().data(), key.qname.data(), key.qname.size()) == 0)
        return e;
    return nullptr;
  }
  struct deleter {
    void operator()(cached_answer* e) const { ::operator delete(e); }
  };
  using owned = std::unique_ptr<cached_answer, deleter>;
  // An answer that is not in the cache. `ttl_offsets` count from the body's start.
  owned make(const cache_key& key, std::uint64_t hash, byte_view body,
             const std::vector<std::uint16_t>& ttl_offsets) const;
  // Takes the place of an earlier answer to the same question; returns where it lives now, or null when one
  // answer alone is too large to be kept, in which case `answer` is untouched.
  cached_answer* put(owned& answer);
  void clear();
  template<class F>
  void each(F fn) const {
    for (std::size_t i = 0; i <= mask_; ++i)
      for (const auto* e = buckets_[i]; e; e = e->next) fn(*e);
  }
  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return count_; }

private:
  static constexpr std::size_t typical_answer = 256; // bytes; decides how many buckets there are

  void remove(cached_answer** link);
  void make_room(std::size_t bytes);

  std::size_t max_bytes_, bytes_ = 0, count_ = 0;
  std::uint64_t seed_, mask_ = 0;
  std::size_t hand_ = 0;
  std::unique_ptr<cached_answer*[]> buckets_;
};

} // namespace netlab::dns
