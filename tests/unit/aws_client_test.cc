#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "aws/profile.h"
#include "aws/retry.h"
#include "netlab/aws.h"
#include "netlab/encoding.h"
#include "netlab/text.h"
#include "support/fake_world.h"
#include "support/scripted_http.h"

using namespace netlab;
using namespace netlab::aws;

namespace {

class memory_files final : public files {
public:
  std::map<std::string, std::string> content;
  result<std::string> read(const std::string& path, std::size_t) override {
    auto it = content.find(path);
    if (it == content.end()) return fail(errc::not_found, "there is no file " + path);
    return it->second;
  }
  result<void> write(const std::string&, std::string_view, int) override {
    return fail(errc::denied, "read-only");
  }
  result<file_info> info(const std::string&) override { return fail(errc::not_found, ""); }
  result<std::vector<file_info>> list(const std::string&) override { return fail(errc::not_found, ""); }
  result<void> make_folders(const std::string&, int) override { return fail(errc::denied, ""); }
  result<void> remove(const std::string&) override { return fail(errc::denied, ""); }
  result<std::shared_ptr<void>> watch(const std::string&, std::function<void()>) override {
    return fail(errc::unsupported, "");
  }
};

struct bench {
  manual_time time{wall_time{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21}}};
  seeded_random random{1};
  memory_files disk;
  test::no_processes processes;
  test::scripted_http http{time};
  test::kept_log logged;
  metrics counters;
  test::fake_network wires{time};
  test::fake_host host{wires, *ip_address::parse("10.0.0.1"), 1500};
  runtime world{time, time, random, host, disk, processes, http, netlab::log(logged, time), counters};
  std::map<std::string, std::string> environment = {
      {"HOME", "/home/u"}, {"AWS_REGION", "eu-west-1"}, {"AWS_EC2_METADATA_DISABLED", "true"}};
  std::vector<test::scripted_http::page> answers; // in order; the last one stays
  std::size_t at = 0;
  client_options options;
  std::unique_ptr<client> made;

  bench() {
    http.before = [this](const http_request&) -> std::optional<test::scripted_http::page> {
      if (answers.empty()) return std::nullopt;
      return answers[std::min(at++, answers.size() - 1)];
    };
  }
  void keys() {
    environment["AWS_ACCESS_KEY_ID"] = "AKID";
    environment["AWS_SECRET_ACCESS_KEY"] = "very-secret";
  }
  std::optional<outcome> ask(call what) {
    if (!made) {
      options.environment = [this](const std::string& name) -> std::optional<std::string> {
        auto it = environment.find(name);
        return it == environment.end() ? std::nullopt : std::optional<std::string>(it->second);
      };
      made = make_client(world, options);
    }
    std::optional<outcome> out;
    auto held = made->send(std::move(what), [&](outcome o) { out = std::move(o); });
    for (int i = 0; i < 400 && !out; ++i) {
      time.settle();
      if (!out && time.until_next() != duration::max()) time.advance(time.until_next());
    }
    return out;
  }
  outcome vpcs() { return ask({"ec2", "describe_vpcs", json::object(), "", 1000, {}}).value(); }
  outcome create() {
    return ask({"ec2", "create_vpc", {{"cidr_block", "10.0.0.0/16"}}, "", 1000, {}}).value();
  }
};

test::scripted_http::page page(std::string body, int status = 200, http_headers headers = {}) {
  return {std::move(body), "", status, std::move(headers)};
}
test::scripted_http::page refusal(const char* code, int status, http_headers headers = {}) {
  return page("<Response><Errors><Error><Code>" + std::string(code) +
                  "</Code><Message>why</Message></Error></Errors><RequestID>id</RequestID></Response>",
              status, std::move(headers));
}
const auto empty = page("<R><vpcSet/></R>");

} // namespace

