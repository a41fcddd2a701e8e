#pragma once
#include <memory>
#include <string>
#include <vector>

#include "netlab/asset.h"
#include "object.h"

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

} // namespace netlab::lua
