#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

namespace {

http_reply answer_with(int status, http_headers more) {
  http_reply out;
  out.status = status;
  out.headers = common_fields();
  for (auto& each : more) out.headers.push_back(std::move(each));
  out.body = std::string();
  return out;
}

std::string place_of(const upload& u, const std::string& name) {
  return "/v2/" + name + "/blobs/uploads/" + u.id;
}

// "0-99" of 100 bytes; a new upload has "0-0" (distribution-spec).
std::string range_of(const upload& u) {
  auto bytes = u.file->bytes();
  return "0-" + std::to_string(bytes > 0 ? bytes - 1 : 0);
}

// Where a piece begins, by "Content-Range: 100-199".
std::optional<std::uint64_t> start_of(std::string_view range) {
  std::uint64_t out = 0;
  auto read = std::from_chars(range.data(), range.data() + range.size(), out);
  if (read.ec != std::errc() || read.ptr == range.data() + range.size() || *read.ptr != '-')
    return std::nullopt;
  return out;
}

} // namespace

// Whether a request's body goes into an upload: a large one must not be held in memory.
std::shared_ptr<http_sink> proxy::impl::sink_of(const door& at, const http_request_head& head) {
  if (head.method != "PATCH" && head.method != "PUT") return nullptr;
  auto asked = read_request(head.path);
  if (asked.what != request::kind::upload) return nullptr;
  auto image = hosted_image(at, asked.name);
  auto found = image.empty() ? nullptr : incoming.find(asked.reference, image);
  if (!found || found->busy) return nullptr;
  // A piece that does not follow is not taken: its request is refused.
  if (auto range = head.header("content-range"); !range.empty() && start_of(range) != found->file->bytes())
    return nullptr;
  found->used = world.clock.now();
  return incoming.sink(found);
}

std::string proxy::impl::hosted_image(const door& at, std::string_view name) {
  auto slash = name.find('/');
  auto registry = at.only ? std::string_view(at.only->config().name) : name.substr(0, slash);
  auto found = upstreams.find(registry);
  if (found == upstreams.end() || !found->second->config().hosted) return {};
  if (!at.only && slash == std::string_view::npos) return {};
  return found->first + "/" + std::string(at.only ? name : name.substr(slash + 1));
}

void proxy::impl::answer_write(const question_ptr& q, const request& asked) {
  using kind = request::kind;
  if (!q->from->config().hosted)
    return refuse(q, 405, "UNSUPPORTED",
                  "this is a cache of " + q->from->config().name +
                      ": push there, or to the registry that the recipe opens with hosted");
  const auto& method = q->call->method;
  if (asked.what == kind::upload) return answer_upload(q);
  if (asked.what == kind::manifest && method == "PUT") return take_pushed_manifest(q);
  if (asked.what == kind::manifest && method == "DELETE") return delete_manifest(q);
  refuse(q, 405, "UNSUPPORTED", "this cannot be done here");
}

