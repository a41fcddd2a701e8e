#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "aws/wire.h"
#include "netlab/text.h"

using namespace netlab;
using namespace netlab::aws;

namespace {

json data(const char* text) { return parse_json(text).value(); }

// "Action=…&Version=…" left out: what the input adds, decoded, one a line.
std::string form(const char* service, const char* action, const char* input) {
  const auto& s = *find_service(service);
  auto r = encode(s, s.action_name(action), data(input));
  if (!r) return "error: " + r.error().message;
  std::string out;
  int n = 0;
  for (auto part : split(r->body, '&'))
    if (++n > 2) out += (out.empty() ? "" : " ") + url_decode(part, true).value();
  return out;
}

json read(const char* service, const char* action, const std::string& body) {
  http_response r;
  r.status = 200;
  r.body = body;
  auto out = decode(*find_service(service), action, r);
  return out ? *out : json("error: " + out.error().message);
}

wire_error problem(const char* service, int status, const std::string& body, http_headers headers = {}) {
  http_response r;
  r.status = status;
  r.body = body;
  r.headers = std::move(headers);
  return decode_error(*find_service(service), r);
}

} // namespace

TEST_CASE("names: snake_case as AWS' own library for Python spells it") {
  for (auto [name, snake] : std::initializer_list<std::pair<const char*, const char*>>{
           {"DescribeVpcs", "describe_vpcs"},
           {"VPCZoneIdentifier", "vpc_zone_identifier"},
           {"Ipv6CidrBlock", "ipv6_cidr_block"},
           {"AmazonProvidedIpv6CidrBlock", "amazon_provided_ipv6_cidr_block"},
           {"TargetGroupARNs", "target_group_arns"},
           {"RoleARN", "role_arn"},
           {"EnableVolumeIO", "enable_volume_io"},
           {"AssumeRoleWithSAML", "assume_role_with_saml"},
           {"vpcId", "vpc_id"},
           {"ETag", "e_tag"},
           {"S3Bucket", "s3_bucket"},
           {"", ""}}) {
    CHECK(snake_case(name) == snake);
  }
  const auto& ec2 = *find_service("ec2");
  CHECK(ec2.action_name("describe_vpcs") == "DescribeVpcs");
  CHECK(ec2.action_name("enable_volume_io") == "EnableVolumeIO");
  CHECK(find_service("iam")->action_name("create_saml_provider") == "CreateSAMLProvider");
  CHECK(ec2.token_member("RunInstances") == "client_token");
  CHECK(ec2.token_member("CreateVpc").empty());
  CHECK_FALSE(find_service("ec3"));
}

