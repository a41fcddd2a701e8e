#include <algorithm>

#include "import.h"
#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

namespace {

constexpr duration patience =
    std::chrono::seconds(5); // with an upstream, when there is something to show for

bool is_digest(std::string_view reference) { return reference.find(':') != std::string_view::npos; }

std::string media_type_of(const http_response& got, const oci::manifest& read) {
  auto sent = got.header("content-type");
  sent = trim(sent.substr(0, sent.find(';')));
  if (sent.find("manifest") != std::string_view::npos || sent.find("image.index") != std::string_view::npos)
    return std::string(sent);
  if (!read.media_type.empty()) return read.media_type;
  return std::string(read.index ? oci::index_type : oci::manifest_type);
}

} // namespace

duration proxy::impl::believed_for(const upstream& from, std::string_view tag) const {
  return tag == "latest" ? std::min(from.config().latest, from.config().tags) : from.config().tags;
}

manifest_ptr proxy::impl::ready_manifest(const upstream& from, const std::string& image,
                                         std::string_view reference) {
  if (is_digest(reference)) return cache.manifest(reference);
  auto* tag = cache.index().find_tag(image, reference);
  if (!tag) return nullptr;
  if (!from.config().hosted &&
      (!tag->fresh || world.clock.now() - tag->checked >= believed_for(from, reference)))
    return nullptr;
  return cache.manifest(tag->digest);
}

void proxy::impl::answer_manifest(const question_ptr& q) {
  // Most of what is here was answered before it came to this: a request with a body was not.
  if (auto m = ready_manifest(*q->from, q->image, q->reference)) return reply_manifest(q, m, true);
  if (is_digest(q->reference) ? !oci::parse_digest(q->reference) : !oci::is_tag(q->reference))
    return refuse(q, 400, is_digest(q->reference) ? "DIGEST_INVALID" : "MANIFEST_INVALID",
                  "\"" + q->reference + "\" is neither a tag nor a digest");
  want_manifest(*q->from, q->image, q->reference, [this, q](const manifest_outcome& got) {
    if (got.found) return reply_manifest(q, got.found, got.cached);
    count.manifest_misses.add();
    refuse_as(q, got.status, got.why, got.retry_after, "MANIFEST_UNKNOWN");
  });
}

http_ready proxy::impl::ready_answer(const door& at, const http_request_head& head) {
  auto asked = read_request(head.path);
  if (asked.what != request::kind::manifest) return {};
  auto to = destination_of(at, asked.name, head.query);
  if (!to.from || !oci::is_repository(to.name)) return {};
  auto image = to.from->image(to.name);
  auto m = ready_manifest(*to.from, image, asked.reference);
  if (!m) return {};
  note_manifest(head.client.address, image, asked.reference, *m, head.method == "HEAD", true);
  http_ready out{m->answer, {}};
  if (!to.ns.empty() && oci::is_host(to.ns)) out.headers.emplace_back("OCI-Namespace", to.ns);
  return out;
}

void proxy::impl::note_manifest(const ip_address& client, const std::string& image,
                                std::string_view reference, const stored_manifest& m, bool head, bool hit) {
  (hit ? count.manifest_hits : count.manifest_misses).add();
  cache.index().touch(m.digest, world.clock.wall());
  // It leaves at once, whatever becomes of the connection: there is no end to wait for.
  auto bytes = head ? std::uint64_t{0} : m.text->size();
  count.sent.add(bytes);
  if (hit) count.sent_cached.add(bytes);
  journal.add(client, image, reference, {bytes, hit, !head, {}}, world.clock.now());
  watch_pulls();
}

void proxy::impl::reply_manifest(const question_ptr& q, const manifest_ptr& m, bool hit) {
  note_manifest(q->call->client.address, q->image, q->reference, *m, q->head(), hit);
  http_reply out;
  out.content_type = m->media_type;
  out.headers = fields(q, m->digest);
  out.body = m->text;
  out.selectable = true;
  out.etag = "\"" + m->digest + "\"";
  q->call->reply(std::move(out));
}

void proxy::impl::want_manifest(upstream& from, const std::string& image, const std::string& reference,
                                manifest_fn fn) {
  auto key = image + (is_digest(reference) ? "@" : ":") + reference;
  auto [it, first] = flights.try_emplace(key);
  it->second.waiting.push_back(std::move(fn));
  if (!first) return;
  run<manifest_outcome>(fetch_manifest(from, image, reference), [this, key](const manifest_outcome& got) {
    auto all = std::move(flights[key].waiting);
    flights.erase(key);
    for (auto& each : all) each(got);
  });
}

