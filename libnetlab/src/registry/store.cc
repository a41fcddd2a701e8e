#include "store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "messages.h"
#include "netlab/json.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "requests.h"

namespace netlab::registry {

namespace {

constexpr std::size_t memory_limit = 16u << 20; // of manifests kept in memory
constexpr std::size_t manifest_limit = 8u << 20;
constexpr duration part_life = std::chrono::hours(24);
// How exact the last use of a blob survives a restart: every write of it costs the disk something.
constexpr duration use_written = std::chrono::hours(1);

wall_time at_second(std::int64_t seconds) { return wall_time(std::chrono::seconds(seconds)); }

// What a process that was killed was writing beside its place: no damage, and of no use.
bool is_unfinished(std::string_view name) { return name.ends_with(".new"); }

std::string_view algorithm_of(std::string_view digest) { return digest.substr(0, digest.find(':')); }
std::string_view digits_of(std::string_view digest) { return digest.substr(digest.find(':') + 1); }

std::vector<std::string> children_of(const oci::manifest& m) {
  std::vector<std::string> out;
  auto add = [&](const std::vector<oci::descriptor>& all) {
    for (const auto& each : all) out.push_back(each.digest.to_string());
  };
  if (m.config) out.push_back(m.config->digest.to_string());
  add(m.layers);
  add(m.manifests);
  return out;
}

} // namespace

result<void> write_durably(const std::string& path, std::string_view first, std::string_view rest) {
  auto beside = path + ".new";
  int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return system_fail(errno, beside, "registry.write");
  auto put = [&](std::string_view bytes) {
    while (!bytes.empty()) {
      auto n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  };
  bool good = put(first) && put(rest) && ::fsync(fd) == 0;
  int why = errno;
  ::close(fd);
  if (good && ::rename(beside.c_str(), path.c_str()) != 0) {
    good = false;
    why = errno;
  }
  if (good) return {};
  ::unlink(beside.c_str());
  return system_fail(why, path, "registry.write");
}

store::store(const runtime& world, std::string folder, std::uint64_t max_size, std::uint64_t reserve)
    : world_(world), folder_(std::move(folder)), max_size_(max_size), reserve_(reserve),
      worker_(world.scheduler) {}

store::~store() {
  save_tags();
  worker_.finish();
  if (lock_ >= 0) ::close(lock_);
}

std::string store::blob_path(const std::string& digest, std::uint64_t size) const {
  auto digits = digits_of(digest);
  return folder_ + "/blobs/" + std::string(algorithm_of(digest)) + "/" + std::string(digits.substr(0, 2)) +
         "/" + std::string(digits) + "-" + std::to_string(size);
}

std::string store::manifest_path(const std::string& digest) const {
  return folder_ + "/manifests/" + std::string(algorithm_of(digest)) + "/" + std::string(digits_of(digest));
}

std::string store::part_name(const std::string& digest) {
  return std::string(algorithm_of(digest)) + "-" + std::string(digits_of(digest));
}

std::string store::tags_path(const std::string& repository) const {
  return folder_ + "/tags/" + url_encode(repository) + ".json";
}

result<store::findings> store::open() {
  auto& files = world_.files;
  for (const char* each :
       {"/blobs/sha256", "/blobs/sha512", "/manifests/sha256", "/manifests/sha512", "/tags", "/parts"})
    if (auto made = files.make_folders(folder_ + each, 0750); !made) return tl::unexpected(made.error());
  auto path = folder_ + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock_ < 0) return system_fail(errno, path, "registry.open");
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return fail(errc::exists, "the cache " + folder_ + " is in use by another registry proxy",
                "registry.open");
  findings out;
  read_blobs(out);
  read_manifests(out);
  read_tags(out);
  read_parts(out);
  out.expired = expire_parts();
  out.parts = parts_.size();
  return out;
}

void store::read_blobs(findings& out) {
  for (const char* algorithm : {"sha256", "sha512"}) {
    auto base = folder_ + "/blobs/" + algorithm;
    auto shelves = world_.files.list(base);
    if (!shelves) continue;
    for (const auto& shelf : *shelves) {
      if (!shelf.folder) continue;
      auto all = world_.files.list(base + "/" + shelf.name);
      if (!all) continue;
      for (const auto& f : *all) {
        auto dash = f.name.find('-');
        std::uint64_t size = 0;
        bool right = false;
        if (dash != std::string::npos && !f.folder) {
          const char* end = f.name.data() + f.name.size();
          auto read = std::from_chars(f.name.data() + dash + 1, end, size);
          right = read.ec == std::errc() && read.ptr == end && size == f.size;
        }
        auto digest = std::string(algorithm) + ":" + f.name.substr(0, dash);
        if (!right || !oci::parse_digest(digest)) {
          if (f.folder) continue; // somebody else's
          ++out.damaged;
          ::unlink((base + "/" + shelf.name + "/" + f.name).c_str());
          continue;
        }
        index_.add_blob(digest, size, at_second(f.modified));
        ++out.blobs;
      }
    }
  }
}

void store::read_manifests(findings& out) {
  for (const char* algorithm : {"sha256", "sha512"}) {
    auto all = world_.files.list(folder_ + "/manifests/" + algorithm);
    if (!all) continue;
    for (const auto& f : *all) {
      auto digest = std::string(algorithm) + ":" + f.name;
      auto path = folder_ + "/manifests/" + algorithm + "/" + f.name;
      if (is_unfinished(f.name)) {
        ::unlink(path.c_str());
        continue;
      }
      auto expected = oci::parse_digest(digest);
      auto text = world_.files.read(path, manifest_limit + 1024);
      auto line = text ? text->find('\n') : std::string::npos;
      bool right = expected && line != std::string::npos && line > 0;
      result<oci::manifest> read = fail(errc::protocol, "");
      if (right) {
        auto body = std::string_view(*text).substr(line + 1);
        hasher sum(expected->algorithm);
        sum.update(as_bytes(body));
        right = sum.finish() == *expected;
        if (right) read = oci::parse_manifest(body);
      }
      if (!right || !read) {
        ++out.damaged;
        ::unlink(path.c_str());
        continue;
      }
      index_.add_manifest(digest, text->size(), text->substr(0, line), children_of(*read),
                          at_second(f.modified));
      ++out.manifests;
    }
  }
}

void store::read_tags(findings& out) {
  auto all = world_.files.list(folder_ + "/tags");
  if (!all) return;
  for (const auto& f : *all) {
    auto path = folder_ + "/tags/" + f.name;
    if (is_unfinished(f.name)) {
      ::unlink(path.c_str());
      continue;
    }
    auto text = world_.files.read(path);
    auto repository = url_decode(std::string_view(f.name).substr(0, f.name.rfind('.')));
    auto data = text ? parse_json(*text) : result<json>(fail(errc::io, ""));
    if (!f.name.ends_with(".json") || !repository || !data || !data->is_object()) {
      ++out.damaged;
      ::unlink(path.c_str());
      continue;
    }
    for (const auto& [name, entry] : data->items()) {
      if (!oci::is_tag(name) || !entry.is_object() || !entry.contains("digest") ||
          !entry["digest"].is_string())
        continue;
      cache_index::tag t;
      t.digest = entry["digest"].get<std::string>();
      if (entry.contains("changed") && entry["changed"].is_number())
        t.changed = at_second(static_cast<std::int64_t>(entry["changed"].get<double>()));
      if (!index_.find(t.digest)) continue;
      index_.set_tag(*repository, name, std::move(t));
      ++out.tags;
    }
  }
  (void)index_.take_changed();
}

void store::read_parts(findings& out) {
  auto all = world_.files.list(folder_ + "/parts");
  if (!all) return;
  for (const auto& f : *all) {
    if (f.folder) continue;
    auto dash = f.name.find('-');
    auto digest = dash == std::string::npos ? f.name : f.name.substr(0, dash) + ":" + f.name.substr(dash + 1);
    // Uploads and imports begin anew: only what upstreams sent can be gone on with.
    if (oci::parse_digest(digest)) {
      parts_.rest(f.name, f.size, at_second(f.modified));
      continue;
    }
    ::unlink(part_path(f.name).c_str());
    ++out.expired;
  }
}

void store::save_tags() {
  for (const auto& repository : index_.take_changed()) {
    auto path = tags_path(repository);
    auto found = index_.tags().find(repository);
    if (found == index_.tags().end()) {
      worker_.run([path]() -> result<void> {
        ::unlink(path.c_str());
        return {};
      });
      continue;
    }
    json data = json::object();
    for (const auto& [name, t] : found->second)
      data[name] = {
          {"digest", t.digest},
          {"changed", std::chrono::floor<std::chrono::seconds>(t.changed.time_since_epoch()).count()}};
    worker_.run([path, text = data.dump(1)] { return write_durably(path, text, "\n"); },
                [this, repository](const result<void>& ok) {
                  if (!ok)
                    world_.log(msg_disk_trouble, "the tags of " + repository + ": " + ok.error().message);
                });
  }
}

void store::save_pins(const std::map<std::string, std::string>& pins) {
  json data = json::object();
  for (const auto& [image, digest] : pins) data[image] = digest;
  worker_.run(
      [path = folder_ + "/pins.json", text = data.dump(1)] { return write_durably(path, text, "\n"); },
      [this](const result<void>& ok) {
        if (!ok) world_.log(msg_disk_trouble, "the pins: " + ok.error().message);
      });
}

std::map<std::string, std::string> store::read_pins() {
  std::map<std::string, std::string> out;
  auto text = world_.files.read(folder_ + "/pins.json");
  if (!text) return out;
  auto data = parse_json(*text);
  if (!data || !data->is_object()) return out;
  for (const auto& [image, digest] : data->items())
    if (digest.is_string() && oci::parse_digest(digest.get<std::string>()))
      out.emplace(image, digest.get<std::string>());
  return out;
}

void store::keep_in_memory(const manifest_ptr& m) {
  if (auto found = in_memory_.find(m->digest); found != in_memory_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return;
  }
  recent_.push_front(m);
  in_memory_.emplace(recent_.front()->digest, recent_.begin());
  memory_bytes_ += m->text->size();
  while (memory_bytes_ > memory_limit && recent_.size() > 1) {
    memory_bytes_ -= recent_.back()->text->size();
    in_memory_.erase(recent_.back()->digest);
    recent_.pop_back();
  }
}

manifest_ptr make_manifest(std::string digest, std::string media_type, std::string text) {
  auto body = std::make_shared<const std::string>(std::move(text));
  auto headers = common_fields();
  headers.emplace_back("Docker-Content-Digest", digest);
  auto etag = "\"" + digest + "\"";
  auto answer = http_content::make(media_type, headers, etag, body);
  if (!answer) {
    media_type = oci::manifest_type;
    answer = http_content::make(media_type, headers, etag, body);
  }
  return std::make_shared<const stored_manifest>(
      stored_manifest{std::move(digest), std::move(media_type), std::move(body), std::move(*answer)});
}

manifest_ptr store::manifest(std::string_view name) {
  if (auto found = in_memory_.find(name); found != in_memory_.end()) {
    if (found->second != recent_.begin()) recent_.splice(recent_.begin(), recent_, found->second);
    return *found->second;
  }
  std::string digest(name);
  const auto* e = index_.find(digest);
  if (!e || !e->manifest) return nullptr;
  auto text = world_.files.read(manifest_path(digest), manifest_limit + 1024);
  auto line = text ? text->find('\n') : std::string::npos;
  manifest_ptr out;
  if (line != std::string::npos) {
    auto expected = oci::parse_digest(digest);
    hasher sum(expected->algorithm);
    sum.update(as_bytes(std::string_view(*text).substr(line + 1)));
    if (sum.finish() == *expected) out = make_manifest(digest, text->substr(0, line), text->substr(line + 1));
  }
  if (!out) {
    world_.log(msg_damaged, "the manifest " + digest + " was damaged and is fetched anew");
    remove(digest);
    return nullptr;
  }
  keep_in_memory(out);
  return out;
}

void store::put(manifest_ptr m) {
  auto read = oci::parse_manifest(*m->text);
  const auto* before = index_.find(m->digest);
  bool written = before && before->manifest && before->media_type == m->media_type;
  index_.add_manifest(m->digest, m->media_type.size() + 1 + m->text->size(), m->media_type,
                      read ? children_of(*read) : std::vector<std::string>{}, world_.clock.wall());
  forget_in_memory(m->digest);
  keep_in_memory(m);
  if (written) return;
  // Until it is on the disk: what was evicted on its way there would come to lie there after all.
  index_.hold(m->digest);
  trim();
  if (used() > max_size_ && !index_.pinned(m->digest)) return index_.remove(m->digest);
  auto removed = std::make_shared<std::atomic<bool>>(false);
  writes_[m->digest] = removed;
  worker_.run(
      [m, path = manifest_path(m->digest), removed]() -> result<void> {
        if (*removed) return {};
        auto done = write_durably(path, m->media_type + "\n", *m->text);
        if (*removed) ::unlink(path.c_str());
        return done;
      },
      [this, m, removed](const result<void>& ok) {
        if (auto mine = writes_.find(m->digest); mine != writes_.end() && mine->second == removed)
          writes_.erase(mine);
        index_.release(m->digest);
        if (!ok) world_.log(msg_disk_trouble, "the manifest " + m->digest + ": " + ok.error().message);
      });
}

result<std::shared_ptr<open_file>> store::blob(const std::string& digest) {
  const auto* e = index_.find(digest);
  if (!e || e->manifest) return fail(errc::not_found, "not in the cache", "registry.blob");
  auto path = blob_path(digest, e->size);
  auto file = open_file::open(path);
  if (!file || (*file)->size() != e->size) {
    world_.log(msg_damaged, "the blob " + digest + " was damaged and is fetched anew" +
                                (file ? std::string() : ": " + file.error().message));
    remove(digest);
    return fail(errc::not_found, "not in the cache", "registry.blob");
  }
  auto now = world_.clock.wall();
  if (now - at_second((*file)->modified) > use_written) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
  }
  index_.touch(digest, now);
  return file;
}

