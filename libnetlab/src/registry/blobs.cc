#include "bodies.h"
#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

void proxy::impl::answer_blob(const question_ptr& q) {
  if (!oci::parse_digest(q->reference))
    return refuse(q, 400, "DIGEST_INVALID", "\"" + q->reference + "\" is no digest");
  const auto* held = cache.index().find(q->reference);
  if (held && held->manifest) {
    // containerd asks for a manifest as a blob when it was not found as what it is.
    if (auto m = cache.manifest(q->reference)) {
      count.blob_hits.add();
      began(q, {});
      http_reply out;
      out.content_type = "application/octet-stream";
      out.headers = fields(q, m->digest);
      out.body = m->text;
      out.selectable = true;
      out.etag = "\"" + m->digest + "\"";
      out.on_done = [this, q](const transfer_report& r) { ended(q, r, true); };
      return q->call->reply(std::move(out));
    }
  }
  if (held && !held->manifest) {
    auto file = cache.blob(q->reference);
    if (file) {
      count.blob_hits.add();
      began(q, {});
      cache.index().hold(q->reference);
      http_reply out;
      out.content_type = "application/octet-stream";
      out.headers = fields(q, q->reference);
      out.body = *file;
      out.selectable = true;
      out.etag = "\"" + q->reference + "\"";
      out.on_done = [this, q](const transfer_report& r) {
        cache.index().release(q->reference);
        ended(q, r, true);
      };
      return q->call->reply(std::move(out));
    }
  }
  if (q->from->config().hosted) return refuse(q, 404, "BLOB_UNKNOWN", "nothing of that digest was pushed");
  auto going = fills.find(q->reference);
  if (q->head() && going == fills.end()) return answer_blob_head(q);
  bool joined = false;
  auto f = want_blob(*q->from, q->image, q->reference, joined);
  began(q, {});
  follow(q, f, joined);
}

std::shared_ptr<fill> proxy::impl::want_blob(upstream& from, const std::string& image,
                                             const std::string& digest, bool& joined) {
  auto& held = fills[digest];
  joined = held != nullptr;
  if (held) return held;
  held = std::make_shared<fill>(world, cache, from, repository_of(image), digest);
  held->start([this](const std::shared_ptr<fill>& f) { fills.erase(f->digest()); });
  return held;
}

// Answers once the blob's size is known or enough of it is here, from then on as it grows.
void proxy::impl::follow(const question_ptr& q, const std::shared_ptr<fill>& f, bool joined) {
  using phase = fill::phase;
  auto mine = f->join(!q->head());
  // Who joins costs the upstream nothing.
  (joined ? count.blob_hits : count.blob_misses).add();
  struct step {
    static void look(impl& p, const question_ptr& q, const std::shared_ptr<fill>& f, bool joined,
                     std::optional<fill::reader> mine) {
      bool coming = f->state() == phase::growing || f->state() == phase::passing;
      if (f->state() == phase::asking || (coming && q->head() && !f->size())) {
        f->wait([late = p.weak_from_this(), q, f, joined, mine] {
          if (auto self = late.lock()) look(*self, q, f, joined, mine);
        });
        return;
      }
      if (f->state() == phase::failed) {
        if (mine) f->leave(*mine);
        p.journal.end(q->call->client.address, q->image, {0, false, false, f->failure().message},
                      p.world.clock.now());
        int status = f->status() != 0 ? f->status() : f->failure().code == errc::timeout ? 504 : 502;
        return p.refuse_as(q, status, f->failure().message, f->retry_after(), "BLOB_UNKNOWN");
      }
      if (q->head() && !f->size()) {
        if (mine) f->leave(*mine);
        return p.refuse_unmeasured(q);
      }
      http_reply out;
      out.content_type = "application/octet-stream";
      out.headers = p.fields(q, f->digest());
      out.selectable = true;
      out.etag = "\"" + f->digest() + "\"";
      bool along = mine && f->state() != phase::no_room;
      if (along)
        out.body = std::make_shared<fill_body>(f, *mine);
      else
        out.body =
            std::make_shared<straight_body>(p.world, f->from(), f->repository(), f->digest(), f->size());
      bool hit = f->imported() || (joined && along);
      out.on_done = [late = p.weak_from_this(), q, f, hit, mine](const transfer_report& r) {
        auto self = late.lock();
        if (!self) return;
        if (mine) f->leave(*mine);
        self->ended(q, r, hit);
      };
      q->call->reply(std::move(out));
    }
  };
  step::look(*this, q, f, joined, mine);
}

void proxy::impl::refuse_unmeasured(const question_ptr& q) {
  refuse(q, 502, "UNAVAILABLE", "the upstream does not tell the blob's size");
}

// Only the size is wanted: the upstream is asked for no more than that.
void proxy::impl::answer_blob_head(const question_ptr& q) {
  query ask;
  ask.method = "HEAD";
  ask.repository = q->from->repository(repository_of(q->image));
  ask.path = "blobs/" + q->reference;
  run<result<http_response>>(q->from->ask(std::move(ask)), [this, q](const result<http_response>& got) {
    count.blob_misses.add();
    if (!got)
      return refuse_as(q, got.error().code == errc::timeout ? 504 : 502, got.error().message, {},
                       "BLOB_UNKNOWN");
    if (got->status != 200)
      return refuse_as(q, got->status, "the upstream answers " + std::to_string(got->status),
                       q->from->blocked(), "BLOB_UNKNOWN");
    auto size = parse_size(std::string(got->header("content-length")) + "B");
    if (!size) return refuse_unmeasured(q);
    // A body that says how long it is; HEAD never reads it.
    struct length_only final : http_body {
      explicit length_only(std::uint64_t bytes) : size_(bytes) {}
      std::uint64_t size() const override { return size_; }
      result<piece> read(std::uint64_t, std::uint64_t, std::function<void()>) override {
        return fail(errc::unsupported, "there is no body", "registry.head");
      }
      std::uint64_t size_;
    };
    http_reply out;
    out.content_type = "application/octet-stream";
    out.headers = fields(q, q->reference);
    out.body = std::make_shared<length_only>(*size);
    out.selectable = true;
    out.etag = "\"" + q->reference + "\"";
    q->call->reply(std::move(out));
  });
}

} // namespace netlab::registry
