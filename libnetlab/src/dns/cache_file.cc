#include <algorithm>
#include <string>

#include "engine_impl.h"
#include "message_writer.h"
#include "netlab/digest.h"

// The cache across restarts. Each answer is kept as the message that it is, so that reading one back takes
// the way of any message from outside: nothing in the file is believed.

namespace netlab::dns {

namespace {

constexpr std::string_view cache_magic = "netlab dns cache 1\n";
constexpr std::size_t entry_head = 14; // size 4, seconds left 4, group 1, bits 1, flags 2, reserved 2

std::uint64_t read64(const std::uint8_t* at) { return std::uint64_t{get32(at)} << 32 | get32(at + 4); }
void write64(std::uint8_t* at, std::uint64_t value) {
  put32(at, static_cast<std::uint32_t>(value >> 32));
  put32(at + 4, static_cast<std::uint32_t>(value));
}

std::int64_t wall_seconds(wall_time wall) {
  return std::chrono::floor<std::chrono::seconds>(wall).time_since_epoch().count();
}

} // namespace

// Answers belong to the upstreams that gave them.
std::uint64_t engine::impl::upstreams_mark() const {
  std::string all;
  for (const auto& g : config.groups) {
    for (const auto& u : g.members) all += u.text + "\n";
    all += "\n";
  }
  all += config.dnssec.validate ? "v" : "-";
  auto digest = sha256_of(as_bytes(all));
  return read64(digest.data());
}

byte_vector engine::impl::save_cache(boot_time now, wall_time wall) const {
  byte_vector out(as_bytes(cache_magic).begin(), as_bytes(cache_magic).end());
  std::uint8_t head[16];
  write64(head, upstreams_mark());
  write64(head + 8, static_cast<std::uint64_t>(wall_seconds(wall)));
  out.insert(out.end(), head, head + sizeof head);
  cache.each([&](const cached_answer& e) {
    if (e.local_start || e.expires() <= now) return;
    auto age = static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(now - e.stored).count());
    auto qname = e.qname();
    auto size = header_size + qname.size() + 4 + e.body_size;
    auto at = out.size();
    out.resize(at + entry_head + size);
    auto* p = out.data() + at;
    put32(p, static_cast<std::uint32_t>(size));
    put32(p + 4, e.ttl - age);
    p[8] = e.group;
    p[9] = e.bits;
    put16(p + 10, e.flags);
    p += entry_head;
    put16(p + 4, 1);
    for (std::size_t i = 0; i < 3; ++i) put16(p + 6 + 2 * i, e.counts[i]);
    std::memcpy(p + header_size, qname.data(), qname.size());
    put16(p + header_size + qname.size(), e.type);
    put16(p + header_size + qname.size() + 2, class_in);
    auto* body = p + header_size + qname.size() + 4;
    if (e.body_size > 0) std::memcpy(body, e.body().data(), e.body_size);
    for (std::size_t i = 0; i < e.ttl_count; ++i) {
      auto* ttl = body + e.ttl_offsets()[i];
      auto left = get32(ttl);
      put32(ttl, left > age ? left - age : 0);
    }
  });
  auto digest = sha256_of(out);
  out.insert(out.end(), digest.begin(), digest.end());
  return out;
}

std::size_t engine::impl::load_cache(byte_view saved, boot_time now, wall_time wall) {
  constexpr std::size_t digest_size = 32;
  if (saved.size() < cache_magic.size() + 16 + digest_size) return 0;
  auto content = saved.first(saved.size() - digest_size);
  if (as_text(content.first(cache_magic.size())) != cache_magic) return 0;
  auto digest = sha256_of(content);
  if (!std::ranges::equal(digest, saved.last(digest_size))) return 0;
  content = content.subspan(cache_magic.size());
  if (read64(content.data()) != upstreams_mark()) return 0;
  auto away = wall_seconds(wall) - static_cast<std::int64_t>(read64(content.data() + 8));
  if (away < 0 || away > 0x7fffffff) return 0;
  auto gone = static_cast<std::uint32_t>(away);
  content = content.subspan(16);
  std::size_t taken = 0;
  while (content.size() >= entry_head) {
    std::size_t size = get32(content.data());
    if (size > content.size() - entry_head) break;
    auto left = get32(content.data() + 4);
    auto group = content[8], bits = content[9];
    auto flags = get16(content.data() + 10);
    auto m = decode(content.subspan(entry_head, size));
    content = content.subspan(entry_head + size);
    if (!m || m->questions.size() != 1 || left <= gone || group >= config.groups.size() || bits > 3) continue;
    open_question q;
    q.qname = m->questions[0].qname.lower();
    q.type = m->questions[0].type;
    q.group = group;
    q.bits = bits;
    q.hash = cache.hash(q.key());
    reply_chain chain;
    for (auto* section : {&m->answers, &m->authorities})
      for (auto& r : *section) r.ttl = r.ttl > gone ? r.ttl - gone : 0;
    chain.answers = std::move(m->answers);
    chain.authorities = std::move(m->authorities);
    chain.rcode = flags & flag::rcode_mask;
    chain.authentic = (flags & flag::ad) != 0;
    chain.negative = std::none_of(chain.answers.begin(), chain.answers.end(),
                                  [&](const record& r) { return r.type == q.type; });
    chain.ttl = left - gone;
    auto made = make_answer(q, chain, now);
    // It has not been looked at under the rules that hold now.
    made->checked_generation = 0;
    if (made->ttl > 0 && cache.put(made)) ++taken;
  }
  return taken;
}

} // namespace netlab::dns