task<manifest_outcome> proxy::impl::fetch_manifest(upstream& from, std::string image, std::string reference) {
  manifest_outcome out;
  if (from.config().hosted) {
    out.why = "nothing of that name was pushed";
    co_return out;
  }
  if (is_digest(reference)) {
    if (auto held = import_manifest(from, reference)) {
      out.found = held;
      out.cached = true;
      co_return out;
    }
    auto taking = take_manifest(from, image, reference, reference);
    auto got = co_await taking;
    co_return got;
  }
  auto* tag = cache.index().find_tag(image, reference);
  if (!tag && !from.config().import.empty()) {
    // What an older cache knew of the tag counts like what this one knew: the upstream is asked about it.
    auto known = imported_tag(world.files, from.config().import, repository_of(image), reference);
    if (known && import_manifest(from, *known)) {
      cache.index().set_tag(image, reference, {*known, world.clock.wall(), {}, false});
      cache.save_tags();
      tag = cache.index().find_tag(image, reference);
    }
  }
  auto old = tag ? cache.manifest(tag->digest) : nullptr;
  if (!old) {
    auto taking = take_manifest(from, image, reference, {});
    auto got = co_await taking;
    co_return got;
  }
  // Something is here already: the upstream is only asked whether it is still right, by HEAD, which does not
  // count as a pull.
  http_response head;
  bool answered = false;
  if (!from.down() && !from.blocked()) {
    query q;
    q.method = "HEAD";
    q.repository = from.repository(repository_of(image));
    q.path = "manifests/" + reference;
    q.headers.emplace_back("Accept", std::string(oci::manifest_types));
    q.timeout = patience;
    q.attempts = 1;
    auto asking = from.ask(std::move(q));
    auto got = co_await asking;
    if (got) {
      head = std::move(*got);
      answered = true;
    }
  }
  auto digest = answered ? std::string(head.header("docker-content-digest")) : std::string();
  if (answered && head.status == 200 && digest == old->digest) {
    cache.index().set_tag(image, reference, {digest, world.clock.wall(), world.clock.now(), true});
    out.found = old;
    out.cached = true;
    co_return out;
  }
  if (answered && (head.status == 200 || head.status == 405)) {
    bool named = head.status == 200 && oci::parse_digest(digest).has_value();
    auto held = named ? cache.manifest(digest) : nullptr;
    if (held) {
      cache.index().set_tag(image, reference, {digest, world.clock.wall(), world.clock.now(), true});
      cache.save_tags();
      out.found = held;
      out.cached = true;
      co_return out;
    }
    auto taking = take_manifest(from, image, reference, named ? digest : std::string());
    auto got = co_await taking;
    if (got.found || got.status == 404) co_return got;
  } else if (answered && head.status == 404) {
    cache.index().remove_tag(image, reference);
    cache.save_tags();
    out.why = "the registry does not have this tag any more";
    co_return out;
  }
  // It cannot say: the last it said holds, and is asked about again before long.
  auto again = world.clock.now() - believed_for(from, reference) +
               std::min<duration>(patience * 2, believed_for(from, reference));
  cache.index().set_tag(image, reference, {old->digest, world.clock.wall(), again, true});
  world.log(msg_stale, image + ":" + reference + " is served as it was last seen",
            {{"registry", config.name}});
  out.found = old;
  out.cached = true;
  co_return out;
}

manifest_ptr proxy::impl::import_manifest(const upstream& from, const std::string& digest) {
  if (from.config().import.empty()) return nullptr;
  auto path = imported_blob(world.files, from.config().import, digest);
  auto text =
      path.empty() ? result<std::string>(fail(errc::not_found, "")) : world.files.read(path, 4u << 20);
  auto expected = oci::parse_digest(digest);
  if (!text || !expected) return nullptr;
  hasher sum(expected->algorithm);
  sum.update(as_bytes(*text));
  auto read = oci::parse_manifest(*text);
  if (sum.finish() != *expected || !read) return nullptr;
  auto made = make_manifest(digest, media_type_of({}, *read), std::move(*text));
  cache.put(made);
  return made;
}

// Fetches a manifest by `digest` when that is known, else by the tag, and keeps it.
task<manifest_outcome> proxy::impl::take_manifest(upstream& from, std::string image, std::string reference,
                                                  std::string digest) {
  manifest_outcome out;
  query q;
  q.repository = from.repository(repository_of(image));
  q.path = "manifests/" + (digest.empty() ? reference : digest);
  q.headers.emplace_back("Accept", std::string(oci::manifest_types));
  auto asking = from.ask(std::move(q));
  auto got = co_await asking;
  if (!got) {
    out.status = got.error().code == errc::timeout ? 504 : 502;
    out.why = got.error().message;
    co_return out;
  }
  if (got->status != 200) {
    out.status = got->status;
    out.why = got->status == 404 ? std::string() : "the upstream answers " + std::to_string(got->status);
    if (got->status == 429) out.retry_after = from.blocked();
    co_return out;
  }
  auto bad = [&](const std::string& why, const message& m) {
    world.log(m, image + (is_digest(reference) ? "@" : ":") + reference + ": " + why,
              {{"upstream", from.config().name}});
    out.status = 502;
    out.why = why;
  };
  auto read = oci::parse_manifest(got->body);
  if (!read) {
    bad(read.error().message, msg_bad_upstream);
    co_return out;
  }
  auto claimed = digest.empty() ? std::string(got->header("docker-content-digest")) : digest;
  auto expected = oci::parse_digest(claimed);
  hasher sum(expected ? expected->algorithm : digest_algorithm::sha256);
  sum.update(as_bytes(got->body));
  auto found = sum.finish();
  if (expected && found != *expected) {
    bad("the upstream sends " + found.to_string() + " for " + claimed, msg_wrong_digest);
    co_return out;
  }
  auto type = media_type_of(*got, *read);
  auto made = make_manifest(found.to_string(), std::move(type), std::move(got->body));
  cache.put(made);
  if (!is_digest(reference)) {
    cache.index().set_tag(image, reference, {made->digest, world.clock.wall(), world.clock.now(), true});
    cache.save_tags();
  }
  out.found = made;
  out.status = 200;
  co_return out;
}

} // namespace netlab::registry
