#include "parts.h"

namespace netlab::registry {

parts::part& parts::take(const std::string& name) {
  auto& p = all_[name];
  p.name = name;
  p.busy = true;
  return p;
}

void parts::claim(part& p, std::uint64_t bytes) {
  claimed_ += bytes - p.claimed;
  p.claimed = bytes;
}

void parts::rest(const std::string& name, std::uint64_t written, wall_time used) {
  auto& p = take(name);
  claim(p, written);
  p.written = written;
  p.used = used;
  p.busy = false;
}

void parts::drop(const std::string& name) {
  auto found = all_.find(name);
  if (found == all_.end()) return;
  claimed_ -= found->second.claimed;
  all_.erase(found);
}

const parts::part* parts::oldest(const std::function<bool(const part&)>& may) const {
  const part* out = nullptr;
  for (const auto& [name, p] : all_)
    if (!p.busy && (!out || p.used < out->used) && may(p)) out = &p;
  return out;
}

std::uint64_t parts::busy() const {
  std::uint64_t out = 0;
  for (const auto& [name, p] : all_) out += p.busy ? p.claimed : 0;
  return out;
}

std::uint64_t parts::written() const {
  std::uint64_t out = 0;
  for (const auto& [name, p] : all_) out += p.written;
  return out;
}

} // namespace netlab::registry
