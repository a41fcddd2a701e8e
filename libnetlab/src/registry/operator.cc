#include <algorithm>
#include <set>

#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

namespace {

constexpr std::size_t most_lines = 10'000, kept_jobs = 16;

bool wants(const std::vector<std::string>& platforms, const oci::descriptor& entry) {
  if (platforms.empty() || !entry.with_platform) return true;
  auto whole = entry.os + "/" + entry.architecture;
  return std::any_of(platforms.begin(), platforms.end(), [&](const std::string& each) {
    return each == whole || each == whole + "/" + entry.variant;
  });
}

} // namespace

std::vector<image_state> proxy::impl::images() const {
  std::vector<image_state> out;
  const auto& index = cache.index();
  auto& held = const_cast<store&>(cache); // reading a manifest brings it into memory
  auto describe = [&](const std::string& name, const std::string& digest) {
    image_state i;
    i.image = name;
    i.digest = digest;
    if (const auto* e = index.find(digest)) {
      i.media_type = e->media_type;
      i.used = e->used;
    }
    i.pinned = index.pinned(digest);
    std::set<std::string> seen;
    std::vector<std::string> left{digest};
    while (!left.empty()) {
      auto d = std::move(left.back());
      left.pop_back();
      if (!seen.insert(d).second) continue;
      const auto* e = index.find(d);
      if (!e) {
        ++i.missing;
        continue;
      }
      i.bytes += e->size;
      left.insert(left.end(), e->children.begin(), e->children.end());
    }
    out.push_back(std::move(i));
  };
  std::set<std::string> tagged;
  for (const auto& [repository, tags] : index.tags())
    for (const auto& [name, t] : tags) {
      describe(repository + ":" + name, t.digest);
      tagged.insert(t.digest);
    }
  (void)held;
  for (const auto& [image, digest] : pins)
    if (!tagged.contains(digest)) describe(image, digest);
  return out;
}

result<std::string> proxy::impl::digest_of(const oci::image_name& image) const {
  auto key = served_as(config, image.registry).value_or(image.registry) + "/" + image.repository;
  if (image.reference.find(':') != std::string::npos) {
    if (cache.index().find(image.reference)) return image.reference;
  } else if (auto* tag = const_cast<store&>(cache).index().find_tag(key, image.reference)) {
    return tag->digest;
  }
  return fail(errc::not_found, image.to_string() + " is not in the cache: prefetch it first", "registry.pin");
}

std::shared_ptr<job_state> proxy::impl::new_job(std::string what) {
  auto job = std::make_shared<job_state>();
  job->id = ++last_job;
  job->what = std::move(what);
  jobs.emplace(job->id, job);
  while (jobs.size() > kept_jobs && jobs.begin()->second->done) jobs.erase(jobs.begin());
  return job;
}

void proxy::impl::end_job(const std::shared_ptr<job_state>& job, bool good) {
  job->done = true;
  job->failed = !good;
  world.log(msg_job,
            job->what + (good ? " ended well: " : " did not succeed: ") + std::to_string(job->finished) +
                " of " + std::to_string(job->steps) + ", " + format_size(job->bytes),
            {{"registry", config.name}});
}

result<job_state> proxy::impl::prefetch(const std::vector<std::string>& wanted,
                                        const std::vector<std::string>& platforms) {
  std::vector<oci::image_name> parsed;
  for (const auto& text : wanted) {
    auto image = oci::parse_image(text);
    if (!image) return tl::unexpected(image.error());
    if (!upstream_named(image->registry))
      return fail(errc::not_found, image->registry + " is no registry of this proxy", "registry.prefetch");
    parsed.push_back(std::move(*image));
  }
  if (parsed.empty()) return fail(errc::invalid, "no image is named", "registry.prefetch");
  for (const auto& p : platforms) {
    auto parts = split(p, '/');
    if ((parts.size() != 2 && parts.size() != 3) || std::count(parts.begin(), parts.end(), ""))
      return fail(errc::invalid, "\"" + printable(p) + "\" is no platform: write it as linux/arm64",
                  "registry.prefetch");
  }
  auto job = new_job("prefetch");
  job->steps = parsed.size();
  auto copy = *job;
  run<bool>(prefetch_all(job, std::move(parsed), platforms), [this, job](bool good) { end_job(job, good); });
  return copy;
}

task<bool> proxy::impl::prefetch_all(std::shared_ptr<job_state> job, std::vector<oci::image_name> all,
                                     std::vector<std::string> platforms) {
  bool good = true;
  for (const auto& image : all) {
    auto before = job->bytes;
    auto errors = job->lines.size();
    auto& from = *upstream_named(image.registry);
    auto fetching = prefetch_one(job, from, from.image(image.repository), image.reference, platforms);
    auto one = co_await fetching;
    good = good && one;
    if (one) ++job->finished;
    if (job->lines.size() < most_lines && (one || job->lines.size() == errors))
      job->lines.push_back(image.to_string() + (!one ? ": not fetched"
                                                : job->bytes == before
                                                    ? ": all of it was here"
                                                    : ": " + format_size(job->bytes - before) + " fetched"));
  }
  co_return good;
}

