#pragma once
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "fill.h"
#include "netlab/registry.h"
#include "netlab/task.h"
#include "pulls.h"
#include "requests.h"
#include "store.h"
#include "uploads.h"
#include "upstream.h"

namespace netlab::registry {

// A request with what it is about, made sense of.
struct question {
  http_call_ptr call;
  upstream* from = nullptr;
  std::string image;     // "docker.io/library/alpine": the key of its tags, and how it is shown
  std::string name;      // as the client names it, for paths that it is told
  std::string reference; // tag or digest
  std::string ns;        // when the client sent one
  bool head() const { return call->method == "HEAD"; }
};
using question_ptr = std::shared_ptr<question>;

// What came of asking for a manifest.
struct manifest_outcome {
  manifest_ptr found;
  bool cached = false; // nothing was fetched for it
  int status = 404;    // without one
  std::string why;
  std::optional<duration> retry_after;
};

struct list_outcome {
  std::optional<std::vector<std::string>> names;
  int status = 404;
  std::string why;
};

// Which registry's repository a path of the API means.
struct destination {
  upstream* from = nullptr; // null: no registry of this proxy
  std::string_view name;    // the repository, as the client wrote it
  std::string ns;           // when the client sent one
  std::string registry;     // what it asked for, when there is none
};

struct proxy::impl : std::enable_shared_from_this<proxy::impl> {
  impl(const runtime& world, proxy_config c);
  ~impl();

  // One port, or several that share what they serve.
  struct door {
    std::unique_ptr<http_server> server;
    upstream* only = nullptr; // of a port of its own; null: any
    std::vector<endpoint> wanted, bound;
    std::vector<std::size_t> missing; // addresses that this machine does not have yet
  };

  result<void> start();
  result<void> open_door(std::vector<endpoint> listen, upstream* only, const std::string& label);
  result<void> bind(door& d, std::size_t index);

  // --- what clients ask
  void answer(door& at, http_call_ptr call);
  // What is at hand, for the HTTP server to send by itself.
  http_ready ready_answer(const door& at, const http_request_head& head);
  destination destination_of(const door& at, std::string_view name, std::string_view query);
  // Which registry and repository a request is about; answers it when there is none.
  question_ptr understand(door& at, const http_call_ptr& call, const request& asked);
  // Null: no registry of this proxy.
  upstream* upstream_named(const std::string& registry);
  void answer_manifest(const question_ptr& q);
  void reply_manifest(const question_ptr& q, const manifest_ptr& m, bool hit);
  void note_manifest(const ip_address& client, const std::string& image, std::string_view reference,
                     const stored_manifest& m, bool head, bool hit);
  void answer_blob(const question_ptr& q);
  void reply_blob(const question_ptr& q, const std::string& digest);
  void follow(const question_ptr& q, const std::shared_ptr<fill>& f, bool joined);
  void answer_blob_head(const question_ptr& q);
  void refuse_unmeasured(const question_ptr& q);
  void answer_tags(const question_ptr& q);
  void answer_referrers(const question_ptr& q);
  void answer_catalog(const http_call_ptr& call);
  void answer_write(const question_ptr& q, const request& asked);
  std::shared_ptr<http_sink> sink_of(const door& at, const http_request_head& head);
  // "lab/team/app" when that is a hosted repository; else empty.
  std::string hosted_image(const door& at, std::string_view name);
  void answer_upload(const question_ptr& q);
  void give_up_upload(const question_ptr& q, const std::shared_ptr<upload>& u);
  void finish_upload(const question_ptr& q, const std::shared_ptr<upload>& u, const std::string& digest);
  void take_pushed_manifest(const question_ptr& q);
  void delete_manifest(const question_ptr& q);
  void keep_for_push(const std::string& digest);
  void keep_hosted(const std::string& name, const std::string& digest);
  void drop_hosted(const std::string& name);
  void forget_untagged(const std::string& image, const std::string& digest);
  void expire_uploads();
  void refuse(const question_ptr& q, int status, std::string_view code, std::string_view message,
              std::optional<duration> retry_after = {});
  // The upstream's status as the client gets it.
  void refuse_as(const question_ptr& q, int status, const std::string& why,
                 std::optional<duration> retry_after, std::string_view missing_code);
  http_headers fields(const question_ptr& q, const std::string& digest) const;