TEST_CASE("EC2 requests: lists in the singular, structures dotted, exceptions where the API has them") {
  CHECK(form("ec2", "describe_vpcs", R"({"filters": {"tag:k": ["a", "b"], "state": "available"}})") ==
        "Filter.1.Name=tag:k Filter.1.Value.1=a Filter.1.Value.2=b Filter.2.Name=state "
        "Filter.2.Value.1=available");
  CHECK(form("ec2", "describe_instances",
             R"({"instance_ids": ["i-1", "i-2"], "dry_run": true, "max_results": 5.0})") ==
        "InstanceId.1=i-1 InstanceId.2=i-2 DryRun=true MaxResults=5");
  CHECK(
      form(
          "ec2", "create_vpc",
          R"({"cidr_block": "10.0.0.0/16", "tag_specifications": [{"resource_type": "vpc", "tags": {"a": "b & c"}}]})") ==
      "CidrBlock=10.0.0.0/16 TagSpecification.1.ResourceType=vpc TagSpecification.1.Tag.1.Key=a "
      "TagSpecification.1.Tag.1.Value=b & c");
  CHECK(form("ec2", "authorize_security_group_ingress",
             R"({"group_id": "sg-1", "ip_permissions": [{"ip_protocol": "-1",
                 "ipv6_ranges": [{"cidr_ipv6": "::/0"}], "user_id_group_pairs": [{"group_id": "sg-2"}]}]})") ==
        "GroupId=sg-1 IpPermissions.1.IpProtocol=-1 IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0 "
        "IpPermissions.1.Groups.1.GroupId=sg-2");
  CHECK(form("ec2", "create_dhcp_options",
             R"({"dhcp_configurations": [{"key": "domain-name-servers", "values": ["1.2.3.4"]}]})") ==
        "DhcpConfiguration.1.Key=domain-name-servers DhcpConfiguration.1.Value.1=1.2.3.4");
  CHECK(form("ec2", "create_security_group", R"({"group_name": "g", "description": "d"})") ==
        "GroupName=g GroupDescription=d");
  CHECK(
      form(
          "ec2", "run_instances",
          R"({"block_device_mappings": [{"ebs": {"volume_type": "gp3"}}], "network_interfaces": [{"device_index": 0, "groups": ["sg-1"]}]})") ==
      "BlockDeviceMapping.1.Ebs.VolumeType=gp3 NetworkInterface.1.DeviceIndex=0 "
      "NetworkInterface.1.SecurityGroupId.1=sg-1");
  CHECK(form("ec2", "create_network_interface", R"({"groups": ["sg-1"]})") == "SecurityGroupId.1=sg-1");
  CHECK(form("ec2", "create_tags", R"({"resources": ["a"], "tags": {"k": ""}})") ==
        "ResourceId.1=a Tag.1.Key=k Tag.1.Value=");
  CHECK(form("ec2", "describe_launch_template_versions", R"({"versions": ["$Latest"]})") ==
        "LaunchTemplateVersion.1=$Latest");
  CHECK(form("ec2", "describe_vpcs", R"({"VpcId": "as it is", "vpc_ids": {}, "max_results": null})") ==
        "VpcId=as it is");
}

TEST_CASE("query requests: lists by member") {
  CHECK(
      form(
          "autoscaling", "create_auto_scaling_group",
          R"({"auto_scaling_group_name": "g", "vpc_zone_identifier": "s", "tags": [{"key": "a", "propagate_at_launch": false}]})") ==
      "AutoScalingGroupName=g VPCZoneIdentifier=s Tags.member.1.Key=a Tags.member.1.PropagateAtLaunch=false");
  CHECK(form("iam", "create_role", R"({"role_name": "r", "tags": {"k": "v"}})") ==
        "RoleName=r Tags.member.1.Key=k Tags.member.1.Value=v");
  CHECK(form("sts", "get_caller_identity", "{}").empty());
}

TEST_CASE("JSON requests: version, target and names") {
  auto ask = [](const char* service, const char* action, const char* input) {
    const auto& s = *find_service(service);
    return encode(s, s.action_name(action), data(input)).value();
  };
  auto ce =
      ask("ce", "get_cost_and_usage", R"({"time_period": {"start": "a"}, "metrics": ["UnblendedCost"]})");
  CHECK(ce.body == R"({"TimePeriod":{"Start":"a"},"Metrics":["UnblendedCost"]})");
  CHECK(ce.headers[0].second == "application/x-amz-json-1.1");
  CHECK(ce.headers[1].second == "AWSInsightsIndexService.GetCostAndUsage");
  auto free = ask("freetier", "get_free_tier_usage", R"({"max_results": 10.0})");
  CHECK(free.body == R"({"maxResults":10})");
  CHECK(free.headers[0].second == "application/x-amz-json-1.0");
  auto pricing =
      ask("pricing", "get_products", R"({"service_code": "AmazonEC2", "filters": {"usagetype": "X"}})");
  CHECK(pricing.body ==
        R"({"ServiceCode":"AmazonEC2","Filters":[{"Type":"TERM_MATCH","Field":"usagetype","Value":"X"}]})");
  auto budget = ask("budgets", "create_budget", R"({"budget": {"cost_filters": {"user:tag$x": ["y"]}}})");
  CHECK(budget.body == R"({"Budget":{"CostFilters":{"user:tag$x":["y"]}}})");
}