// A manifest with all that it needs, for the platforms that are wanted.
task<bool> proxy::impl::prefetch_one(std::shared_ptr<job_state> job, upstream& from, std::string image,
                                     std::string reference, std::vector<std::string> platforms) {
  auto say = [&](const std::string& why) {
    if (job->lines.size() < most_lines)
      job->lines.push_back(image + (reference.find(':') == std::string::npos ? ":" : "@") + reference + ": " +
                           why);
  };
  auto m = ready_manifest(from, image, reference);
  if (!m) {
    auto asking = fetch_manifest(from, image, reference);
    auto got = co_await asking;
    if (!got.found) {
      say(got.why.empty() ? "the registry does not have it" : got.why);
      co_return false;
    }
    m = got.found;
    if (!got.cached) job->bytes += m->text->size();
  }
  auto read = oci::parse_manifest(*m->text);
  if (!read) {
    say(read.error().message);
    co_return false;
  }
  bool good = true, any = read->manifests.empty();
  for (const auto& entry : read->manifests) {
    if (!wants(platforms, entry)) continue;
    any = true;
    auto fetching = prefetch_one(job, from, image, entry.digest.to_string(), {});
    auto one = co_await fetching;
    good = good && one;
  }
  if (!any) {
    say("it is not made for any of the platforms");
    good = false;
  }
  std::vector<std::string> blobs;
  if (read->config) blobs.push_back(read->config->digest.to_string());
  for (const auto& layer : read->layers) blobs.push_back(layer.digest.to_string());
  for (const auto& digest : blobs) {
    if (cache.index().find(digest)) continue;
    bool joined = false;
    auto f = want_blob(from, image, digest, joined);
    while (f->state() == fill::phase::asking || f->state() == fill::phase::growing) {
      struct change {
        fill& of;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> caller) {
          of.wait([caller, late = std::weak_ptr(alive)] {
            if (!late.expired()) caller.resume();
          });
        }
        void await_resume() const noexcept {}
        std::shared_ptr<int> alive = std::make_shared<int>(0);
      };
      change next{*f};
      co_await next;
    }
    if (f->state() == fill::phase::whole) {
      if (!joined) job->bytes += *f->size();
      continue;
    }
    say(digest + ": " + f->failure().message);
    good = false;
  }
  // A part that came late may have displaced one that came first.
  bool here = std::all_of(blobs.begin(), blobs.end(), [&](const auto& d) { return cache.index().find(d); });
  if (good && !here) {
    say("the cache is too small for all that it needs");
    good = false;
  }
  co_return good;
}

task<bool> proxy::impl::verify_all(std::shared_ptr<job_state> job) {
  std::vector<std::string> all;
  for (const auto& [digest, e] : cache.index().entries()) all.push_back(digest);
  job->steps = all.size();
  for (const auto& digest : all) {
    const auto* e = cache.index().find(digest);
    ++job->finished;
    if (!e) continue;
    job->bytes += e->size;
    if (e->manifest) {
      if (!cache.manifest(digest)) job->lines.push_back(digest + " was damaged and is gone");
      continue;
    }
    auto path = cache.blob_path(digest, e->size);
    auto right = std::make_shared<bool>(false);
    disk_worker::job compare = [path, digest, right]() -> result<void> {
      auto expected = oci::parse_digest(digest);
      auto sum = checksum_of_file(path, expected->algorithm);
      if (!sum) return tl::unexpected(sum.error());
      *right = *sum == *expected;
      return {};
    };
    on_disk comparing(cache.worker(), std::move(compare));
    auto read = co_await comparing;
    if ((read && *right) || !cache.index().find(digest)) continue;
    job->lines.push_back(digest + " was damaged and is gone" + (read ? "" : ": " + read.error().message));
    world.log(msg_damaged, "the blob " + digest + " was damaged", {{"registry", config.name}});
    cache.remove(digest);
  }
  co_return true;
}

std::uint64_t proxy::collect() {
  auto& p = *impl_;
  auto before = p.cache.bytes();
  p.cache.trim();
  p.cache.expire_parts();
  return before - p.cache.bytes();
}

result<job_state> proxy::prefetch(const std::vector<std::string>& images,
                                  const std::vector<std::string>& platforms) {
  return impl_->prefetch(images, platforms);
}

job_state proxy::verify() {
  auto job = impl_->new_job("verify");
  auto copy = *job;
  impl_->run<bool>(impl_->verify_all(job), [p = impl_.get(), job](bool good) { p->end_job(job, good); });
  return copy;
}

result<job_state> proxy::job(std::uint64_t id) const {
  auto found = impl_->jobs.find(id);
  if (found == impl_->jobs.end()) return fail(errc::not_found, "there is no such job", "registry.job");
  return *found->second;
}

result<void> proxy::pin(std::string_view text) {
  auto image = oci::parse_image(text);
  if (!image) return tl::unexpected(image.error());
  auto digest = impl_->digest_of(*image);
  if (!digest) return tl::unexpected(digest.error());
  auto& held = impl_->pins[image->to_string()];
  if (!held.empty() && held != *digest) impl_->cache.index().unpin(held);
  held = *digest;
  impl_->cache.index().pin(*digest);
  impl_->cache.save_pins(impl_->pins);
  return {};
}

result<void> proxy::unpin(std::string_view text) {
  auto image = oci::parse_image(text);
  if (!image) return tl::unexpected(image.error());
  auto& p = *impl_;
  auto found = p.pins.find(image->to_string());
  if (found == p.pins.end())
    return fail(errc::not_found, image->to_string() + " is not pinned", "registry.pin");
  auto digest = found->second;
  p.pins.erase(found);
  // Another name may pin the same image.
  if (std::none_of(p.pins.begin(), p.pins.end(), [&](const auto& each) { return each.second == digest; }))
    p.cache.index().unpin(digest);
  p.cache.save_pins(p.pins);
  return {};
}

} // namespace netlab::registry
