#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "netlab/json.h"
#include "netlab/log.h"
#include "netlab/result.h"
#include "netlab/runtime.h"
#include "netlab/units.h"

namespace netlab::aws {

// Who asks. Never logged; `source` and `renew` are what a human may see of it.
struct credentials {
  std::string access_key, secret_key, session_token;
  std::optional<wall_time> expires;
  std::string source; // "profile lab of ~/.aws/credentials"
  std::string renew;  // what to do when it has expired
};

struct client_options {
  std::string region;   // empty: AWS_REGION, AWS_DEFAULT_REGION, the profile's
  std::string profile;  // empty: AWS_PROFILE, "default"; when given, keys in the environment do not count
  std::string endpoint; // for every service, before AWS_ENDPOINT_URL_<SERVICE> and AWS_ENDPOINT_URL
  std::optional<credentials> keys;                   // instead of the chain
  std::string mfa_code;                              // for a profile with role_arn and mfa_serial
  int attempts = 10;                                 // of one request, the first included; 1: no retry
  duration backoff = std::chrono::milliseconds(100); // the first pause is up to this, later ones double
  duration longest_backoff = std::chrono::seconds(20);
  duration timeout = std::chrono::seconds(30); // of one attempt
  std::string ca_file;
  // Reads an environment variable; empty function: none is set.
  std::function<std::optional<std::string>(const std::string&)> environment;
};

// What went wrong. `why.message` is whole: service, action, AWS' own words and what to do.
struct failure {
  error why;
  std::string code; // AWS' own: "DependencyViolation"; empty when no answer came
  int status = 0;
  std::string request_id;
  // The request may have been carried out although there was no answer that says so: look before asking
  // again.
  bool ambiguous = false;
};
using outcome = tl::expected<json, failure>;

struct call {
  std::string service; // "ec2"
  std::string action;  // "describe_vpcs"
  json input;          // members in snake_case
  std::string region;  // empty: the client's
  // Pages that are fetched and joined at most; the answer then holds the token of the next one.
  int pages = 1000;
  duration timeout{}; // zero: the client's
};

// Dropping it ends the call; `done` does not run then.
class pending {
public:
  virtual ~pending() = default;
};

// Requests to AWS: credentials, signature, paging, retries. Lives on one loop's thread, which `world` belongs
// to; destroying it ends its calls. Knows the services of names.cc. Actions that create something and take no
// idempotency token are not repeated when it is unknown whether they were carried out: the failure is
// `ambiguous`. Tokens that the caller leaves out are made.
class client {
public:
  virtual ~client() = default;
  // `done` runs once on the loop's thread, never inside this call.
  [[nodiscard]] virtual std::unique_ptr<pending> send(call what, std::function<void(outcome)> done) = 0;
  // The region that calls without one go to; errc::not_found says where it was looked for.
  virtual result<std::string> region() = 0;
  // Requests sent so far, and how many of them were repeats.
  virtual std::uint64_t requests() const = 0;
  virtual std::uint64_t repeats() const = 0;
};

std::unique_ptr<client> make_client(runtime& world, client_options options);

// errc::invalid when there is no such service (the nearest name in the message).
result<void> check_service(std::string_view name);
std::string service_list();

std::span<const message* const> messages();

} // namespace netlab::aws
