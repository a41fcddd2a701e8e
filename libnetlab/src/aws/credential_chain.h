#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "netlab/aws.h"
#include "settings.h"

namespace netlab::aws {

// Finds credentials where AWS' own tools find them, in their order, and keeps them until shortly before they
// expire. Owned by a client; its loop's thread only; destroying it ends what is under way.
class credential_chain {
public:
  using done_fn = std::function<void(result<credentials>)>;
  // How the chain asks STS and SSO: with these keys, or unsigned without.
  using ask_fn =
      std::function<std::unique_ptr<pending>(call, std::optional<credentials>, std::function<void(outcome)>)>;

  credential_chain(runtime& world, const client_options& options, const settings& from, ask_fn ask);
  ~credential_chain();

  // `done` may run inside this call when the credentials are known.
  void get(done_fn done);
  // The credentials turned out to be expired; true when asking again may give others.
  bool forget();

private:
  struct flight;
  void resolve(const std::string& profile, int depth, done_fn done);
  void from_profile(const std::string& profile, int depth, done_fn done);
  void from_machine(done_fn done);
  void assume_role(const std::string& profile, int depth, done_fn done);
  void web_identity(const std::string& role, const std::string& file, const std::string& session,
                    const std::string& source, done_fn done);
  void sso(const std::string& profile, done_fn done);
  void process(const std::string& profile, const std::string& command, done_fn done);
  void container(done_fn done);
  void instance(done_fn done);
  void sts(const std::string& action, json input, std::optional<credentials> keys, const std::string& source,
           const std::string& renew, done_fn done);
  void http(http_request request, const std::string& source, std::function<void(result<http_response>)> done);
  std::optional<credentials> keys_of(const std::string& profile) const;
  std::optional<credentials> environment() const;
  void settle(result<credentials> got);

  runtime& world_;
  const client_options& options_;
  const settings& settings_;
  ask_fn ask_;
  std::optional<credentials> cached_;
  bool renewable_ = false; // the chain can get new ones by itself
  std::vector<done_fn> waiting_;
  bool resolving_ = false;
  std::vector<std::shared_ptr<void>> flights_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace netlab::aws
