#pragma once
#include <memory>
#include <string>
#include <vector>

#include "host/object.h"
#include "netlab/asset.h"
#include "netlab/clock.h"

namespace netlab::lua {

// A handle that a TFTP or HTTP server can serve: the boot service, and what plugins add.
class served_source {
public:
  virtual ~served_source() = default;
  // Lives on the control loop, made by the time services start; null before.
  virtual asset_source* source() = 0;
  // A server of the recipe serves it; said while the recipe declares, and once more when port 0 is bound.
  virtual void served_by_http(std::uint16_t port) { (void)port; }
  virtual void served_by_tftp() {}
};

// Asks several sources in order; the first that does not say not_found answers. Borrows them.
class source_chain final : public asset_source {
public:
  explicit source_chain(std::vector<asset_source*> sources) : sources_(std::move(sources)) {}
  void open(const asset_request& request, asset_reply_fn reply) override {
    ask(request, std::move(reply), 0);
  }

private:
  void ask(const asset_request& request, asset_reply_fn reply, std::size_t at) {
    if (at == sources_.size()) return reply(fail(errc::not_found, request.path + ": nothing serves it"));
    sources_[at]->open(request, [this, request, reply, at](result<asset> got) {
      if (!got && got.error().code == errc::not_found && at + 1 < sources_.size())
        return ask(request, reply, at + 1);
      reply(std::move(got));
    });
  }
  std::vector<asset_source*> sources_;
};

// The sources among a server's `serve` entries, seen from the loop that the server lives on. Borrows the
// entries; opened when the server starts, because sources are made by then.
class served_sources {
public:
  // Null when no entry is a source.
  asset_source* open(const std::vector<object_ptr>& entries, scheduler& control, scheduler& server) {
    std::vector<asset_source*> sources;
    for (const auto& e : entries)
      if (auto* s = dynamic_cast<served_source*>(e.get())) sources.push_back(s->source());
    if (sources.empty()) return nullptr;
    chain_ = std::make_unique<source_chain>(std::move(sources));
    remote_ = make_remote_source(*chain_, control, server);
    return remote_.get();
  }

private:
  std::unique_ptr<source_chain> chain_;
  std::unique_ptr<asset_source> remote_;
};

} // namespace netlab::lua
