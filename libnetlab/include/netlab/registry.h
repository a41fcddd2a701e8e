#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/clock.h"
#include "netlab/http_server.h"
#include "netlab/log.h"
#include "netlab/runtime.h"
#include "netlab/units.h"

namespace netlab::registry {

struct account {
  std::string username, password;
};

// What a Docker config file ("auths" of ~/.docker/config.json) says about one registry. errc::not_found when
// it does not name it; errc::unsupported when it leaves that to a credential helper.
result<account> account_of_docker_config(std::string_view text, std::string_view registry);

// One registry behind the proxy.
struct upstream_config {
  std::string name;             // as images name it: "docker.io", "10.0.0.1:5000"
  std::string url;              // of its API, without /v2: "https://registry-1.docker.io"
  std::vector<endpoint> listen; // ports of its own
  std::optional<account> credentials;
  // For how long a tag's digest is believed before the upstream is asked again; `latest` for that tag.
  duration tags = std::chrono::minutes(10), latest = std::chrono::minutes(1);
  std::vector<std::string> mirrors; // asked before `url`, in order, without credentials
  std::string ca_file;              // instead of the system's
  bool verify = true;               // certificates
  std::string import;               // the storage folder of a registry:2, read as a warm cache; empty: none
  bool hosted = false;              // there is no upstream: images are pushed to this one and stay
  bool library = false;             // names of one component live under "library/", as on Docker Hub
};

// A registry that only its name is known of: its public API, by HTTPS.
upstream_config default_upstream(std::string name);

// One client's pull of one image, told when it has rested for a moment.
struct pull {
  ip_address client;
  std::string image;                         // "docker.io/library/alpine:3.19"
  std::uint64_t bytes = 0, cached_bytes = 0; // sent to the client, and how many of them were here already
  std::uint32_t requests = 0, hits = 0;
  duration elapsed{};
  bool completed = true;
  std::string reason; // why a request of it failed
};

struct proxy_config {
  std::string name = "registry";
  std::string folder;                             // of the cache; made when it is not there
  std::uint64_t max_size = 20ull << 30;           // bytes of blobs and manifests
  std::uint64_t reserve = 64u << 20;              // bytes of the file system that are left to others
  std::vector<upstream_config> upstreams;         // `name` is unique
  std::vector<endpoint> listen;                   // all of them by ?ns= or /v2/<registry>/…
  std::vector<std::string> allow;                 // further registries that ?ns= and the path may name; globs
  std::optional<tls_identity> tls;                // of every port
  duration stall_time = std::chrono::seconds(30); // an upstream that sends nothing for so long is given up
  std::function<void(const pull&)> on_pull;       // on the proxy's loop
};
// What is wrong with it, before anything is bound.
result<void> check(const proxy_config& config);
// What it names that is not on this disk, in sentences for the operator: folders to import that are none.
std::vector<std::string> missing(const proxy_config& config, files& disk);
// The name of the upstream that a registry is served by, or would be when it is asked for: of `upstreams`, or
// one that `allow` lets in. Nothing: it is refused. Docker's own spellings of its registry mean the same.
std::optional<std::string> served_as(const proxy_config& config, std::string_view registry);

// How one upstream stands.
struct upstream_state {
  std::string name, url;
  bool up = true;
  std::string trouble;                           // why the last request failed; empty: it did not
  std::optional<duration> blocked;               // it said 429: nothing is asked of it for so long
  std::optional<std::uint64_t> limit, remaining; // of its rate limit, as it says
  duration window{};                             // that the limit is for
  std::uint64_t requests = 0, bytes = 0;         // asked of it, and fetched from it
};

struct proxy_state {
  std::uint64_t bytes = 0, max_size = 0; // in the cache
  std::size_t blobs = 0, manifests = 0, tags = 0, pinned = 0;
  std::size_t fills = 0;                // under way
  std::uint64_t requests = 0, hits = 0; // for manifests and blobs
  std::uint64_t sent = 0, fetched = 0,
                saved = 0;   // bytes: to clients, from upstreams, and what was not fetched
  std::uint64_t evicted = 0; // bytes
  std::vector<upstream_state> upstreams;
};

struct image_state {
  std::string image, digest, media_type;
  std::uint64_t bytes = 0; // that are here of it
  std::size_t missing = 0; // contents that are not here
  wall_time used{};
  bool pinned = false;
};

// Work that takes its time: asked for, then looked at.
struct job_state {
  std::uint64_t id = 0;
  std::string what; // "prefetch", "verify"
  bool done = false, failed = false;
  std::size_t steps = 0, finished = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> lines; // what there is to say, in order
};

// A pull-through cache of any number of registries, and a home for images of one's own. Owns its listeners,
// its cache folder, what it asks of upstreams, and a thread that syncs files. Everything on the thread of the
// loop of `world`; destroying it ends every transfer, and what was begun is gone on with by the next one.
class proxy {
public:
  proxy(const runtime& world, proxy_config config);
  ~proxy();
  proxy(const proxy&) = delete;
  proxy& operator=(const proxy&) = delete;

  // Opens the cache, then binds. Upstreams are not asked for anything.
  result<void> start();
  // What it is bound to: the upstreams' ports in order, then the shared ones.
  std::vector<endpoint> local() const;
  // Takes no new connections, lets requests finish, then posts `done`.
  void drain(std::function<void()> done);

  proxy_state state() const;
  std::vector<image_state> images() const;
  // Evicts down to the limit and removes parts that nobody goes on with; bytes that left the cache.
  std::uint64_t collect();
  // `platforms`: "linux/arm64"; empty: all. Already cached content is not fetched again.
  result<job_state> prefetch(const std::vector<std::string>& images,
                             const std::vector<std::string>& platforms);
  // Reads everything and compares it with its digest; what is wrong is removed.
  job_state verify();
  result<job_state> job(std::uint64_t id) const;
  // Keeps an image that is here, whatever the limit says. errc::not_found when it is not.
  result<void> pin(std::string_view image);
  result<void> unpin(std::string_view image);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

// How nodes are told to use the proxy.
struct mirror {
  std::string registry; // "docker.io"
  std::string url;      // "http://10.0.0.2:5050"
  bool path = false;    // `url` ends in /v2/<registry>: a port that is shared
};
// containerd's hosts.toml files, by their path below its config_path.
std::map<std::string, std::string> containerd_hosts(const std::vector<mirror>& mirrors);
// Talos: a patch with machine.registries.mirrors, and the documents of 1.12 and later.
std::string talos_registries(const std::vector<mirror>& mirrors);
std::string talos_mirror_documents(const std::vector<mirror>& mirrors);
// /etc/docker/daemon.json: the mirror of docker.io, the only registry that Docker takes one for, and every
// port without TLS. Empty when there is neither.
std::string docker_daemon_json(const std::vector<mirror>& mirrors);

// Images that a text names: a list with one a line (talosctl image default), or the "image:" fields of
// Kubernetes manifests. Each once, in order.
std::vector<std::string> images_in(std::string_view text);

// The room's message table.
std::span<const message* const> messages();

} // namespace netlab::registry
