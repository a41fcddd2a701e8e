#include <utility>

#include "netlab/asset.h"
#include "netlab/clock.h"

namespace netlab {

namespace {

// Crosses between two loops by posts only; holds no state of its own, so that requests under way need
// nothing of it when it is destroyed.
class remote_source final : public asset_source {
public:
  remote_source(asset_source& source, scheduler& home, scheduler& server)
      : source_(source), home_(home), server_(server) {}

  void open(const asset_request& request, asset_reply_fn reply) override {
    home_.post([&source = source_, &home = home_, &server = server_, request,
                reply = std::move(reply)]() mutable {
      source.open(request, [&home, &server, reply = std::move(reply)](result<asset> answered) mutable {
        if (answered && answered->on_done)
          answered->on_done = [&home, done = std::move(answered->on_done)](const transfer_report& report) {
            home.post([done, report] { done(report); });
          };
        server.post([reply = std::move(reply), answered = std::move(answered)]() mutable {
          reply(std::move(answered));
        });
      });
    });
  }

private:
  asset_source& source_;
  scheduler& home_;
  scheduler& server_;
};

} // namespace

std::unique_ptr<asset_source> make_remote_source(asset_source& source, scheduler& home, scheduler& server) {
  return std::make_unique<remote_source>(source, home, server);
}

} // namespace netlab
