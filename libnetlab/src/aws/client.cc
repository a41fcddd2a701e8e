#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "civil_time.h"
#include "credential_chain.h"
#include "messages.h"
#include "netlab/aws.h"
#include "netlab/aws_signature.h"
#include "netlab/digest.h"
#include "netlab/text.h"
#include "retry.h"
#include "settings.h"
#include "wire.h"

namespace netlab::aws {

namespace {

// The statement that would allow an action. AWS' refusal often names action and resource itself.
std::string statement(const service_shape& s, const std::string& action, const std::string& refusal) {
  std::string allowed = (s.signing.empty() ? s.name : s.signing) + ":" + action, resource = "*";
  if (s.name == "s3") {
    static const std::map<std::string, std::string> other = {{"ListObjectsV2", "ListBucket"},
                                                             {"ListObjects", "ListBucket"},
                                                             {"HeadBucket", "ListBucket"},
                                                             {"HeadObject", "GetObject"},
                                                             {"ListBuckets", "ListAllMyBuckets"}};
    auto it = other.find(action);
    allowed = "s3:" + (it == other.end() ? action : it->second);
  } else if (s.name == "resourcegroupstaggingapi") {
    allowed = "tag:" + action;
  } else if (s.name == "budgets") {
    allowed = action.starts_with("Describe") ? "budgets:ViewBudget" : "budgets:ModifyBudget";
  }
  constexpr std::string_view mark = "to perform: ";
  if (auto at = refusal.find(mark); at != std::string::npos) {
    auto rest = refusal.substr(at + mark.size());
    auto end = rest.find_first_of(" \n");
    allowed = rest.substr(0, end);
    constexpr std::string_view on = " on resource: ";
    if (end != std::string::npos && rest.substr(end).starts_with(on)) {
      resource = rest.substr(end + on.size());
      resource = resource.substr(0, resource.find_first_of(" \n"));
    }
  }
  return json{{"Effect", "Allow"}, {"Action", allowed}, {"Resource", resource}}.dump();
}

std::string host_of(const std::string& url) {
  auto start = url.find("://");
  start = start == std::string::npos ? 0 : start + 3;
  return url.substr(start, url.find('/', start) - start);
}

// The Host field as it is sent: without the port that the scheme has anyway.
std::string host_field(const std::string& url) {
  auto host = host_of(url);
  std::string_view port = url.starts_with("https://") ? ":443" : ":80";
  if (host.ends_with(port)) host.resize(host.size() - port.size());
  return host;
}

struct next_page {
  json input; // members to add
};
std::optional<next_page> find_next(const std::string& action, const json& answer) {
  auto text = [&](const char* key) -> std::string {
    auto it = answer.find(key);
    return it != answer.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  static constexpr std::pair<const char*, const char*> tokens[] = {
      {"next_token", "next_token"},
      {"next_page_token", "next_page_token"},
      {"next_continuation_token", "continuation_token"},
      {"next_marker", "marker"},
      {"pagination_token", "pagination_token"}};
  for (const auto& [from, to] : tokens)
    if (auto token = text(from); !token.empty()) return next_page{{{to, token}}};
  // The next page's token here, that of this page in every other list of S3.
  if (auto token = text("continuation_token"); action == "ListBuckets" && !token.empty())
    return next_page{{{"continuation_token", token}}};
  auto more = answer.find("is_truncated");
  if (more == answer.end() || !more->is_boolean() || !more->get<bool>()) return std::nullopt;
  if (auto key = text("next_key_marker"); !key.empty()) {
    next_page out{{{"key_marker", key}}};
    if (auto id = text("next_version_id_marker"); !id.empty()) out.input["version_id_marker"] = id;
    return out;
  }
  if (auto marker = text("marker"); !marker.empty()) return next_page{{{"marker", marker}}};
  return std::nullopt;
}

void join_pages(json& all, json page) {
  if (!all.is_object()) {
    all = std::move(page);
    return;
  }
  for (auto& [key, value] : page.items()) {
    auto& there = all[key];
    if (there.is_array() && value.is_array())
      for (auto& item : value) there.push_back(std::move(item));
    else
      there = std::move(value);
  }
  for (const char* key : {"next_token", "next_page_token", "next_continuation_token", "continuation_token",
                          "marker", "next_marker", "pagination_token"})
    if (!page.contains(key)) all.erase(key);
}

class client_impl;

// A machine without a way to AWS is told so in seconds; a request that arrived has more patience.
constexpr int unsent_attempts = 5;

// One call, from its credentials to its last page.
class flight final : public std::enable_shared_from_this<flight> {
public:
  flight(client_impl& owner, call what, std::function<void(outcome)> done);
  std::optional<credentials> keys; // instead of the chain's
  bool bare = false;               // unsigned
  void begin();
  void cancel() {
    done_ = nullptr;
    exchange_.reset();
    timer_.cancel();
  }

private:
  void authorize();
  void attempt();
  void transmit();
  void answered(result<http_response> got);
  void succeeded(const http_response& r);
  void refused(const http_response& r);
  void again(const std::string& why, bool throttled);
  void finish(outcome o);
  void fail_with(errc code, const std::string& text, std::string aws_code = {}, int status = 0,
                 std::string request_id = {}, bool ambiguous = false);
  http_request signed_request(const wire_request& w);
  std::string title() const { return call_.service + " " + action_ + " in " + region_; }
  std::string without_secrets(std::string text) const;
  std::string tried() const {
    return attempt_ > 1 ? " (after " + std::to_string(attempt_) + " attempts)" : std::string();
  }

  std::weak_ptr<client_impl*> owner_;
  call call_;
  const service_shape* service_ = nullptr;
  std::string action_, region_, api_;
  std::function<void(outcome)> done_;
  credentials used_;
  settings::endpoint endpoint_;
  std::unique_ptr<http_exchange> exchange_;
  timer timer_;
  json joined_, page_input_ = json::object();
  int attempt_ = 0, page_ = 0;
  bool repeatable_ = true, renewed_ = false;
};

class handle final : public pending {
public:
  explicit handle(std::shared_ptr<flight> f) : flight_(std::move(f)) {}
  ~handle() override { flight_->cancel(); }

private:
  std::shared_ptr<flight> flight_;
};

class client_impl final : public client {
public:
  client_impl(runtime& world, client_options o)
      : world_(world), options(std::move(o)), from(world.files, options), pace(options.backoff),
        chain(world_, options, from,
              [this](call what, std::optional<credentials> with, std::function<void(outcome)> done) {
                auto f = std::make_shared<flight>(*this, std::move(what), std::move(done));
                f->bare = !with;
                f->keys = std::move(with);
                post(f);
                return std::make_unique<handle>(f);
              }) {}

  std::unique_ptr<pending> send(call what, std::function<void(outcome)> done) override {
    auto f = std::make_shared<flight>(*this, std::move(what), std::move(done));
    post(f);
    return std::make_unique<handle>(f);
  }
  result<std::string> region() override { return from.region(); }
  std::uint64_t requests() const override { return sent; }
  std::uint64_t repeats() const override { return repeated; }

  // The operator reads each kind of trouble once, whatever number of calls meet it.
  void tell(const message& m, const std::string& text) {
    if (m.level >= log_level::warn && !told_.insert(m.id).second) return;
    world_.log(m, text);
  }

  runtime world_;
  const client_options options;
  const settings from;
  pacer pace;
  credential_chain chain;
  std::uint64_t sent = 0, repeated = 0;
  std::shared_ptr<client_impl*> self = std::make_shared<client_impl*>(this);

private:
  void post(const std::shared_ptr<flight>& f) {
    world_.scheduler.post([late = std::weak_ptr(f)] {
      if (auto still = late.lock()) still->begin();
    });
  }
  std::set<std::string> told_;
};

flight::flight(client_impl& owner, call what, std::function<void(outcome)> done)
    : owner_(owner.self), call_(std::move(what)), done_(std::move(done)) {}

void flight::finish(outcome o) {
  timer_.cancel();
  if (auto done = std::move(done_)) {
    done_ = nullptr;
    done(std::move(o));
  }
}

std::string flight::without_secrets(std::string text) const {
  // Signature errors repeat what was signed, the session's token among it.
  for (const char* mark : {"The Canonical String", "The canonical string", "The String-to-Sign"})
    if (auto at = text.find(mark); at != std::string::npos) text.resize(at);
  for (const auto* secret : {&used_.secret_key, &used_.session_token})
    for (auto at = secret->empty() ? std::string::npos : text.find(*secret); at != std::string::npos;
         at = text.find(*secret))
      text.replace(at, secret->size(), "(secret)");
  return std::string(trim(text));
}

void flight::fail_with(errc code, const std::string& text, std::string aws_code, int status,
                       std::string request_id, bool ambiguous) {
  failure f;
  f.why = {code, title() + ": " + text, call_.service + "." + call_.action};
  f.code = std::move(aws_code);
  f.status = status;
  f.request_id = std::move(request_id);
  f.ambiguous = ambiguous;
  finish(tl::unexpected(std::move(f)));
}

void flight::begin() {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  service_ = find_service(call_.service);
  if (!service_) {
    region_ = "?";
    return fail_with(errc::invalid, "there is no such service; known are " + known_services());
  }
  action_ = service_->action_name(call_.action);
  region_ = call_.region;
  if (region_.empty()) {
    auto found = c.from.region();
    // Services with one address for the whole world need none.
    if (!found && service_->name != "iam" && service_->name != "budgets" && service_->name != "ce" &&
        service_->name != "freetier" && service_->name != "pricing" && service_->name != "sts") {
      region_ = "no region";
      return fail_with(found.error().code, found.error().message);
    }
    region_ = found ? *found : "us-east-1";
  }
  if (region_.size() > 40 ||
      region_.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    region_ = printable(region_.substr(0, 40));
    return fail_with(errc::invalid, "this is no region's name");
  }
  endpoint_ = c.from.endpoint_of(*service_, region_);
  api_ = endpoint_.url + " " + action_;
  auto token = service_->token_member(action_);
  repeatable_ = is_repeatable(action_, !token.empty());
  if (call_.input.is_null()) call_.input = json::object();
  // An empty table of Lua is no list and no map: it is nothing.
  if (call_.input.is_array() && call_.input.empty()) call_.input = json::object();
  if (!call_.input.is_object()) return fail_with(errc::invalid, "the input is a table of named members");
  if (!token.empty() && !call_.input.contains(token)) {
    std::uint8_t bytes[16];
    c.world_.random.fill(bytes);
    call_.input[token] = to_hex(bytes);
  }
  authorize();
}

void flight::authorize() {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  if (bare || keys) {
    if (keys) used_ = *keys;
    return attempt();
  }
  c.chain.get([late = weak_from_this()](result<credentials> got) {
    auto self = late.lock();
    if (!self || !self->done_) return;
    if (!got) {
      auto client = self->owner_.lock();
      if (client && got.error().message.find("expired") != std::string::npos)
        (*client)->tell(msg_expired, got.error().message);
      return self->fail_with(got.error().code, got.error().message);
    }
    self->used_ = *got;
    self->attempt();
  });
}

void flight::attempt() {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  auto pause = c.pace.take(api_, c.world_.clock.now());
  if (pause <= duration::zero()) return transmit();
  timer_ = c.world_.scheduler.after(pause, [late = weak_from_this()] {
    if (auto self = late.lock()) self->transmit();
  });
}

http_request flight::signed_request(const wire_request& w) {
  auto& c = **owner_.lock();
  http_request out;
  auto base = endpoint_.url;
  auto path = w.path;
  if (!w.bucket.empty()) {
    auto scheme = base.find("://");
    if (endpoint_.custom || w.bucket.find('.') != std::string::npos || scheme == std::string::npos)
      path = "/" + url_encode(w.bucket) + (path == "/" ? "" : path);
    else
      base = base.substr(0, scheme + 3) + w.bucket + "." + base.substr(scheme + 3);
  }
  // An endpoint may lie below a path of its own.
  auto authority = host_of(base);
  auto prefix = base.substr(base.find(authority) + authority.size());
  path = prefix + path;
  out.method = w.method;
  out.url = base.substr(0, base.size() - prefix.size()) + path;
  if (auto query = canonical_query(w.query); !query.empty()) out.url += "?" + query;
  out.headers = w.headers;
  out.body = w.body;
  out.timeout = call_.timeout > duration::zero() ? call_.timeout : c.options.timeout;
  out.redirects = 0;
  out.ca_file = c.options.ca_file;
  out.headers.emplace_back("User-Agent", "netlab");
  if (bare) return out;
  signable s;
  s.method = w.method;
  s.path = path;
  s.query = w.query;
  s.payload_hash = to_hex(sha256_of(as_bytes(w.body)));
  auto now = c.world_.clock.wall();
  http_headers extra = {{"x-amz-date", amz_date(now)}};
  if (!used_.session_token.empty()) extra.emplace_back("x-amz-security-token", used_.session_token);
  if (service_->protocol == protocol::rest_xml) extra.emplace_back("x-amz-content-sha256", s.payload_hash);
  for (auto& h : extra) out.headers.push_back(std::move(h));
  s.headers = {{"host", host_field(out.url)}};
  for (const auto& [name, value] : out.headers)
    if (name != "User-Agent") s.headers.emplace_back(name, value);
  signature_scope scope{used_.access_key, used_.secret_key, endpoint_.signing_region, service_->signing, now};
  scope.normalize_path = scope.encode_path = service_->protocol != protocol::rest_xml;
  out.headers.emplace_back("Authorization", authorization(s, scope));
  return out;
}

void flight::transmit() {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  json input = call_.input;
  for (const auto& [key, value] : page_input_.items()) input[key] = value;
  auto wire = encode(*service_, action_, input);
  if (!wire) return fail_with(wire.error().code, wire.error().message);
  ++attempt_;
  ++c.sent;
  if (attempt_ > 1) ++c.repeated;
  exchange_ = c.world_.http.send(signed_request(*wire), [late = weak_from_this()](result<http_response> got) {
    if (auto self = late.lock()) self->answered(std::move(got));
  });
}

void flight::again(const std::string& why, bool throttled) {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  c.tell(throttled ? msg_throttled : msg_repeated, title() + ": " + why);
  auto pause = pause_before(attempt_, c.options, c.world_.random);
  timer_ = c.world_.scheduler.after(pause, [late = weak_from_this()] {
    if (auto self = late.lock()) self->authorize();
  });
}

void flight::answered(result<http_response> got) {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  if (!got) {
    auto code = got.error().code;
    // Nothing reached AWS when there was no connection; otherwise it may have been carried out.
    bool unsent = code == errc::not_found || code == errc::refused || code == errc::unreachable ||
                  code == errc::denied || code == errc::invalid || code == errc::unsupported;
    bool hopeless =
        code == errc::denied || code == errc::invalid || code == errc::unsupported || code == errc::limit;
    int attempts = unsent ? std::min(c.options.attempts, unsent_attempts) : c.options.attempts;
    if (!hopeless && attempt_ < attempts && (unsent || repeatable_)) return again(got.error().message, false);
    auto text = got.error().message;
    if (code == errc::not_found && !endpoint_.custom)
      text += "; is " + region_ + " a region of AWS, and does this machine reach the internet?";
    return fail_with(code, text + tried(), "", 0, "", !unsent);
  }
  if (got->status >= 200 && got->status < 300) {
    c.pace.answered(api_, c.world_.clock.now());
    return succeeded(*got);
  }
  refused(*got);
}

void flight::succeeded(const http_response& r) {
  auto answer = decode(*service_, action_, r);
  if (!answer) return fail_with(answer.error().code, answer.error().message, "", r.status, "", !repeatable_);
  auto next = find_next(action_, *answer);
  join_pages(joined_, std::move(*answer));
  ++page_;
  if (!next || page_ >= call_.pages) return finish(std::move(joined_));
  if (next->input == page_input_)
    return fail_with(errc::protocol, "the token of the next page is that of this page");
  page_input_ = std::move(next->input);
  attempt_ = 0;
  authorize();
}

void flight::refused(const http_response& r) {
  auto owner = owner_.lock();
  if (!owner || !done_) return;
  auto& c = **owner;
  auto e = decode_error(*service_, r);
  if (e.code == "DryRunOperation") return finish(json{{"dry_run", true}});
  e.message = without_secrets(e.message);
  auto words = e.code + (e.message.empty() ? "" : ": " + e.message);
  auto what = judge(r.status, e.code);
  if (what == verdict::throttled) c.pace.throttled(api_, c.world_.clock.now());
  if (what != verdict::final && attempt_ < c.options.attempts && (what == verdict::throttled || repeatable_))
    return again(words, what == verdict::throttled);
  auto code = code_of(r.status, e.code);
  bool ambiguous = what == verdict::transient && !repeatable_;
  if (code == errc::denied) {
    auto now = c.world_.clock.wall();
    auto theirs = parse_http_date(r.header("date"));
    auto skew = theirs ? now - *theirs : duration::zero();
    auto size = skew < duration::zero() ? -skew : skew;
    bool permission = e.code.starts_with("UnauthorizedOperation") || e.code.starts_with("AccessDenied") ||
                      e.code.starts_with("NotAuthorized");
    if (!permission && size > std::chrono::minutes(5)) {
      words = "this machine's clock is " + format_elapsed(size) +
              (skew < duration::zero() ? " behind AWS'" : " ahead of AWS'") + " (" + e.code +
              "): set it, for example with timedatectl set-ntp true";
      c.tell(msg_clock, words);
    } else if (e.code.starts_with("ExpiredToken") || e.code == "RequestExpired") {
      if (!keys && !renewed_ && c.chain.forget()) {
        renewed_ = true;
        return again(words, false);
      }
      words = "the credentials of " + used_.source + " have expired (" + e.code + "): " + used_.renew;
      c.tell(msg_expired, words);
    } else if (permission) {
      words += "; this policy statement would allow it: " + statement(*service_, action_, e.message);
      c.tell(msg_denied, title() + ": " + words);
    } else if (e.code == "InvalidClientTokenId" || e.code == "InvalidAccessKeyId" ||
               e.code == "AuthFailure" || e.code == "UnrecognizedClientException" ||
               e.code == "SignatureDoesNotMatch") {
      words += "; the credentials come from " + used_.source;
      if (!used_.session_token.empty()) words += ": " + used_.renew;
    } else if (e.code == "OptInRequired") {
      words += "; region " + region_ + " is not enabled in this account";
    }
  }
  fail_with(code, words + tried(), e.code, r.status, e.request_id, ambiguous);
}

} // namespace

std::unique_ptr<client> make_client(runtime& world, client_options options) {
  return std::make_unique<client_impl>(world, std::move(options));
}

result<void> check_service(std::string_view name) {
  if (find_service(name)) return {};
  return fail(errc::invalid, "AWS service \"" + printable(name) + "\" is none of " + known_services(),
              "service");
}

std::string service_list() { return known_services(); }

} // namespace netlab::aws
