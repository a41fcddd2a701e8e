#include "pulls.h"

#include <algorithm>

namespace netlab::registry {

namespace {
constexpr std::size_t most_open = 4096; // more clients at a time than that share the oldest's place
}

pull_journal::record& pull_journal::open(const ip_address& client, const std::string& repository,
                                         std::string_view tag, boot_time now) {
  auto it = open_.find(by_name::view{client, repository});
  if (it == open_.end()) {
    if (open_.size() >= most_open) open_.erase(open_.begin());
    it = open_.try_emplace(key{client, repository}).first;
    it->second.begun = now;
    it->second.so_far.client = client;
  }
  auto& r = it->second;
  if (r.tag.empty() && !tag.empty()) r.tag = tag;
  r.last = now;
  return r;
}

void pull_journal::count(record& r, const part& what) {
  if (!what.reason.empty()) {
    r.so_far.completed = false;
    r.so_far.reason = what.reason;
  }
  if (!what.counts) return;
  ++r.so_far.requests;
  r.so_far.bytes += what.bytes;
  if (what.hit) {
    ++r.so_far.hits;
    r.so_far.cached_bytes += what.bytes;
  }
}

void pull_journal::begin(const ip_address& client, const std::string& repository, std::string_view tag,
                         boot_time now) {
  ++open(client, repository, tag, now).active;
}

void pull_journal::add(const ip_address& client, const std::string& repository, std::string_view tag,
                       const part& what, boot_time now) {
  count(open(client, repository, tag, now), what);
}

void pull_journal::end(const ip_address& client, const std::string& repository, const part& what,
                       boot_time now) {
  auto found = open_.find(by_name::view{client, repository});
  if (found == open_.end()) return;
  auto& r = found->second;
  if (r.active > 0) --r.active;
  r.last = now;
  count(r, what);
}

std::vector<pull> pull_journal::finished(boot_time now) {
  std::vector<pull> out;
  for (auto it = open_.begin(); it != open_.end();) {
    auto& r = it->second;
    if (r.active > 0 || now - r.last < rest) {
      ++it;
      continue;
    }
    if (r.so_far.requests > 0 || !r.so_far.reason.empty()) {
      r.so_far.image = it->first.second;
      if (!r.tag.empty()) r.so_far.image += (r.tag.find(':') == std::string::npos ? ":" : "@") + r.tag;
      r.so_far.elapsed = r.last - r.begun;
      out.push_back(std::move(r.so_far));
    }
    it = open_.erase(it);
  }
  return out;
}

} // namespace netlab::registry