void proxy::impl::answer_upload(const question_ptr& q) {
  const auto& method = q->call->method;
  if (q->reference.empty()) {
    if (method != "POST") return refuse(q, 405, "UNSUPPORTED", "uploads begin with POST");
    auto mount = parameter(q->call->query, "mount");
    if (const auto* held = mount.empty() ? nullptr : cache.index().find(mount); held && !held->manifest) {
      keep_for_push(mount);
      return q->call->reply(answer_with(
          201, {{"Location", "/v2/" + q->name + "/blobs/" + mount}, {"Docker-Content-Digest", mount}}));
    }
    auto begun = incoming.begin(q->image, world.clock.now());
    if (!begun) {
      bool many = begun.error().code == errc::limit;
      return refuse(q, many ? 429 : 500, many ? "TOOMANYREQUESTS" : "BLOB_UPLOAD_INVALID",
                    begun.error().message);
    }
    auto u = *begun;
    if (auto digest = parameter(q->call->query, "digest"); !digest.empty()) {
      incoming.append(*u, as_bytes(q->call->body));
      if (u->trouble) return give_up_upload(q, u);
      return finish_upload(q, u, digest);
    }
    return q->call->reply(answer_with(
        202, {{"Location", place_of(*u, q->name)}, {"Range", range_of(*u)}, {"Docker-Upload-UUID", u->id}}));
  }
  auto u = incoming.find(q->reference, q->image);
  if (!u) return refuse(q, 404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
  u->used = world.clock.now();
  if (method == "GET" || method == "HEAD")
    return q->call->reply(answer_with(
        204, {{"Location", place_of(*u, q->name)}, {"Range", range_of(*u)}, {"Docker-Upload-UUID", u->id}}));
  if (method == "DELETE") {
    incoming.drop(u->id);
    return q->call->reply(answer_with(204, {}));
  }
  if (method != "PATCH" && method != "PUT")
    return refuse(q, 405, "UNSUPPORTED", "this cannot be done to an upload");
  bool streamed = q->call->sink != nullptr;
  q->call->sink.reset();
  if (u->busy) return refuse(q, 409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload");
  auto length = streamed ? std::uint64_t{0} : q->call->body.size();
  if (auto range = q->call->header("content-range"); !range.empty() && !streamed) {
    auto start = start_of(range);
    if (!start || *start != u->file->bytes()) {
      auto out = refusal(416, "BLOB_UPLOAD_INVALID", "the piece does not begin where the last one ended");
      out.headers.emplace_back("Location", place_of(*u, q->name));
      out.headers.emplace_back("Range", range_of(*u));
      return q->call->reply(std::move(out));
    }
  }
  if (length > 0) incoming.append(*u, as_bytes(q->call->body));
  if (u->trouble) return give_up_upload(q, u);
  if (method == "PUT") return finish_upload(q, u, parameter(q->call->query, "digest"));
  q->call->reply(answer_with(
      202, {{"Location", place_of(*u, q->name)}, {"Range", range_of(*u)}, {"Docker-Upload-UUID", u->id}}));
}

void proxy::impl::give_up_upload(const question_ptr& q, const std::shared_ptr<upload>& u) {
  world.log(msg_disk_trouble, "an upload to " + q->image + ": " + u->trouble->message);
  incoming.drop(u->id);
  refuse(q, 500, "BLOB_UPLOAD_INVALID", u->trouble->message);
}

void proxy::impl::finish_upload(const question_ptr& q, const std::shared_ptr<upload>& u,
                                const std::string& digest) {
  auto expected = oci::parse_digest(digest);
  if (!expected) {
    incoming.drop(u->id);
    return refuse(q, 400, "DIGEST_INVALID", "\"" + digest + "\" is no digest");
  }
  u->busy = true; // nothing more is written to it
  auto bytes = u->file->bytes();
  auto to = cache.blob_path(digest, bytes);
  auto right = std::make_shared<bool>(false);
  // One that is here already is written over: it must not be evicted meanwhile.
  cache.index().hold(digest);
  bool held = cache.index().find(digest) != nullptr;
  cache.worker().run(
      [u, right, expected = *expected, to, &disk = world.files]() -> result<void> {
        if (auto ok = u->file->sync(); !ok) return ok;
        auto found = expected.algorithm == digest_algorithm::sha256
                         ? result<checksum>(u->file->finish().sha256)
                         : checksum_of_file(u->path, expected.algorithm);
        if (!found) return tl::unexpected(found.error());
        *right = *found == expected;
        if (!*right) return {};
        if (auto ok = disk.make_folders(to.substr(0, to.rfind('/')), 0750); !ok) return ok;
        if (::rename(u->path.c_str(), to.c_str()) != 0) return system_fail(errno, to, "registry.upload");
        return {};
      },
      [late = weak_from_this(), q, u, digest, bytes, right, held](const result<void>& done) {
        auto self = late.lock();
        if (!self) return;
        if (held) self->cache.index().release(digest);
        u->busy = false;
        self->incoming.drop(u->id);
        if (!done) return self->refuse(q, 500, "BLOB_UPLOAD_INVALID", done.error().message);
        if (!*right)
          return self->refuse(q, 400, "DIGEST_INVALID", "the content does not have the digest " + digest);
        self->cache.index().add_blob(digest, bytes, self->world.clock.wall());
        self->keep_for_push(digest);
        self->cache.trim();
        q->call->reply(answer_with(
            201, {{"Location", "/v2/" + q->name + "/blobs/" + digest}, {"Docker-Content-Digest", digest}}));
      });
}

// Until a manifest lists it, nothing would keep a pushed blob from being evicted.
void proxy::impl::keep_for_push(const std::string& digest) {
  auto [it, fresh] = pushed.try_emplace(digest, world.clock.now());
  it->second = world.clock.now();
  if (fresh) cache.index().hold(digest);
}

void proxy::impl::take_pushed_manifest(const question_ptr& q) {
  bool by_digest = q->reference.find(':') != std::string::npos;
  auto expected = by_digest ? oci::parse_digest(q->reference) : result<checksum>(checksum{});
  if (by_digest ? !expected : !oci::is_tag(q->reference))
    return refuse(q, 400, by_digest ? "DIGEST_INVALID" : "MANIFEST_INVALID",
                  "\"" + q->reference + "\" is neither a tag nor a digest");
  auto read = oci::parse_manifest(q->call->body);
  if (!read) return refuse(q, 400, "MANIFEST_INVALID", read.error().message);
  auto type =
      std::string(trim(q->call->header("content-type").substr(0, q->call->header("content-type").find(';'))));
  if (type.empty()) type = read->media_type;
  if (type.empty() || (!read->media_type.empty() && read->media_type != type))
    return refuse(q, 400, "MANIFEST_INVALID", "Content-Type is not the manifest's mediaType");
  std::vector<std::string> needed;
  if (read->config) needed.push_back(read->config->digest.to_string());
  for (const auto& each : read->layers) needed.push_back(each.digest.to_string());
  for (const auto& each : read->manifests) needed.push_back(each.digest.to_string());
  for (const auto& digest : needed)
    if (!cache.index().find(digest))
      return refuse(q, 404, "MANIFEST_BLOB_UNKNOWN",
                    "the manifest lists " + digest + ", which was not pushed");
  hasher sum(by_digest ? expected->algorithm : digest_algorithm::sha256);
  sum.update(as_bytes(q->call->body));
  auto found = sum.finish();
  if (by_digest && found != *expected)
    return refuse(q, 400, "DIGEST_INVALID", "the manifest has the digest " + found.to_string());
  auto made = make_manifest(found.to_string(), type, q->call->body);
  // It stays, whatever the limit says, and with it all that it lists.
  keep_hosted(q->image + "@" + made->digest, made->digest);
  cache.put(made);
  for (const auto& digest : needed) {
    if (pushed.erase(digest)) cache.index().release(digest);
    drop_hosted(q->image + "@" + digest);
  }
  if (!by_digest) {
    auto* before = cache.index().find_tag(q->image, q->reference);
    auto old = before ? before->digest : std::string();
    cache.index().set_tag(q->image, q->reference,
                          {made->digest, world.clock.wall(), world.clock.now(), true});
    cache.save_tags();
    if (!old.empty() && old != made->digest) forget_untagged(q->image, old);
  }
  cache.save_pins(pins);
  // Only what is on the disk has been taken.
  cache.worker().run([]() -> result<void> { return {}; },
                     [late = weak_from_this(), q, made, subject = read->subject](const result<void>&) {
                       auto self = late.lock();
                       if (!self) return;
                       self->world.log(msg_pushed, q->image + ": " + q->reference + " is " + made->digest,
                                       {{"client", q->call->client.address.to_string()}});
                       auto out =
                           answer_with(201, {{"Location", "/v2/" + q->name + "/manifests/" + made->digest},
                                             {"Docker-Content-Digest", made->digest}});
                       if (subject) out.headers.emplace_back("OCI-Subject", subject->digest.to_string());
                       q->call->reply(std::move(out));
                     });
}

void proxy::impl::keep_hosted(const std::string& name, const std::string& digest) {
  pins[name] = digest;
  cache.index().pin(digest);
}

void proxy::impl::drop_hosted(const std::string& name) {
  auto found = pins.find(name);
  if (found == pins.end()) return;
  auto digest = found->second;
  pins.erase(found);
  if (std::none_of(pins.begin(), pins.end(), [&](const auto& each) { return each.second == digest; }))
    cache.index().unpin(digest);
}

// What no tag leads to any more may go when its room is needed.
void proxy::impl::forget_untagged(const std::string& image, const std::string& digest) {
  auto all = cache.index().tags().find(image);
  if (all != cache.index().tags().end())
    for (const auto& [name, t] : all->second)
      if (t.digest == digest) return;
  drop_hosted(image + "@" + digest);
}

void proxy::impl::delete_manifest(const question_ptr& q) {
  if (auto* tag = cache.index().find_tag(q->image, q->reference)) {
    auto digest = tag->digest;
    cache.index().remove_tag(q->image, q->reference);
    forget_untagged(q->image, digest);
  } else if (pins.contains(q->image + "@" + q->reference)) {
    drop_hosted(q->image + "@" + q->reference);
    if (!cache.index().pinned(q->reference)) cache.remove(q->reference);
  } else {
    return refuse(q, 404, "MANIFEST_UNKNOWN", "nothing of that name was pushed");
  }
  cache.save_tags();
  cache.save_pins(pins);
  q->call->reply(answer_with(202, {}));
}

void proxy::impl::expire_uploads() {
  auto now = world.clock.now();
  incoming.expire(now);
  std::erase_if(pushed, [&](const auto& each) {
    if (now - each.second < uploads::life) return false;
    cache.index().release(each.first);
    return true;
  });
}

} // namespace netlab::registry
