#include "retry.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace netlab::aws {

namespace {

constexpr double burst = 100, most_rate = 100;

constexpr std::array throttling = {"Throttling",
                                   "ThrottlingException",
                                   "ThrottledException",
                                   "RequestThrottled",
                                   "RequestThrottledException",
                                   "TooManyRequestsException",
                                   "ProvisionedThroughputExceededException",
                                   "RequestLimitExceeded",
                                   "BandwidthLimitExceeded",
                                   "LimitExceededException",
                                   "SlowDown",
                                   "PriorRequestNotComplete",
                                   "EC2ThrottledException",
                                   "TransactionInProgressException"};

bool ends(std::string_view code, std::initializer_list<std::string_view> tails) {
  return std::any_of(tails.begin(), tails.end(), [&](std::string_view t) { return code.ends_with(t); });
}

bool begins(std::string_view text, std::initializer_list<std::string_view> heads) {
  return std::any_of(heads.begin(), heads.end(), [&](std::string_view h) { return text.starts_with(h); });
}

} // namespace

verdict judge(int status, std::string_view code) {
  if (std::find(throttling.begin(), throttling.end(), code) != throttling.end()) return verdict::throttled;
  if (status == 429) return verdict::throttled;
  if (code == "RequestTimeout" || code == "RequestTimeoutException") return verdict::transient;
  if (status == 500 || status == 502 || status == 503 || status == 504) return verdict::transient;
  return verdict::final;
}

errc code_of(int status, std::string_view code) {
  if (judge(status, code) == verdict::throttled) return errc::busy;
  if (ends(code, {".NotFound", "NotFound", "NotFoundException", "NotFoundFault", ".Malformed"}) ||
      begins(code, {"NoSuch"}) || status == 404)
    return errc::not_found;
  if (begins(code, {"UnauthorizedOperation", "AccessDenied", "AuthFailure", "InvalidClientTokenId",
                    "ExpiredToken", "SignatureDoesNotMatch", "UnrecognizedClient", "InvalidAccessKeyId",
                    "OptInRequired", "RequestExpired", "RequestTimeTooSkewed", "InvalidSignature",
                    "MissingAuthenticationToken", "InvalidToken", "NotAuthorized", "Blocked"}))
    return errc::denied;
  if (ends(code, {"LimitExceeded", "LimitExceededException", "QuotaExceeded"}) ||
      begins(code, {"InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded"}))
    return errc::limit;
  if (ends(code, {".Duplicate", "AlreadyExists", "AlreadyExistsException", "AlreadyAssociated",
                  "AlreadyOwnedByYou"}) ||
      begins(code, {"EntityAlreadyExists", "InvalidLaunchTemplateName.AlreadyExists"}))
    return errc::exists;
  if (begins(code, {"DependencyViolation", "DeleteConflict", "ResourceInUse", "IncorrectState",
                    "IncorrectInstanceState", "ScalingActivityInProgress", "IdempotentParameterMismatch",
                    "BucketNotEmpty", "OperationAborted", "InvalidIPAddress.InUse", "ConflictException",
                    "Resource.AlreadyAssociated"}) ||
      ends(code, {".InUse", "InUse", ".Conflict"}))
    return errc::conflict;
  if (judge(status, code) == verdict::transient) return errc::busy;
  if (begins(code, {"UnsupportedOperation", "Unsupported"})) return errc::unsupported;
  return status >= 400 && status < 500 ? errc::invalid : errc::refused;
}

bool is_repeatable(std::string_view action, bool has_token) {
  if (has_token || action == "CreateTags" || action == "CreateOrUpdateTags" || action == "StartInstances")
    return true;
  return !begins(action, {"Create", "Run", "Allocate", "Import", "Register", "Copy", "Purchase", "Request",
                          "Start", "Send", "Execute"});
}

duration pause_before(int attempt, const client_options& o, random_source& random) {
  auto most = o.backoff * (std::int64_t{1} << std::min(attempt - 1, 20));
  most = std::min(most, o.longest_backoff);
  double share = static_cast<double>(random.u32()) / 4294967295.0;
  return duration(static_cast<std::int64_t>(static_cast<double>(most.count()) * share));
}

pacer::pacer(duration backoff)
    : least_rate_(
          std::clamp(0.2 / std::max(1e-4, static_cast<double>(backoff.count()) / 1e9), 2.0, most_rate)) {}

void pacer::fill(bucket& b, boot_time now) const {
  double seconds = static_cast<double>((now - b.filled).count()) / 1e9;
  b.tokens = std::min(burst, b.tokens + seconds * b.rate);
  b.filled = now;
}

duration pacer::take(const std::string& api, boot_time now) {
  auto it = buckets_.find(api);
  if (it == buckets_.end() || !it->second.limited) return duration::zero();
  auto& b = it->second;
  fill(b, now);
  b.tokens -= 1;
  if (b.tokens >= 0) return duration::zero();
  return duration(static_cast<std::int64_t>(-b.tokens / b.rate * 1e9));
}

void pacer::throttled(const std::string& api, boot_time now) {
  auto [it, added] = buckets_.try_emplace(api, bucket{0, 20, now});
  auto& b = it->second;
  fill(b, now);
  if (!b.limited) b.tokens = 0;
  b.limited = true;
  b.rate = std::max(least_rate_, b.rate * 0.7);
  b.tokens = std::min(b.tokens, 1.0);
}

void pacer::answered(const std::string& api, boot_time now) {
  auto it = buckets_.find(api);
  if (it == buckets_.end() || !it->second.limited) return;
  auto& b = it->second;
  fill(b, now);
  b.rate *= 1.1;
  // As fast as anybody is let: the limit has gone.
  if (b.rate >= most_rate) b.limited = false;
}

} // namespace netlab::aws