TEST_CASE("a signed request goes to the region's address, and the keys stay out of it") {
  bench b;
  b.keys();
  b.environment["AWS_SESSION_TOKEN"] = "token";
  b.answers = {empty};
  CHECK(b.vpcs().value() == json{{"vpcs", json::array()}});
  const auto& q = b.http.asked.at(0);
  CHECK(q.url == "https://ec2.eu-west-1.amazonaws.com/");
  CHECK(q.method == "POST");
  CHECK(q.body == "Action=DescribeVpcs&Version=2016-11-15");
  CHECK(b.http.field(0, "x-amz-security-token") == "token");
  auto authorization = b.http.field(0, "Authorization");
  CHECK(authorization.starts_with(
      "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/ec2/aws4_request, "
      "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="));
  CHECK(authorization.find("very-secret") == std::string::npos);
}

TEST_CASE("endpoints: option, variable of the service, variable of all, profile") {
  auto address = [](std::map<std::string, std::string> environment, const char* config,
                    const char* service = "ec2", const char* action = "describe_vpcs",
                    std::string option = "") {
    bench b;
    b.keys();
    for (auto& [k, v] : environment) b.environment[k] = v;
    b.disk.content["/home/u/.aws/config"] = config;
    b.options.endpoint = std::move(option);
    b.answers = {page("<R/>")};
    (void)b.ask({service, action, json::object(), "", 1, {}});
    return b.http.asked.empty() ? std::string("nothing") : b.http.asked[0].url;
  };
  CHECK(address({}, "") == "https://ec2.eu-west-1.amazonaws.com/");
  CHECK(address({{"AWS_ENDPOINT_URL", "http://a:1/"}}, "") == "http://a:1/");
  CHECK(address({{"AWS_ENDPOINT_URL", "http://a:1"}, {"AWS_ENDPOINT_URL_EC2", "http://b:2"}}, "") ==
        "http://b:2/");
  CHECK(address({{"AWS_ENDPOINT_URL_AUTO_SCALING", "http://c:3"}}, "", "autoscaling", "describe_policies") ==
        "http://c:3/");
  CHECK(address({{"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "http://d:4"}}, "", "elbv2",
                "describe_load_balancers") == "http://d:4/");
  CHECK(address({{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://e:5"}}, "", "logs", "describe_log_groups") ==
        "http://e:5/");
  CHECK(address({{"AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", "http://f:6"}}, "",
                "resourcegroupstaggingapi", "get_resources") == "http://f:6/");
  CHECK(address({{"AWS_ENDPOINT_URL", "http://a:1"}}, "", "ec2", "describe_vpcs", "http://o:9") ==
        "http://o:9/");
  CHECK(address({{"AWS_ENDPOINT_URL", "http://a:1"}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}}, "") ==
        "https://ec2.eu-west-1.amazonaws.com/");
  CHECK(address({}, "[default]\nendpoint_url = http://p:4\n") == "http://p:4/");
  CHECK(address({}, "[default]\nservices = dev\n[services dev]\nec2 =\n  endpoint_url = http://s:5\n") ==
        "http://s:5/");
  CHECK(address({}, "", "iam", "list_roles") == "https://iam.amazonaws.com/");
  CHECK(address({}, "", "pricing", "get_products") == "https://api.pricing.eu-central-1.amazonaws.com/");
  CHECK(address({}, "", "freetier", "get_free_tier_usage") == "https://freetier.us-east-1.api.aws/");
}

TEST_CASE("pages are joined, and a limit keeps the token") {
  bench b;
  b.keys();
  b.answers = {page("<R><vpcSet><item><vpcId>a</vpcId></item></vpcSet><nextToken>2</nextToken></R>"),
               page("<R><vpcSet><item><vpcId>b</vpcId></item></vpcSet><nextToken/></R>")};
  auto all = b.vpcs().value();
  CHECK(all["vpcs"].size() == 2);
  CHECK_FALSE(all.contains("next_page_token"));
  CHECK(b.http.asked[1].body.find("NextToken=2") != std::string::npos);
  bench one;
  one.keys();
  one.answers = b.answers;
  auto first = one.ask({"ec2", "describe_vpcs", json::object(), "", 1, {}})->value();
  CHECK(first["vpcs"].size() == 1);
  CHECK(first["next_token"] == "2");
  bench circle;
  circle.keys();
  circle.answers = {b.answers[0]};
  CHECK(circle.vpcs().error().why.code == errc::protocol);
  // Each service has words of its own for the next page.
  bench buckets;
  buckets.keys();
  buckets.answers = {page("<R><Buckets><Bucket><Name>a</Name></Bucket></Buckets>"
                          "<ContinuationToken>2</ContinuationToken></R>"),
                     page("<R><Buckets><Bucket><Name>b</Name></Bucket></Buckets></R>")};
  auto both = buckets.ask({"s3", "list_buckets", {{"max_buckets", 1}}, "", 1000, {}})->value();
  CHECK(both["buckets"].size() == 2);
  CHECK_FALSE(both.contains("continuation_token"));
  CHECK(buckets.http.asked[1].url.find("continuation-token=2") != std::string::npos);
  bench balancers;
  balancers.keys();
  balancers.answers = {
      page("<R><DescribeLoadBalancersResult><LoadBalancers><member><LoadBalancerName>a</LoadBalancerName>"
           "</member></LoadBalancers><NextMarker>2</NextMarker></DescribeLoadBalancersResult></R>"),
      page("<R><DescribeLoadBalancersResult><LoadBalancers><member><LoadBalancerName>b</LoadBalancerName>"
           "</member></LoadBalancers></DescribeLoadBalancersResult></R>")};
  auto two = balancers.ask({"elbv2", "describe_load_balancers", json::object(), "", 1000, {}})->value();
  CHECK(two["load_balancers"].size() == 2);
  CHECK(balancers.http.asked[0].url == "https://elasticloadbalancing.eu-west-1.amazonaws.com/");
  CHECK(balancers.http.asked[1].body.find("Marker=2") != std::string::npos);
  // Empty, it ends the list.
  bench tagged;
  tagged.keys();
  tagged.answers = {page(R"({"PaginationToken":"2","ResourceTagMappingList":[{"ResourceARN":"a"}]})"),
                    page(R"({"PaginationToken":"","ResourceTagMappingList":[{"ResourceARN":"b"}]})")};
  auto those =
      tagged.ask({"resourcegroupstaggingapi", "get_resources", json::object(), "", 1000, {}})->value();
  CHECK(those["resource_tag_mapping_list"] == json::parse(R"([{"resource_arn":"a"},{"resource_arn":"b"}])"));
  CHECK(tagged.http.asked.size() == 2);
  CHECK(tagged.http.asked[0].url == "https://tagging.eu-west-1.amazonaws.com/");
  CHECK(json::parse(tagged.http.asked[1].body) == json{{"PaginationToken", "2"}});
  bench logs;
  logs.keys();
  logs.answers = {page(R"({"nextToken":"2","logGroups":[{"logGroupName":"a","storedBytes":7}]})"),
                  page(R"({"logGroups":[{"logGroupName":"b"}]})")};
  auto groups = logs.ask({"logs", "describe_log_groups", {{"log_group_name_prefix", "/"}}, "", 1000, {}});
  CHECK(groups->value()["log_groups"].size() == 2);
  CHECK(json::parse(logs.http.asked[1].body) == json{{"logGroupNamePrefix", "/"}, {"nextToken", "2"}});
}

TEST_CASE("throttled requests are sent again; what may have been carried out is not") {
  bench b;
  b.keys();
  b.answers = {refusal("RequestLimitExceeded", 503), refusal("RequestLimitExceeded", 503), empty};
  CHECK(b.create());
  CHECK(b.http.asked.size() == 3);
  CHECK(b.made->repeats() == 2);
  CHECK(b.logged.count("NL-AWS-001") == 2);

  bench unsure;
  unsure.keys();
  unsure.answers = {refusal("InternalError", 500)};
  auto got = unsure.create();
  CHECK(got.error().ambiguous);
  CHECK(unsure.http.asked.size() == 1);
  auto again = unsure.vpcs();
  CHECK_FALSE(again.error().ambiguous);
  CHECK(unsure.http.asked.size() == 11);
  // With a token of idempotency it is sent again, with the same one.
  bench token;
  token.keys();
  token.answers = {refusal("InternalError", 500), page("<R/>")};
  CHECK(token.ask({"ec2", "run_instances", json::object(), "", 1, {}})->has_value());
  CHECK(token.http.asked[0].body.find("ClientToken=") != std::string::npos);
  CHECK(token.http.asked[0].body == token.http.asked[1].body);

  bench down;
  down.keys();
  down.http.down = true;
  auto unreached = down.create();
  CHECK(unreached.error().why.code == errc::refused);
  CHECK_FALSE(unreached.error().ambiguous);
  CHECK(down.http.asked.size() == 5);
}

TEST_CASE("refusals say what would help") {
  bench b;
  b.keys();
  auto message = [&](test::scripted_http::page p) {
    b.answers = {std::move(p)};
    b.at = 0;
    return b.create().error();
  };
  auto denied = message(refusal("UnauthorizedOperation", 403));
  CHECK(denied.why.code == errc::denied);
  CHECK(denied.why.message.find(R"({"Effect":"Allow","Action":"ec2:CreateVpc","Resource":"*"})") !=
        std::string::npos);
  CHECK(message(page("<Response><Errors><Error><Code>AccessDenied</Code><Message>User: u is not authorized "
                     "to perform: "
                     "iam:PassRole on resource: arn:x because</Message></Error></Errors></Response>",
                     403))
            .why.message.find(R"("Action":"iam:PassRole","Resource":"arn:x")") != std::string::npos);
  // The permissions of the tagging service have another prefix than its address.
  b.answers = {page(R"({"__type":"AccessDeniedException","message":"no"})", 400)};
  b.at = 0;
  auto tags = b.ask({"resourcegroupstaggingapi", "get_resources", json::object(), "", 1, {}})->error();
  CHECK(tags.why.code == errc::denied);
  CHECK(tags.why.message.find(R"("Action":"tag:GetResources")") != std::string::npos);
  auto expired = message(refusal("RequestExpired", 400));
  CHECK(expired.why.message.find("have expired") != std::string::npos);
  CHECK(expired.why.message.find("export new AWS_ACCESS_KEY_ID") != std::string::npos);
  auto skewed = message(refusal("RequestExpired", 400, {{"date", "Fri, 20 Nov 2026 23:00:00 GMT"}}));
  CHECK(skewed.why.message.find("this machine's clock is 1h") != std::string::npos);
  auto in_use = message(refusal("DependencyViolation", 400));
  CHECK(in_use.why.code == errc::conflict);
  CHECK(in_use.code == "DependencyViolation");
  CHECK(in_use.request_id == "id");
  auto leak =
      message(page("<Response><Errors><Error><Code>SignatureDoesNotMatch</Code><Message>No. very-secret The "
                   "Canonical String for this request should have been 'x-amz-security-token:T'</Message>"
                   "</Error></Errors></Response>",
                   403));
  CHECK(leak.why.message.find("very-secret") == std::string::npos);
  CHECK(leak.why.message.find("Canonical") == std::string::npos);
  b.answers = {refusal("DryRunOperation", 412)};
  CHECK(b.create().value() == json{{"dry_run", true}});
}

TEST_CASE("credentials: order of places") {
  auto who = [](bench& b) -> std::string {
    b.answers = {empty};
    auto got = b.vpcs();
    if (!got) return got.error().why.message;
    auto text = b.http.field(b.http.asked.size() - 1, "Authorization");
    auto from = text.find("Credential=") + 11;
    return text.substr(from, text.find('/') - from);
  };
  const char* file = "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n"
                     "[lab]\naws_access_key_id = LAB\naws_secret_access_key = s\naws_session_token = t\n"
                     "[old]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_session_token = t\n"
                     "expiration = 2026-11-20T10:00:00Z\n";
  bench file_only;
  file_only.disk.content["/home/u/.aws/credentials"] = file;
  CHECK(who(file_only) == "FILE");
  bench environment;
  environment.keys();
  environment.disk.content["/home/u/.aws/credentials"] = file;
  environment.environment["AWS_PROFILE"] = "lab";
  CHECK(who(environment) == "AKID"); // AWS_PROFILE does not switch the keys off …
  bench option;
  option.keys();
  option.disk.content["/home/u/.aws/credentials"] = file;
  option.options.profile = "lab"; // … but the option does
  CHECK(who(option) == "LAB");
  bench expired;
  expired.disk.content["/home/u/.aws/credentials"] = file;
  expired.options.profile = "old";
  CHECK(who(expired).find(
            "the credentials of profile old expired at 2026-11-20T10:00:00Z: renew the session") !=
        std::string::npos);
  CHECK(expired.logged.count("NL-AWS-003") == 1);
  CHECK(expired.http.asked.empty());
  bench missing;
  missing.options.profile = "nobody";
  CHECK(who(missing).find("there is no profile \"nobody\"") != std::string::npos);
  bench none;
  CHECK(who(none).find("no AWS credentials: looked at the environment") != std::string::npos);
  bench broken;
  broken.disk.content["/home/u/.aws/config"] = "[default]\nregion\n";
  CHECK(who(broken).find("/home/u/.aws/config:2: expected name = value") != std::string::npos);
}

TEST_CASE("credentials: roles, SSO and the instance") {
  bench role;
  role.disk.content["/home/u/.aws/config"] =
      "[profile lab]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\n"
      "[profile mfa]\nrole_arn = arn:r\nsource_profile = base\nmfa_serial = arn:mfa\n"
      "[profile loop]\nrole_arn = arn:r\nsource_profile = other\n[profile other]\nrole_arn = "
      "arn:r\nsource_profile = loop\n";
  role.disk.content["/home/u/.aws/credentials"] =
      "[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n";
  role.options.profile = "lab";
  const auto assumed =
      page("<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId>"
           "<SecretAccessKey>r</SecretAccessKey><SessionToken>rt</SessionToken><Expiration>"
           "2026-11-21T01:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>");
  role.answers = {assumed, empty};
  CHECK(role.vpcs());
  CHECK(role.http.asked[0].url == "https://sts.eu-west-1.amazonaws.com/");
  CHECK(role.http.field(0, "Authorization").find("Credential=BASE/") != std::string::npos);
  CHECK(role.http.field(1, "Authorization").find("Credential=ROLE/") != std::string::npos);
  // Taken anew shortly before it ends.
  role.time.advance(std::chrono::minutes(58));
  role.answers = {assumed, empty};
  role.at = 0;
  (void)role.vpcs();
  CHECK(role.http.asked[2].url == "https://sts.eu-west-1.amazonaws.com/");

  bench mfa;
  mfa.disk.content = role.disk.content;
  mfa.options.profile = "mfa";
  CHECK(mfa.vpcs().error().why.message.find("asks for a code of arn:mfa") != std::string::npos);
  bench loop;
  loop.disk.content = role.disk.content;
  loop.options.profile = "loop";
  CHECK(loop.vpcs().error().why.message.find("leads in a circle") != std::string::npos);

  bench sso;
  sso.disk.content["/home/u/.aws/config"] =
      "[profile s]\nsso_session = home\nsso_account_id = 1\nsso_role_name = r\n"
      "[sso-session home]\nsso_region = us-east-1\nsso_start_url = https://x\n";
  sso.options.profile = "s";
  CHECK(sso.vpcs().error().why.message.find("run: aws sso login --profile s") != std::string::npos);
  bench in;
  in.disk.content = sso.disk.content;
  in.disk.content["/home/u/.aws/sso/cache/" + sha1_hex("home") + ".json"] =
      R"({"accessToken": "at", "expiresAt": "2026-11-21T08:00:00Z"})";
  in.options.profile = "s";
  in.answers = {
      page(R"({"roleCredentials": {"accessKeyId": "SSO", "secretAccessKey": "s", "sessionToken": "t",
                        "expiration": 1795300000000}})"),
      empty};
  CHECK(in.vpcs());
  CHECK(in.http.asked[0].url ==
        "https://portal.sso.us-east-1.amazonaws.com/federation/credentials?account_id=1&role_name=r");
  CHECK(in.http.field(0, "x-amz-sso_bearer_token") == "at");
  CHECK(in.http.field(0, "Authorization").empty());
  CHECK(in.http.field(1, "Authorization").find("Credential=SSO/") != std::string::npos);
  bench instance;
  instance.environment.erase("AWS_EC2_METADATA_DISABLED");
  instance.answers = {
      page("imds-token"), page("the-role"),
      page(
          R"({"AccessKeyId": "INST", "SecretAccessKey": "s", "Token": "t", "Expiration": "2026-11-21T06:00:00Z"})"),
      empty};
  CHECK(instance.vpcs());
  CHECK(instance.http.asked[0].method == "PUT");
  CHECK(instance.http.asked[2].url ==
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/the-role");
  CHECK(instance.http.field(3, "Authorization").find("Credential=INST/") != std::string::npos);
}

TEST_CASE("regions and services are checked before anything is sent") {
  bench b;
  b.keys();
  b.environment.erase("AWS_REGION");
  CHECK(b.vpcs().error().why.message.find("no AWS region") != std::string::npos);
  CHECK(b.ask({"ec2", "describe_vpcs", json::object(), "eu-west-1/../x", 1, {}})->error().why.code ==
        errc::invalid);
  CHECK(b.ask({"ec4", "describe_vpcs", json::object(), "eu-west-1", 1, {}})->error().why.code ==
        errc::invalid);
  CHECK(b.http.asked.empty());
  CHECK_FALSE(check_service("ecc2"));
}

TEST_CASE("the pacer slows down for the API that was refused, and recovers") {
  pacer p(std::chrono::milliseconds(100));
  boot_time now{};
  CHECK(p.take("a", now) == duration::zero());
  for (int i = 0; i < 5; ++i) p.throttled("a", now);
  CHECK(p.take("a", now) > duration::zero());
  CHECK(p.take("b", now) == duration::zero());
  auto slow = p.take("a", now);
  for (int i = 0; i < 40; ++i) p.answered("a", now);
  CHECK(p.take("a", now) < slow);
}

TEST_CASE("codes that ask for another attempt, and those that do not") {
  CHECK(judge(503, "RequestLimitExceeded") == verdict::throttled);
  CHECK(judge(400, "Throttling") == verdict::throttled);
  CHECK(judge(503, "Unavailable") == verdict::transient);
  CHECK(judge(400, "RequestTimeout") == verdict::transient);
  CHECK(judge(400, "DependencyViolation") == verdict::final);
  CHECK(code_of(400, "InvalidVpcID.NotFound") == errc::not_found);
  CHECK(code_of(409, "EntityAlreadyExists") == errc::exists);
  CHECK(code_of(400, "InvalidGroup.Duplicate") == errc::exists);
  CHECK(code_of(400, "InvalidSubnet.Conflict") == errc::conflict);
  CHECK(code_of(400, "VpcLimitExceeded") == errc::limit);
  CHECK(is_repeatable("DeleteVpc", false));
  CHECK(is_repeatable("CreateTags", false));
  CHECK_FALSE(is_repeatable("CreateVpc", false));
  CHECK(is_repeatable("RunInstances", true));
}

TEST_CASE("profile files: sections, nested settings, comments, mistakes") {
  auto f = parse_profiles("# c\n[default]\nregion=eu-west-1 # here\n\n[ profile  lab ]\r\ns3 =\r\n  "
                          "addressing_style = path\r\n"
                          "output = json\n",
                          "f")
               .value();
  CHECK(f["default"]["region"] == "eu-west-1");
  CHECK(f["profile lab"]["s3.addressing_style"] == "path");
  CHECK(f["profile lab"]["output"] == "json");
  CHECK(parse_profiles("x = 1\n", "f").error().message.starts_with("f:1: "));
  CHECK(parse_profiles("[a\n", "f").error().message.starts_with("f:1: "));
}