  // --- what upstreams are asked, once for all who wait for it
  using manifest_fn = std::function<void(const manifest_outcome&)>;
  void want_manifest(upstream& from, const std::string& image, const std::string& reference, manifest_fn fn);
  task<manifest_outcome> fetch_manifest(upstream& from, std::string image, std::string reference);
  // From the folder of an older cache; nothing when it does not have it.
  manifest_ptr import_manifest(const upstream& from, const std::string& digest);
  task<manifest_outcome> take_manifest(upstream& from, std::string image, std::string reference,
                                       std::string digest);
  // The cached manifest when it need not be asked about; null otherwise.
  manifest_ptr ready_manifest(const upstream& from, const std::string& image, std::string_view reference);
  std::shared_ptr<fill> want_blob(upstream& from, const std::string& image, const std::string& digest,
                                  bool& joined);
  task<list_outcome> fetch_tags(upstream& from, std::string image);
  task<manifest_outcome> fetch_referrers(upstream& from, std::string image, std::string digest);
  std::string local_referrers(const std::string& digest) const;
  duration believed_for(const upstream& from, std::string_view tag) const;
  static std::string repository_of(const std::string& image) { return image.substr(image.find('/') + 1); }

  // Runs a task until it is done, and keeps it until then.
  template<class T>
  void run(task<T> work, std::function<void(T)> done) {
    auto it = runs.emplace(runs.end());
    auto held = std::make_shared<task_run<T>>(std::move(work), [this, it, done = std::move(done)](T value) {
      // Its frame is on the stack: it goes in the next turn.
      world.scheduler.post([kept = std::shared_ptr<void>(std::move(*it))] {});
      runs.erase(it);
      if (done) done(std::move(value));
    });
    *it = held;
    held->start();
  }

  // --- what is told
  void began(const question_ptr& q, std::string_view tag);
  void ended(const question_ptr& q, const transfer_report& report, bool hit);
  void look_for_finished_pulls();
  void watch_pulls();

  // --- the operator
  proxy_state state() const;
  std::vector<image_state> images() const;
  result<job_state> prefetch(const std::vector<std::string>& images,
                             const std::vector<std::string>& platforms);
  task<bool> prefetch_all(std::shared_ptr<job_state> job, std::vector<oci::image_name> images,
                          std::vector<std::string> platforms);
  task<bool> prefetch_one(std::shared_ptr<job_state> job, upstream& from, std::string image,
                          std::string reference, std::vector<std::string> platforms);
  task<bool> verify_all(std::shared_ptr<job_state> job);
  std::shared_ptr<job_state> new_job(std::string what);
  void end_job(const std::shared_ptr<job_state>& job, bool good);
  result<std::string> digest_of(const oci::image_name& image) const;

  const runtime& world;
  proxy_config config;
  store cache;
  std::map<std::string, std::unique_ptr<upstream>, std::less<>> upstreams;
  std::list<std::unique_ptr<door>> doors;
  std::shared_ptr<void> address_watch;
  bool draining = false;

  struct flight {
    std::vector<manifest_fn> waiting;
  };
  std::unordered_map<std::string, flight> flights; // by image and reference
  std::unordered_map<std::string, std::shared_ptr<fill>> fills;
  std::list<std::shared_ptr<void>> runs;
  struct held_list {
    std::vector<std::string> names;
    boot_time until{};
  };
  std::map<std::string, held_list> tag_lists;                              // by image
  std::map<std::string, std::pair<std::string, boot_time>> referrer_lists; // by image and digest
  // What is kept whatever the limit says: images by the operator's names for them, and hosted manifests by
  // "lab/team/app@sha256:…".
  std::map<std::string, std::string> pins;
  uploads incoming;
  std::map<std::string, boot_time> pushed; // blobs that no manifest lists yet, held
  std::set<std::string> told;              // what was said once already
  pull_journal journal;
  timer pull_watch, hourly;
  std::map<std::uint64_t, std::shared_ptr<job_state>> jobs;
  std::uint64_t last_job = 0;

  struct counters {
    counters(metrics& m, const std::string& name);
    counter &manifest_hits, &manifest_misses, &blob_hits, &blob_misses, &sent, &sent_cached;
  } count;
};

} // namespace netlab::registry
