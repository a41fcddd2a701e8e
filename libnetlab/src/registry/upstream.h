#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "netlab/oci.h"
#include "netlab/registry.h"
#include "netlab/task.h"

namespace netlab::registry {

// One question to a registry, for one of its repositories.
struct query {
  std::string method = "GET";
  std::string repository;
  std::string path; // behind the repository: "manifests/latest"; or, whole, what a Link field named
  http_headers headers;
  std::size_t body_limit = 4u << 20;
  duration timeout = std::chrono::seconds(30);
  int attempts = 3; // at each place, when it cannot be reached or has a fault of its own
  // For bodies of any size: see http_request. Of the answer that counts only, not of those on the way to it.
  std::function<bool(int status, const http_headers& headers)> on_head;
  std::function<void(byte_view)> on_body;
  std::shared_ptr<exchange_control> control;
};

// A registry and its mirrors: asks them in order, with the tokens they want, again when they have a fault,
// and not at all while they said that there were too many questions. Owns tokens and what is known of the
// registry. One loop's thread; tasks under way must be gone before it.
class upstream {
public:
  upstream(const runtime& world, upstream_config config, duration stall_time, const std::string& proxy_name);

  // The answer of the first place that has what is asked for, else that of the registry itself. A 401 is
  // given as 403: credentials are between us and the upstream.
  task<result<http_response>> ask(query q);

  const upstream_config& config() const { return config_; }
  // "library/alpine" for "alpine" where that is the custom.
  std::string repository(const std::string& name) const;
  // "docker.io/library/alpine": the key of its tags.
  std::string image(std::string_view name) const;
  // How long it is still not to be asked.
  std::optional<duration> blocked() const;
  // It failed a moment ago: whoever has something to show for need not wait for it.
  bool down() const;
  upstream_state state() const;
  counter& fetched() { return bytes_; }

private:
  // Whether a name of one component is meant as one of the registry's own images.
  bool in_library(std::string_view name) const;
  struct place {
    std::string url;
    bool mine = false; // the registry's own, which credentials are for
    boot_time blocked_until{};
    bool blocked = false;
  };
  struct held_token {
    std::string authorization;
    boot_time until{};
  };
  task<result<http_response>> ask_place(place& at, const query& q, bool& begun);
  task<result<std::string>> authorise(place& at, const query& q, std::string demand);
  http_request request(const place& at, const query& q) const;
  void learn(place& at, const http_response& got);
  bool is_blocked(const place& at) const;

  const runtime& world_;
  upstream_config config_;
  duration stall_time_;
  std::vector<place> places_;
  std::map<std::string, held_token> tokens_; // by place and repository
  counter &requests_, &bytes_;
  std::string trouble_;
  boot_time failed_{};
  bool failing_ = false, said_ = false;
  std::optional<std::uint64_t> limit_, remaining_;
  duration window_{};
};

} // namespace netlab::registry