void store::forget_in_memory(std::string_view digest) {
  auto held = in_memory_.find(digest);
  if (held == in_memory_.end()) return;
  memory_bytes_ -= (*held->second)->text->size();
  auto where = held->second;
  in_memory_.erase(held);
  recent_.erase(where);
}

void store::unlink_content(const std::string& digest, std::uint64_t size, bool manifest) {
  if (auto writing = writes_.find(digest); manifest && writing != writes_.end()) {
    *writing->second = true;
    writes_.erase(writing);
  }
  ::unlink((manifest ? manifest_path(digest) : blob_path(digest, size)).c_str());
  forget_in_memory(digest);
}

void store::remove(const std::string& digest) {
  const auto* e = index_.find(digest);
  if (!e) return;
  unlink_content(digest, e->size, e->manifest);
  index_.remove(digest);
  save_tags();
}

bool store::drop_oldest_part(const std::function<bool(const parts::part&)>& may) {
  const auto* p = parts_.oldest(may);
  if (p) drop_part(*p);
  return p != nullptr;
}

std::uint64_t store::evict_to(std::uint64_t goal) {
  auto before = used(), content = index_.bytes();
  // The beginning of a blob is worth no more than the image that it is for.
  auto unlisted = [this](const parts::part& p) {
    auto dash = p.name.find('-');
    return !index_.listed(p.name.substr(0, dash) + ":" + p.name.substr(dash + 1));
  };
  while (used() > goal) {
    if (drop_oldest_part(unlisted)) continue;
    auto gone = index_.evict(index_.bytes() - std::min<std::uint64_t>(1, index_.bytes()));
    for (const auto& each : gone) unlink_content(each.what, each.size, each.manifest);
    if (gone.empty() && !drop_oldest_part([](const parts::part&) { return true; })) break;
  }
  if (content > index_.bytes()) {
    evicted_ += content - index_.bytes();
    save_tags();
  }
  return before - used();
}