TEST_CASE("REST requests: paths, queries, headers and bodies") {
  const auto& scheduler = *find_service("scheduler");
  auto s = encode(scheduler, "CreateSchedule",
                  data(R"({"name": "a b", "schedule_expression": "at", "target": {"arn": "y"}})"))
               .value();
  CHECK(s.method == "POST");
  CHECK(s.path == "/schedules/a%20b");
  CHECK(s.body == R"({"ScheduleExpression":"at","Target":{"Arn":"y"}})");
  auto list = encode(scheduler, "ListSchedules", data(R"({"name_prefix": "n"})")).value();
  CHECK(list.query == std::vector<std::pair<std::string, std::string>>{{"NamePrefix", "n"}});
  CHECK_FALSE(encode(scheduler, "GetSchedule", data("{}")));
  const auto& s3 = *find_service("s3");
  auto put =
      encode(
          s3, "PutObject",
          data(
              R"({"bucket": "b", "key": "a/b c", "body": "text", "content_type": "text/plain", "metadata": {"K": "v"}})"))
          .value();
  CHECK(put.method == "PUT");
  CHECK(put.bucket == "b");
  CHECK(put.path == "/a/b%20c");
  CHECK(put.body == "text");
  auto head = [&](const wire_request& r, std::string_view name) {
    for (const auto& [key, value] : r.headers)
      if (key == name) return value;
    return std::string("none");
  };
  CHECK(head(put, "content-type") == "text/plain");
  CHECK(head(put, "x-amz-meta-k") == "v");
  auto tagging = encode(s3, "PutBucketTagging",
                        data(R"({"bucket": "b", "tagging": {"tag_set": [{"key": "a<", "value": "b"}]}})"))
                     .value();
  CHECK(tagging.query == std::vector<std::pair<std::string, std::string>>{{"tagging", ""}});
  CHECK(tagging.body ==
        "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag><Key>a&lt;</Key>"
        "<Value>b</Value></Tag></TagSet></Tagging>");
  auto listing =
      encode(s3, "ListObjectsV2", data(R"({"bucket": "b", "max_keys": 5, "prefix": "p/"})")).value();
  CHECK(listing.query == std::vector<std::pair<std::string, std::string>>{
                             {"max-keys", "5"}, {"prefix", "p/"}, {"list-type", "2"}});
  CHECK_FALSE(encode(s3, "GetObject", data(R"({"bucket": "b"})")));
  CHECK_FALSE(encode(s3, "GetObject", data(R"({"key": "b"})")));
  CHECK_FALSE(encode(s3, "NoSuchAction", data("{}")));
}

TEST_CASE("EC2 answers: sets are lists, also with one element or none; booleans and numbers are such") {
  CHECK(read("ec2", "DescribeVpcs", R"(<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>r</requestId><vpcSet><item><vpcId>vpc-1</vpcId><isDefault>false</isDefault>
    <tagSet><item><key>a</key><value>true</value></item></tagSet><ipv6CidrBlockAssociationSet/></item></vpcSet>
    </DescribeVpcsResponse>)") ==
        data(R"({"vpcs": [{"vpc_id": "vpc-1", "is_default": false, "tags": [{"key": "a", "value": "true"}],
                 "ipv6_cidr_block_association_set": []}]})"));
  CHECK(read("ec2", "DescribeVpcs", "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>") ==
        data(R"({"vpcs": []})"));
  CHECK(
      read("ec2", "DescribeSecurityGroups",
           "<R><securityGroupInfo><item><ipPermissions><item><fromPort>22</fromPort><groups/><ipRanges/>"
           "</item></ipPermissions></item></securityGroupInfo></R>") ==
      data(
          R"({"security_groups": [{"ip_permissions": [{"from_port": 22, "user_id_group_pairs": [], "ip_ranges": []}]}]})"));
  CHECK(
      read("ec2", "DescribeInstances",
           "<R><reservationSet><item><instancesSet><item><instanceState><code>16</code><name>running</name>"
           "</instanceState></item></instancesSet></item></reservationSet><nextToken/></R>") ==
      data(
          R"({"reservations": [{"instances": [{"state": {"code": 16, "name": "running"}}]}], "next_token": ""})"));
  CHECK(read("ec2", "DescribeVpcs", "<R><vpc").get<std::string>().starts_with("error: "));
  CHECK(read("ec2", "DescribeVpcs", "").get<std::string>().starts_with("error: "));
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "<a>";
  for (int i = 0; i < 5000; ++i) deep += "</a>";
  CHECK(read("ec2", "X", deep).get<std::string>().starts_with("error: "));
}

