// What AWS, or somebody in its place, answers; and the shared files' text.
#include <nlohmann/json.hpp>
#include <string>

#include "aws/civil_time.h"
#include "aws/profile.h"
#include "aws/wire.h"

using namespace netlab;
using namespace netlab::aws;

// The first byte says whose answer it is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static constexpr const char* services[] = {"ec2", "autoscaling", "s3", "ce", "scheduler"};
  static constexpr const char* actions[] = {"DescribeInstances", "DescribeAutoScalingGroups", "ListObjectsV2",
                                            "GetCostAndUsage", "GetSchedule"};
  auto which = data[0] % 5;
  http_response r;
  r.status = 200;
  r.body.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto& service = *find_service(services[which]);
  if (auto answer = decode(service, actions[which], r))
    (void)answer->dump(-1, ' ', false, json::error_handler_t::replace);
  r.status = 400;
  (void)decode_error(service, r);
  (void)parse_profiles(r.body, "file");
  (void)parse_time(r.body);
  (void)parse_http_date(r.body);
  (void)pascal_case(snake_case(r.body));
  if (auto input = parse_json(r.body); input && input->is_object())
    (void)encode(service, actions[which], *input);
  return 0;
}