void store::trim() { evict_to(max_size_); }

bool store::fits_disk(std::uint64_t more, std::uint64_t gone) const {
  struct statvfs info {};
  if (::statvfs(folder_.c_str(), &info) != 0) return true; // the write itself will tell
  auto free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize + gone;
  auto taken = reserve_ + parts_.unwritten();
  return free >= taken && free - taken >= more;
}

// What would not fit into an empty cache is not worth emptying it, here and below.
bool store::make_room_on_disk(std::uint64_t more) {
  if (!fits_disk(more, used() - parts_.busy())) return false;
  while (!fits_disk(more))
    if (evict_to(used() - std::min(used(), std::max<std::uint64_t>(more, 1u << 20))) == 0) return false;
  return true;
}

bool store::make_room(std::uint64_t more) {
  if (parts_.busy() + more > max_size_ || !make_room_on_disk(more)) return false;
  evict_to(max_size_ - more);
  return used() + more <= max_size_; // else the rest is pinned or in use
}

bool store::claim(parts::part& p, std::uint64_t bytes) {
  if (bytes <= p.claimed) return true;
  if (!make_room(bytes - p.claimed)) return false;
  parts_.claim(p, bytes);
  return true;
}

bool store::claim_anyway(parts::part& p, std::uint64_t bytes) {
  if (bytes <= p.claimed) return true;
  auto more = bytes - p.claimed;
  evict_to(max_size_ - std::min(max_size_, more));
  if (!make_room_on_disk(more)) return false;
  parts_.claim(p, bytes);
  return true;
}

void store::rest_part(const parts::part& p) {
  auto file = world_.files.info(part_path(p.name));
  if (!file || file->size == 0) return drop_part(p);
  parts_.rest(std::string(p.name), file->size, world_.clock.wall());
}

void store::drop_part(const parts::part& p) {
  auto name = p.name;
  ::unlink(part_path(name).c_str());
  parts_.drop(name);
}

void store::part_is_blob(const parts::part& p, const std::string& digest, std::uint64_t size) {
  drop_part(p);
  index_.add_blob(digest, size, world_.clock.wall());
  trim();
}

std::size_t store::expire_parts() {
  auto now = world_.clock.wall();
  std::size_t out = 0;
  while (drop_oldest_part([now](const parts::part& p) { return now - p.used > part_life; })) ++out;
  return out;
}

} // namespace netlab::registry
