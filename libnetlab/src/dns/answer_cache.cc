#include "answer_cache.h"

#include <algorithm>
#include <bit>
#include <new>

namespace netlab::dns {

namespace {

constexpr std::size_t allocator_cost = 16;

// Multiply and fold: the whole 128-bit product, so that every bit of the input reaches every bit.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using wide = unsigned __int128;
  auto product = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

} // namespace

answer_cache::answer_cache(std::size_t max_bytes, std::uint64_t seed) : max_bytes_(max_bytes), seed_(seed) {
  auto buckets = std::bit_ceil(std::max<std::size_t>(64, max_bytes / typical_answer));
  mask_ = buckets - 1;
  buckets_ = std::make_unique<cached_answer*[]>(buckets);
}

answer_cache::~answer_cache() { clear(); }

std::uint64_t answer_cache::hash(byte_view qname, std::uint16_t type) const {
  auto at = qname.data();
  auto left = qname.size();
  std::uint64_t h = seed_ ^ std::uint64_t{type} << 32;
  while (left >= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    h = mix(h ^ word, 0x9e3779b97f4a7c15ull);
    at += 8;
    left -= 8;
  }
  std::uint64_t word = 0;
  std::memcpy(&word, at, left);
  return mix(h ^ word, 0xd6e8feb86659fd93ull ^ qname.size());
}

answer_cache::owned answer_cache::make(const cache_key& key, std::uint64_t hash, byte_view body,
                                       const std::vector<std::uint16_t>& ttl_offsets) const {
  auto size = sizeof(cached_answer) + ttl_offsets.size() * 2 + key.qname.size() + body.size();
  owned out(new (::operator new(size)) cached_answer);
  out->hash = hash;
  out->size = static_cast<std::uint32_t>(size + allocator_cost);
  out->type = key.type;
  out->group = key.group;
  out->bits = key.bits;
  out->qname_size = static_cast<std::uint16_t>(key.qname.size());
  out->ttl_count = static_cast<std::uint16_t>(ttl_offsets.size());
  out->body_size = static_cast<std::uint16_t>(body.size());
  auto* to = reinterpret_cast<std::uint8_t*>(out.get() + 1);
  if (!ttl_offsets.empty()) std::memcpy(to, ttl_offsets.data(), ttl_offsets.size() * 2);
  to += ttl_offsets.size() * 2;
  std::memcpy(to, key.qname.data(), key.qname.size());
  to += key.qname.size();
  if (!body.empty()) std::memcpy(to, body.data(), body.size());
  return out;
}

cached_answer* answer_cache::put(owned& answer) {
  if (answer->size > max_bytes_) return nullptr;
  cache_key key{answer->qname(), answer->type, answer->group, answer->bits};
  auto** link = &buckets_[answer->hash & mask_];
  for (; *link; link = &(*link)->next)
    if (find(key, answer->hash) == *link) {
      remove(link);
      break;
    }
  make_room(answer->size);
  auto*& head = buckets_[answer->hash & mask_];
  auto* e = answer.release();
  e->next = head;
  head = e;
  bytes_ += e->size;
  ++count_;
  return e;
}

void answer_cache::remove(cached_answer** link) {
  auto* e = *link;
  *link = e->next;
  bytes_ -= e->size;
  --count_;
  deleter{}(e);
}

void answer_cache::make_room(std::size_t bytes) {
  while (bytes_ + bytes > max_bytes_ && count_ > 0) {
    for (auto** link = &buckets_[hand_]; *link;) {
      if ((*link)->referenced) {
        (*link)->referenced = false;
        link = &(*link)->next;
      } else {
        remove(link);
      }
    }
    hand_ = (hand_ + 1) & mask_;
  }
}

void answer_cache::clear() {
  for (std::size_t i = 0; i <= mask_; ++i)
    while (buckets_[i]) remove(&buckets_[i]);
}

} // namespace netlab::dns
