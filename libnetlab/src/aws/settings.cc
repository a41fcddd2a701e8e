#include "settings.h"

#include <algorithm>

#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::aws {

settings::settings(files& disk, const client_options& options) : options_(options) {
  profile_ = options.profile;
  profile_given_ = !profile_.empty();
  if (profile_.empty()) profile_ = variable("AWS_PROFILE").value_or("");
  if (profile_.empty()) profile_ = variable("AWS_DEFAULT_PROFILE").value_or("");
  if (profile_.empty()) profile_ = "default";
  auto read = [&](const char* name, const char* fallback) -> profile_file {
    auto path = variable(name).value_or("");
    if (path.empty()) {
      if (home().empty()) return {};
      path = home() + fallback;
    }
    if (path.starts_with("~/")) path = home() + path.substr(1);
    auto text = disk.read(path, 4u << 20);
    if (!text) {
      if (text.error().code != errc::not_found) problem_ = text.error().message;
      return {};
    }
    auto parsed = parse_profiles(*text, path);
    if (!parsed) {
      problem_ = parsed.error().message;
      return {};
    }
    return *parsed;
  };
  for (auto& [title, section] : read("AWS_CONFIG_FILE", "/.aws/config")) {
    if (title.starts_with("profile "))
      profiles_[title.substr(8)] = section;
    else if (title.starts_with("sso-session "))
      sessions_[title.substr(12)] = section;
    else if (title.starts_with("services "))
      services_[title.substr(9)] = section;
    else if (title == "default")
      profiles_[title] = section;
  }
  for (auto& [title, section] : read("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"))
    for (auto& [key, value] : section) profiles_[title][key] = value;
}

std::optional<std::string> settings::variable(const std::string& name) const {
  if (!options_.environment) return std::nullopt;
  auto value = options_.environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

std::string settings::home() const { return variable("HOME").value_or(""); }

const profile_section* settings::profile(const std::string& name) const {
  auto it = profiles_.find(name);
  return it == profiles_.end() ? nullptr : &it->second;
}
const profile_section* settings::session(const std::string& name) const {
  auto it = sessions_.find(name);
  return it == sessions_.end() ? nullptr : &it->second;
}

std::string settings::value(const std::string& name, const std::string& key) const {
  const auto* found = profile(name);
  if (!found) return {};
  auto it = found->find(key);
  return it == found->end() ? std::string() : it->second;
}

result<std::string> settings::region() const {
  if (!options_.region.empty()) return options_.region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (auto found = variable(name)) return *found;
  if (auto found = value(profile_, "region"); !found.empty()) return found;
  return fail(errc::not_found,
              "no AWS region: give region, set AWS_REGION, or write region = … under profile " + profile_ +
                  " in ~/.aws/config",
              "region");
}

namespace {

// The identifiers that AWS_ENDPOINT_URL_… and `services` sections use.
std::string service_id(const std::string& name) {
  if (name == "autoscaling") return "auto_scaling";
  if (name == "ce") return "cost_explorer";
  if (name == "elb") return "elastic_load_balancing";
  if (name == "elbv2") return "elastic_load_balancing_v2";
  if (name == "logs") return "cloudwatch_logs";
  if (name == "resourcegroupstaggingapi") return "resource_groups_tagging_api";
  return name;
}

std::string dns_suffix(const std::string& region) {
  return region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

} // namespace

settings::endpoint settings::endpoint_of(const service_shape& s, const std::string& region) const {
  endpoint out;
  out.signing_region = region;
  auto suffix = dns_suffix(region);
  bool ordinary = !region.starts_with("cn-") && !region.starts_with("us-gov-");
  if (s.name == "iam") {
    out.signing_region = ordinary ? "us-east-1" : region;
    out.url = ordinary ? "https://iam.amazonaws.com" : "https://iam." + region + "." + suffix;
  } else if (s.name == "budgets" && ordinary) {
    out.signing_region = "us-east-1";
    out.url = "https://budgets.amazonaws.com";
  } else if (s.name == "ce" && ordinary) {
    out.signing_region = "us-east-1";
    out.url = "https://ce.us-east-1.amazonaws.com";
  } else if (s.name == "freetier" && ordinary) {
    out.signing_region = "us-east-1";
    out.url = "https://freetier.us-east-1.api.aws";
  } else if (s.name == "pricing" && ordinary) {
    // Offered in three regions; their answers are the same.
    auto near = region.starts_with("eu-") || region.starts_with("il-") || region.starts_with("me-") ||
                        region.starts_with("af-")
                    ? "eu-central-1"
                : region.starts_with("ap-") ? "ap-south-1"
                                            : "us-east-1";
    out.signing_region = near;
    out.url = std::string("https://api.pricing.") + near + ".amazonaws.com";
  } else {
    out.url = "https://" + s.endpoint + "." + region + "." + suffix;
  }
  auto take = [&](const std::string& url) {
    if (url.empty()) return false;
    out.url = url;
    while (out.url.ends_with('/')) out.url.pop_back();
    out.custom = true;
    return true;
  };
  if (take(options_.endpoint)) return out;
  if (auto off = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"); off && to_lower(*off) == "true") return out;
  auto id = service_id(s.name);
  std::string upper = id;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  if (take(variable("AWS_ENDPOINT_URL_" + upper).value_or(""))) return out;
  if (take(variable("AWS_ENDPOINT_URL").value_or(""))) return out;
  if (auto named = value(profile_, "services"); !named.empty())
    if (auto it = services_.find(named); it != services_.end())
      if (auto url = it->second.find(id + ".endpoint_url"); url != it->second.end() && take(url->second))
        return out;
  take(value(profile_, "endpoint_url"));
  return out;
}

} // namespace netlab::aws
