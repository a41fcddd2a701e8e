#pragma once
#include <memory>

#include "host/object.h"
#include "host/schema.h"
#include "host/side_loop.h"
#include "netlab/registry.h"

namespace netlab::lua {

// netlab.registry.proxy: the proxy on a loop of its own, because it hashes and writes what it fetches.
// Control loop only.
class registry_service final : public service {
public:
  listen_list listen;
  registry::proxy_config settings;
  std::string cache; // as the recipe names it
  // What is fetched when it starts, so that the lab can boot without the upstreams.
  std::vector<std::string> prefetched, platforms;

  ~registry_service() override;
  std::string default_name() const override { return "registry"; }
  result<void> check(host& h) override;
  std::vector<std::string> notes() const override { return notes_; }
  std::vector<claimed_endpoint> endpoints() const override;
  result<void> start(host& h) override;
  void drain(std::function<void()> done) override;
  json status() const override;
  std::vector<reading> readings() const override;

  bool running() const { return proxy_ != nullptr; }
  // Runs `fn(proxy)` on the proxy's loop and returns its result.
  template<class F>
  auto call(F fn) const -> std::invoke_result_t<F, registry::proxy&> {
    if (!loop_) return fn(*proxy_);
    return loop_->call([&] { return fn(*proxy_); });
  }
  // What nodes are told, of a machine that they know as `address` (nothing: where it listens).
  result<std::vector<registry::mirror>> mirrors(const std::string& address) const;

private:
  std::vector<std::string> notes_;
  host* host_ = nullptr;
  std::unique_ptr<side_loop> loop_;        // none in simulated runs
  std::unique_ptr<registry::proxy> proxy_; // lives on the loop; goes before it
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace netlab::lua