TEST_CASE("query and REST answers") {
  CHECK(read("autoscaling", "DescribeAutoScalingGroups",
             "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>"
             "<MinSize>0</MinSize><Instances/><VPCZoneIdentifier>s</VPCZoneIdentifier></member></"
             "AutoScalingGroups>"
             "</DescribeAutoScalingGroupsResult><ResponseMetadata/></DescribeAutoScalingGroupsResponse>") ==
        data(R"({"auto_scaling_groups": [{"min_size": 0, "instances": [], "vpc_zone_identifier": "s"}]})"));
  CHECK(read("iam", "PutRolePolicy", "<PutRolePolicyResponse><ResponseMetadata/></PutRolePolicyResponse>") ==
        json::object());
  auto listing =
      read("s3", "ListObjectsV2",
           "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
           "<Contents><Key>b</Key><Size>2</Size></Contents></ListBucketResult>");
  CHECK(listing ==
        data(R"({"is_truncated": true, "contents": [{"key": "a", "size": 1}, {"key": "b", "size": 2}]})"));
  CHECK(read("s3", "GetBucketLocation",
             "<LocationConstraint>eu-west-1</LocationConstraint>")["location_constraint"] == "eu-west-1");
  CHECK(read("freetier", "GetFreeTierUsage", R"({"freeTierUsages": [{"actualUsageAmount": 3.5}]})") ==
        data(R"({"free_tier_usages": [{"actual_usage_amount": 3.5}]})"));
  CHECK(read("ce", "X", "[]").get<std::string>().starts_with("error: "));
}

TEST_CASE("errors of every protocol have code, text and request") {
  auto e = problem(
      "ec2", 400,
      "<Response><Errors><Error><Code>DependencyViolation</Code><Message>in use</Message></Error></Errors>"
      "<RequestID>id-1</RequestID></Response>");
  CHECK(e.code == "DependencyViolation");
  CHECK(e.message == "in use");
  CHECK(e.request_id == "id-1");
  e = problem("iam", 404,
              "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>m</Message></Error>"
              "<RequestId>id-2</RequestId></ErrorResponse>");
  CHECK(e.code == "NoSuchEntity");
  CHECK(e.request_id == "id-2");
  e = problem("s3", 404,
              "<Error><Code>NoSuchKey</Code><Message>m</Message><RequestId>id-3</RequestId></Error>");
  CHECK(e.code == "NoSuchKey");
  CHECK(e.request_id == "id-3");
  e = problem("ce", 400, R"({"__type": "com.amazonaws#ThrottlingException", "message": "slow"})");
  CHECK(e.code == "ThrottlingException");
  CHECK(e.message == "slow");
  e = problem("scheduler", 409, R"({"Message": "there"})",
              {{"x-amzn-errortype", "ConflictException:http://x"}});
  CHECK(e.code == "ConflictException");
  CHECK(e.message == "there");
  e = problem("ec2", 403,
              "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>No. Encoded authorization "
              "failure message: abc</Message></Error></Errors></Response>");
  CHECK(e.message == "No.");
  CHECK(e.encoded == "abc");
  CHECK(problem("ec2", 502, "<html>bad gateway").code == "HTTP502");
  CHECK(problem("s3", 404, "").code == "NotFound");
}
