#include "credential_chain.h"

#include <nlohmann/json.hpp>

#include "civil_time.h"
#include "netlab/encoding.h"
#include "netlab/text.h"

namespace netlab::aws {

namespace {

constexpr auto early = std::chrono::minutes(5); // renewed this long before they end
constexpr int longest_chain = 5;

tl::unexpected<error> none(errc code, std::string why) {
  return fail(code, std::move(why), "aws.credentials");
}

std::string text_of(const json& v, const char* key) {
  auto it = v.find(key);
  return it != v.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// { AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration } in JSON, as processes, containers and
// instances give it.
result<credentials> read_document(std::string_view text, const std::string& source,
                                  const std::string& renew) {
  auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object())
    return none(errc::protocol, source + " gave no JSON object with credentials");
  credentials out;
  out.access_key = text_of(*parsed, "AccessKeyId");
  out.secret_key = text_of(*parsed, "SecretAccessKey");
  out.session_token = text_of(*parsed, "SessionToken");
  if (out.session_token.empty()) out.session_token = text_of(*parsed, "Token");
  if (auto at = text_of(*parsed, "Expiration"); !at.empty()) out.expires = parse_time(at);
  if (out.access_key.empty() || out.secret_key.empty())
    return none(errc::protocol, source + " gave no AccessKeyId and SecretAccessKey");
  out.source = source;
  out.renew = renew;
  return out;
}

} // namespace

credential_chain::credential_chain(runtime& world, const client_options& options, const settings& from,
                                   ask_fn ask)
    : world_(world), options_(options), settings_(from), ask_(std::move(ask)) {}
credential_chain::~credential_chain() = default;

void credential_chain::get(done_fn done) {
  if (cached_) {
    auto left = cached_->expires ? *cached_->expires - world_.clock.wall() : duration::max();
    if (left > (renewable_ ? duration(early) : duration::zero())) return done(*cached_);
    if (!renewable_)
      return done(none(errc::denied, "the credentials of " + cached_->source + " expired at " +
                                         format_time(*cached_->expires, false) + ": " + cached_->renew));
    cached_.reset();
  }
  waiting_.push_back(std::move(done));
  if (resolving_) return;
  resolving_ = true;
  // What the last search left may be the caller of this call.
  world_.scheduler.post([old = std::move(flights_)] {});
  flights_.clear();
  resolve(settings_.profile_name(), 0, [this](result<credentials> got) { settle(std::move(got)); });
}

void credential_chain::settle(result<credentials> got) {
  resolving_ = false;
  if (got && got->expires && *got->expires <= world_.clock.wall())
    got = none(errc::denied, "the credentials of " + got->source + " expired at " +
                                 format_time(*got->expires, false) + ": " + got->renew);
  if (got) cached_ = *got;
  auto waiting = std::move(waiting_);
  waiting_.clear();
  std::weak_ptr<int> alive = alive_;
  for (auto& done : waiting) {
    if (alive.expired()) return;
    done(got);
  }
}

bool credential_chain::forget() {
  cached_.reset();
  return renewable_;
}

std::optional<credentials> credential_chain::environment() const {
  auto key = settings_.variable("AWS_ACCESS_KEY_ID"), secret = settings_.variable("AWS_SECRET_ACCESS_KEY");
  if (!key || !secret) return std::nullopt;
  credentials out;
  out.access_key = *key;
  out.secret_key = *secret;
  out.session_token = settings_.variable("AWS_SESSION_TOKEN").value_or("");
  out.source = "the environment (AWS_ACCESS_KEY_ID)";
  out.renew = "export new AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
  if (auto at = settings_.variable("AWS_CREDENTIAL_EXPIRATION")) out.expires = parse_time(*at);
  return out;
}

std::optional<credentials> credential_chain::keys_of(const std::string& profile) const {
  credentials out;
  out.access_key = settings_.value(profile, "aws_access_key_id");
  out.secret_key = settings_.value(profile, "aws_secret_access_key");
  if (out.access_key.empty() || out.secret_key.empty()) return std::nullopt;
  out.session_token = settings_.value(profile, "aws_session_token");
  if (out.session_token.empty()) out.session_token = settings_.value(profile, "aws_security_token");
  for (const char* name :
       {"x_security_token_expires", "aws_expiration", "aws_session_expiration", "expiration"})
    if (auto at = settings_.value(profile, name); !at.empty()) {
      // Some helpers write a space where ISO 8601 has a T.
      if (at.size() > 10 && at[10] == ' ') at[10] = 'T';
      out.expires = parse_time(at);
    }
  out.source = "profile " + profile;
  out.renew =
      out.session_token.empty()
          ? "make a new access key for profile " + profile
          : "renew the session of profile " + profile +
                " (aws sts get-session-token --serial-number MFA-ARN --token-code CODE, or the helper that "
                "writes it)";
  return out;
}

void credential_chain::resolve(const std::string& profile, int depth, done_fn done) {
  if (options_.keys) return done(*options_.keys);
  if (!settings_.profile_was_given() && depth == 0) {
    if (auto keys = environment()) return done(*keys);
    auto file = settings_.variable("AWS_WEB_IDENTITY_TOKEN_FILE"), role = settings_.variable("AWS_ROLE_ARN");
    if (file && role)
      return web_identity(*role, *file, settings_.variable("AWS_ROLE_SESSION_NAME").value_or("netlab"),
                          "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE", std::move(done));
  }
  from_profile(profile, depth, std::move(done));
}

void credential_chain::from_profile(const std::string& profile, int depth, done_fn done) {
  auto of = [&](const char* key) { return settings_.value(profile, key); };
  bool named = settings_.profile_was_given() || settings_.variable("AWS_PROFILE") || depth > 0;
  if (!settings_.problem().empty()) return done(none(errc::invalid, settings_.problem()));
  if (!settings_.profile(profile)) {
    if (named)
      return done(none(errc::not_found, "there is no profile \"" + printable(profile) +
                                            "\" in ~/.aws/config or ~/.aws/credentials"));
    return from_machine(std::move(done));
  }
  if (!of("role_arn").empty()) {
    if (auto file = of("web_identity_token_file"); !file.empty())
      return web_identity(of("role_arn"), file,
                          of("role_session_name").empty() ? "netlab" : of("role_session_name"),
                          "the web identity of profile " + profile, std::move(done));
    return assume_role(profile, depth, std::move(done));
  }
  if (!of("sso_session").empty() || !of("sso_start_url").empty()) return sso(profile, std::move(done));
  if (auto keys = keys_of(profile)) return done(*keys);
  if (auto command = of("credential_process"); !command.empty())
    return process(profile, command, std::move(done));
  if (named && depth > 0)
    return done(none(errc::not_found, "profile " + profile + " has no credentials of its own"));
  from_machine(std::move(done));
}

void credential_chain::from_machine(done_fn done) {
  if (settings_.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
      settings_.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    return container(std::move(done));
  if (to_lower(settings_.variable("AWS_EC2_METADATA_DISABLED").value_or("")) == "true")
    return done(
        none(errc::not_found,
             "no AWS credentials: looked at the environment, ~/.aws/credentials and ~/.aws/config (profile " +
                 settings_.profile_name() +
                 "), and instance metadata is disabled: give profile, or set AWS_PROFILE"));
  instance(std::move(done));
}

void credential_chain::sts(const std::string& action, json input, std::optional<credentials> keys,
                           const std::string& source, const std::string& renew, done_fn done) {
  renewable_ = true;
  auto held = std::make_shared<std::unique_ptr<pending>>();
  flights_.push_back(held);
  call c{"sts", action, std::move(input), {}, 1, {}};
  *held = ask_(std::move(c), std::move(keys), [source, renew, done = std::move(done)](outcome got) {
    if (!got) return done(none(got.error().why.code, source + ": " + got.error().why.message));
    const auto it = got->find("credentials");
    if (it == got->end() || !it->is_object())
      return done(none(errc::protocol, source + ": STS gave no credentials"));
    credentials out;
    out.access_key = text_of(*it, "access_key_id");
    out.secret_key = text_of(*it, "secret_access_key");
    out.session_token = text_of(*it, "session_token");
    out.expires = parse_time(text_of(*it, "expiration"));
    out.source = source;
    out.renew = renew;
    if (out.access_key.empty() || out.secret_key.empty())
      return done(none(errc::protocol, source + ": STS gave no credentials"));
    done(out);
  });
}

void credential_chain::assume_role(const std::string& profile, int depth, done_fn done) {
  auto of = [&](const char* key) { return settings_.value(profile, key); };
  auto source = of("source_profile"), from = of("credential_source"), serial = of("mfa_serial");
  auto what = "role of profile " + profile;
  if (depth >= longest_chain)
    return done(none(errc::invalid, "source_profile of " + profile + " leads in a circle"));
  if (!serial.empty() && options_.mfa_code.empty())
    return done(none(errc::denied, "profile " + profile + " asks for a code of " + printable(serial) +
                                       ": give it as mfa_code, or use a profile that holds an MFA session"));
  json input = {{"role_arn", of("role_arn")},
                {"role_session_name", of("role_session_name").empty() ? "netlab" : of("role_session_name")}};
  if (auto id = of("external_id"); !id.empty()) input["external_id"] = id;
  if (auto seconds = of("duration_seconds"); !seconds.empty()) input["duration_seconds"] = seconds;
  if (!serial.empty()) {
    input["serial_number"] = serial;
    input["token_code"] = options_.mfa_code;
  }
  auto then = [this, input = std::move(input), what, profile, done](result<credentials> got) {
    if (!got) return done(got);
    sts("assume_role", input, *got, what, "start netlab again: the role is taken anew", done);
  };
  if (!source.empty() && source == profile) {
    auto keys = keys_of(profile);
    if (!keys)
      return done(none(errc::not_found, "profile " + profile + " is its own source_profile and has no keys"));
    return then(*keys);
  }
  if (!source.empty()) return from_profile(source, depth + 1, then);
  if (from == "Environment") {
    auto keys = environment();
    if (!keys)
      return done(none(errc::not_found,
                       "profile " + profile + " takes its credentials from the environment, which has none"));
    return then(*keys);
  }
  if (from == "EcsContainer") return container(then);
  if (from == "Ec2InstanceMetadata") return instance(then);
  done(none(errc::invalid, "profile " + profile +
                               " has a role_arn but no source_profile, credential_source or "
                               "web_identity_token_file"));
}

void credential_chain::web_identity(const std::string& role, const std::string& file,
                                    const std::string& session, const std::string& source, done_fn done) {
  auto token = world_.files.read(file, 1u << 20);
  if (!token) return done(none(token.error().code, source + ": " + token.error().message));
  sts("assume_role_with_web_identity",
      {{"role_arn", role}, {"role_session_name", session}, {"web_identity_token", std::string(trim(*token))}},
      std::nullopt, source, "have a new token written to " + file, std::move(done));
}

void credential_chain::sso(const std::string& profile, done_fn done) {
  auto of = [&](const char* key) { return settings_.value(profile, key); };
  auto session = of("sso_session"), start = of("sso_start_url"), region = of("sso_region");
  auto login = "run: aws sso login --profile " + profile;
  if (!session.empty()) {
    const auto* found = settings_.session(session);
    if (!found)
      return done(none(errc::not_found, "profile " + profile + " names the sso-session " + session +
                                            ", which ~/.aws/config does not have"));
    if (auto it = found->find("sso_region"); it != found->end()) region = it->second;
    if (auto it = found->find("sso_start_url"); it != found->end()) start = it->second;
  }
  auto path = settings_.home() + "/.aws/sso/cache/" + sha1_hex(session.empty() ? start : session) + ".json";
  auto text = world_.files.read(path, 1u << 20);
  auto cached = text ? parse_json(*text) : result<json>(fail(errc::not_found, ""));
  if (!cached || !cached->is_object() || text_of(*cached, "accessToken").empty())
    return done(none(errc::denied, "nobody is logged in to SSO for profile " + profile + ": " + login));
  auto expires = parse_time(text_of(*cached, "expiresAt"));
  if (!expires || *expires <= world_.clock.wall())
    return done(none(errc::denied, "the SSO login of profile " + profile + " has expired: " + login));
  renewable_ = true;
  auto held = std::make_shared<std::unique_ptr<pending>>();
  flights_.push_back(held);
  call c{"sso",
         "get_role_credentials",
         {{"role_name", of("sso_role_name")},
          {"account_id", of("sso_account_id")},
          {"access_token", text_of(*cached, "accessToken")}},
         region,
         1,
         {}};
  *held = ask_(std::move(c), std::nullopt, [profile, login, done = std::move(done)](outcome got) {
    if (!got)
      return done(none(got.error().why.code,
                       "SSO of profile " + profile + ": " + got.error().why.message + "; " + login));
    auto it = got->find("role_credentials");
    if (it == got->end() || !it->is_object())
      return done(none(errc::protocol, "SSO of profile " + profile + " gave no credentials"));
    credentials out;
    out.access_key = text_of(*it, "access_key_id");
    out.secret_key = text_of(*it, "secret_access_key");
    out.session_token = text_of(*it, "session_token");
    if (auto at = it->find("expiration"); at != it->end() && at->is_number())
      out.expires = wall_time{std::chrono::milliseconds(at->get<std::int64_t>())};
    out.source = "SSO of profile " + profile;
    out.renew = login;
    done(out);
  });
}

void credential_chain::process(const std::string& profile, const std::string& command, done_fn done) {
  process_options p;
  p.argv = {"/bin/sh", "-c", command};
  auto source = "credential_process of profile " + profile;
  auto held = std::make_shared<std::pair<std::unique_ptr<child_process>, timer>>();
  auto finish = std::make_shared<done_fn>(std::move(done));
  auto end = [finish](result<credentials> got) {
    if (auto fn = std::move(*finish)) {
      *finish = nullptr;
      fn(std::move(got));
    }
  };
  auto child = world_.processes.spawn(p, [end, source](process_result r) {
    if (r.exit_code != 0)
      return end(none(errc::denied, source + " ended with " + std::to_string(r.exit_code) + ": " +
                                        printable(trim(r.errors).substr(0, 300))));
    end(read_document(r.output, source, "see what the command says"));
  });
  if (!child) return end(none(child.error().code, source + ": " + child.error().message));
  renewable_ = true;
  held->first = std::move(*child);
  held->second = world_.scheduler.after(std::chrono::minutes(1), [end, source, held = held.get()] {
    held->first.reset();
    end(none(errc::timeout, source + " did not end within a minute"));
  });
  flights_.push_back(held);
}

void credential_chain::http(http_request request, const std::string& source,
                            std::function<void(result<http_response>)> done) {
  request.redirects = 0;
  request.body_limit = 1u << 20;
  auto held = std::make_shared<std::unique_ptr<http_exchange>>();
  flights_.push_back(held);
  *held = world_.http.send(std::move(request), [source, done = std::move(done)](result<http_response> got) {
    if (got && got->status != 200)
      return done(none(errc::refused, source + " answers " + std::to_string(got->status)));
    done(std::move(got));
  });
}

void credential_chain::container(done_fn done) {
  http_request r;
  r.timeout = std::chrono::seconds(5);
  if (auto relative = settings_.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
    r.url = "http://169.254.170.2" + *relative;
  else
    r.url = settings_.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").value_or("");
  std::string token = settings_.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
  if (auto file = settings_.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    auto text = world_.files.read(*file, 1u << 16);
    if (!text) return done(none(text.error().code, text.error().message));
    token = trim(*text);
  }
  if (!token.empty()) r.headers.emplace_back("Authorization", token);
  renewable_ = true;
  http(std::move(r), "the container's credentials", [done = std::move(done)](result<http_response> got) {
    if (!got) return done(tl::unexpected(got.error()));
    done(read_document(got->body, "the container's credentials", "restart the task"));
  });
}

void credential_chain::instance(done_fn done) {
  auto base = settings_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254");
  while (base.ends_with('/')) base.pop_back();
  std::string source = "the instance's role (IMDSv2)";
  auto short_request = [](std::string method, std::string url) {
    http_request r;
    r.method = std::move(method);
    r.url = std::move(url);
    r.timeout = std::chrono::seconds(3);
    r.connect_timeout = std::chrono::seconds(1);
    return r;
  };
  auto first = short_request("PUT", base + "/latest/api/token");
  first.headers.emplace_back("X-aws-ec2-metadata-token-ttl-seconds", "21600");
  http(std::move(first), source, [this, base, source, short_request, done](result<http_response> got) {
    if (!got)
      return done(none(
          errc::not_found,
          "no AWS credentials: looked at the environment, ~/.aws/credentials and ~/.aws/config (profile " +
              settings_.profile_name() +
              "), and no instance metadata answers here: give profile, or set AWS_PROFILE"));
    std::string token(trim(got->body)), folder = base + "/latest/meta-data/iam/security-credentials/";
    auto second = short_request("GET", folder);
    second.headers.emplace_back("X-aws-ec2-metadata-token", token);
    http(std::move(second), source,
         [this, folder, token, source, short_request, done](result<http_response> role) {
           if (!role)
             return done(none(errc::not_found,
                              "this instance has no role: attach an instance profile, or give profile"));
           auto third = short_request("GET", folder + std::string(trim(role->body)));
           third.headers.emplace_back("X-aws-ec2-metadata-token", token);
           renewable_ = true;
           http(std::move(third), source, [source, done](result<http_response> keys) {
             if (!keys) return done(tl::unexpected(keys.error()));
             done(read_document(keys->body, source, "the instance renews them by itself: look at its clock"));
           });
         });
  });
}

} // namespace netlab::aws
