#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "netlab/clock.h"

namespace netlab::registry {

// What the cache holds, who needs what, and what goes first when room is needed. Contents are named by their
// digest; a manifest keeps what it lists alive, so that an image goes as a whole or stays as a whole. No
// files, no clock: one thread's plain data.
class cache_index {
public:
  struct entry {
    std::uint64_t size = 0;
    bool manifest = false;
    std::string media_type;            // of a manifest
    std::vector<std::string> children; // of a manifest: what it lists, held or not
    wall_time used{};
    wall_time queued{}; // what it stands for in the order of leaving: `used`, or an earlier use
    unsigned pins = 0;  // the operator wants it kept
    unsigned holds = 0; // being read or used by somebody now
  };
  struct tag {
    std::string digest;
    wall_time changed{};
    // When the upstream last said that this is the tag's digest; since this process began.
    boot_time checked{};
    bool fresh = false; // `checked` means something
  };
  using digest = std::string; // "sha256:…"

  // Replaces an entry with that digest; pins, holds and references stay.
  void add_blob(const digest& d, std::uint64_t size, wall_time used);
  void add_manifest(const digest& d, std::uint64_t size, std::string media_type,
                    std::vector<std::string> children, wall_time used);
  const entry* find(const digest& d) const;
  void touch(const digest& d, wall_time now);
  void hold(const digest& d);
  void release(const digest& d);
  // A pin is a digest's, held or not.
  void pin(const digest& d);
  void unpin(const digest& d);
  bool pinned(const digest& d) const { return pins_.contains(d); }
  // The entry and, of a manifest, the tags that lead to it.
  void remove(const digest& d);

  // Images by "registry/repository", then tag.
  using tags_of = std::map<std::string, tag, std::less<>>;
  void set_tag(const std::string& repository, const std::string& name, tag to);
  void remove_tag(const std::string& repository, std::string_view name);
  tag* find_tag(const std::string& repository, std::string_view name);
  const std::map<std::string, tags_of, std::less<>>& tags() const { return tags_; }
  // Repositories whose tags changed since the last call, for whoever writes them down.
  std::set<std::string> take_changed();

  // What to remove so that at most `goal` bytes are left: first what no manifest needs, then the image that
  // was used longest ago with all that only it needs. They are gone from the index already. Fewer bytes may
  // leave than wanted: what is pinned or in use stays.
  struct evicted {
    digest what;
    std::uint64_t size = 0;
    bool manifest = false;
  };
  std::vector<evicted> evict(std::uint64_t goal);

  std::uint64_t bytes() const { return bytes_; }
  std::size_t size() const { return entries_.size(); }
  const std::unordered_map<digest, entry>& entries() const { return entries_; }
  bool listed(const digest& d) const { return parents_.contains(d); }
  // Manifests that list `d`.
  std::vector<digest> parents(const digest& d) const;

private:
  // Blobs that no manifest lists come first: no image that is served needs them.
  using order_key = std::tuple<bool, std::int64_t, digest>;
  static order_key key(const digest& d, const entry& e) {
    return {e.manifest, e.queued.time_since_epoch().count(), d};
  }
  bool may_go(const digest& d, const entry& e) const;
  void queue(const digest& d);
  void unqueue(const digest& d, const entry& e) { order_.erase(key(d, e)); }
  void link(const digest& parent, const std::vector<std::string>& children);
  void unlink(const digest& parent, const std::vector<std::string>& children);

  std::unordered_map<digest, entry> entries_;
  std::unordered_map<digest, std::set<digest>> parents_;
  std::set<digest> pins_;
  // What may go, in that order; a use is entered only when the turn comes, for uses are many.
  std::set<order_key> order_;
  std::map<std::string, tags_of, std::less<>> tags_;
  std::unordered_map<digest, std::set<std::pair<std::string, std::string>>> tagged_; // by repository and tag
  std::set<std::string> changed_;
  std::uint64_t bytes_ = 0;
};

} // namespace netlab::registry
