#include "index.h"

#include <utility>

namespace netlab::registry {

bool cache_index::may_go(const digest& d, const entry& e) const {
  if (e.pins > 0 || e.holds > 0) return false;
  auto above = parents_.find(d);
  return above == parents_.end() || above->second.empty();
}

void cache_index::queue(const digest& d) {
  auto found = entries_.find(d);
  if (found == entries_.end()) return;
  auto& e = found->second;
  unqueue(d, e);
  e.queued = e.used;
  if (may_go(d, e)) order_.insert(key(d, e));
}

void cache_index::link(const digest& parent, const std::vector<std::string>& children) {
  for (const auto& child : children) {
    if (child == parent) continue;
    parents_[child].insert(parent);
    queue(child);
  }
}

void cache_index::unlink(const digest& parent, const std::vector<std::string>& children) {
  for (const auto& child : children) {
    auto found = parents_.find(child);
    if (found == parents_.end()) continue;
    found->second.erase(parent);
    if (found->second.empty()) parents_.erase(found);
    queue(child);
  }
}

void cache_index::add_blob(const digest& d, std::uint64_t size, wall_time used) {
  auto& e = entries_[d];
  unqueue(d, e);
  bytes_ += size - e.size;
  e.size = size;
  e.used = used;
  e.pins = pins_.contains(d) ? 1 : 0;
  queue(d);
}

void cache_index::add_manifest(const digest& d, std::uint64_t size, std::string media_type,
                               std::vector<std::string> children, wall_time used) {
  auto& e = entries_[d];
  unqueue(d, e);
  e.manifest = true;
  add_blob(d, size, used);
  auto before = std::exchange(e.children, std::move(children));
  e.media_type = std::move(media_type);
  unlink(d, before);
  link(d, e.children);
}

const cache_index::entry* cache_index::find(const digest& d) const {
  auto found = entries_.find(d);
  return found == entries_.end() ? nullptr : &found->second;
}

void cache_index::touch(const digest& d, wall_time now) {
  auto found = entries_.find(d);
  if (found != entries_.end()) found->second.used = now;
}

void cache_index::hold(const digest& d) {
  auto found = entries_.find(d);
  if (found == entries_.end()) return;
  ++found->second.holds;
  queue(d);
}

void cache_index::release(const digest& d) {
  auto found = entries_.find(d);
  if (found == entries_.end() || found->second.holds == 0) return;
  --found->second.holds;
  queue(d);
}

void cache_index::pin(const digest& d) {
  pins_.insert(d);
  auto found = entries_.find(d);
  if (found == entries_.end()) return;
  found->second.pins = 1;
  queue(d);
}

void cache_index::unpin(const digest& d) {
  pins_.erase(d);
  auto found = entries_.find(d);
  if (found == entries_.end()) return;
  found->second.pins = 0;
  queue(d);
}

void cache_index::remove(const digest& d) {
  auto found = entries_.find(d);
  if (found == entries_.end()) return;
  unqueue(d, found->second);
  bytes_ -= found->second.size;
  auto children = std::move(found->second.children);
  entries_.erase(found);
  unlink(d, children);
  if (auto tags = tagged_.find(d); tags != tagged_.end()) {
    auto all = tags->second;
    for (const auto& [repository, name] : all) remove_tag(repository, name);
  }
}

void cache_index::set_tag(const std::string& repository, const std::string& name, tag to) {
  auto& held = tags_[repository][name];
  if (held.digest != to.digest) {
    if (!held.digest.empty()) tagged_[held.digest].erase({repository, name});
    tagged_[to.digest].insert({repository, name});
    changed_.insert(repository);
  } else {
    to.changed = held.changed;
  }
  held = std::move(to);
}

void cache_index::remove_tag(const std::string& repository, std::string_view name) {
  auto of = tags_.find(repository);
  if (of == tags_.end()) return;
  auto found = of->second.find(name);
  if (found == of->second.end()) return;
  if (auto tags = tagged_.find(found->second.digest); tags != tagged_.end()) {
    tags->second.erase({repository, std::string(name)});
    if (tags->second.empty()) tagged_.erase(tags);
  }
  of->second.erase(found);
  if (of->second.empty()) tags_.erase(of);
  changed_.insert(repository);
}

cache_index::tag* cache_index::find_tag(const std::string& repository, std::string_view name) {
  auto of = tags_.find(repository);
  if (of == tags_.end()) return nullptr;
  auto found = of->second.find(name);
  return found == of->second.end() ? nullptr : &found->second;
}

std::set<std::string> cache_index::take_changed() { return std::exchange(changed_, {}); }

std::vector<cache_index::evicted> cache_index::evict(std::uint64_t goal) {
  std::vector<evicted> out;
  while (bytes_ > goal && !order_.empty()) {
    auto going = std::get<digest>(*order_.begin());
    const auto& e = entries_.at(going);
    if (e.used != e.queued) {
      queue(going);
      continue;
    }
    out.push_back({going, e.size, e.manifest});
    remove(going);
  }
  return out;
}

std::vector<cache_index::digest> cache_index::parents(const digest& d) const {
  auto found = parents_.find(d);
  if (found == parents_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

} // namespace netlab::registry
