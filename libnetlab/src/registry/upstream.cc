#include "upstream.h"

#include <algorithm>
#include <charconv>

#include "messages.h"
#include "netlab/encoding.h"
#include "netlab/text.h"
#include "netlab/url.h"

namespace netlab::registry {

namespace {

constexpr duration first_pause = std::chrono::milliseconds(200);
constexpr duration blocked_by_default = std::chrono::seconds(60);
constexpr duration blocked_at_most = std::chrono::hours(1);
constexpr duration down_for = std::chrono::seconds(10);
constexpr std::size_t error_body = 64u << 10; // of an answer that is not what was asked for
constexpr std::size_t most_tokens = 4096;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  if (read.ec != std::errc() || read.ptr == text.data()) return std::nullopt;
  return out;
}

bool may_pass(errc code) {
  switch (code) {
  case errc::refused:
  case errc::unreachable:
  case errc::timeout:
  case errc::closed:
  case errc::not_found: // of the name
  case errc::io: return true;
  default: return false;
  }
}

// What an answer is worth when the next place may have a better one.
bool is_final(int status) { return status < 400 || status == 416; }

} // namespace

upstream::upstream(const runtime& world, upstream_config config, duration stall_time,
                   const std::string& proxy_name)
    : world_(world), config_(std::move(config)), stall_time_(stall_time),
      requests_(world.metrics.get("netlab_registry_upstream_requests_total",
                                  {{"registry", proxy_name}, {"upstream", config_.name}})),
      bytes_(world.metrics.get("netlab_registry_upstream_bytes_total",
                               {{"registry", proxy_name}, {"upstream", config_.name}})) {
  for (const auto& each : config_.mirrors) places_.push_back({each, false, {}, false});
  if (!config_.url.empty()) places_.push_back({config_.url, true, {}, false});
  for (auto& p : places_)
    while (p.url.ends_with("/")) p.url.pop_back();
}

bool upstream::in_library(std::string_view name) const {
  return config_.library && name.find('/') == std::string_view::npos;
}

std::string upstream::repository(const std::string& name) const {
  return in_library(name) ? "library/" + name : name;
}

std::string upstream::image(std::string_view name) const {
  std::string out;
  out.reserve(config_.name.size() + 9 + name.size());
  out.append(config_.name);
  out.append(in_library(name) ? "/library/" : "/");
  return out.append(name);
}

bool upstream::is_blocked(const place& at) const {
  return at.blocked && world_.clock.now() < at.blocked_until;
}

std::optional<duration> upstream::blocked() const {
  std::optional<duration> out;
  for (const auto& p : places_) {
    if (!is_blocked(p)) return std::nullopt;
    auto left = p.blocked_until - world_.clock.now();
    out = out ? std::min(*out, left) : left;
  }
  return out;
}

bool upstream::down() const { return failing_ && world_.clock.now() - failed_ < down_for; }

upstream_state upstream::state() const {
  upstream_state out;
  out.name = config_.name;
  out.url = shown_url(config_.url);
  out.up = !failing_;
  out.trouble = trouble_;
  out.blocked = blocked();
  out.limit = limit_;
  out.remaining = remaining_;
  out.window = window_;
  out.requests = requests_.value();
  out.bytes = bytes_.value();
  return out;
}

http_request upstream::request(const place& at, const query& q) const {
  http_request out;
  out.method = q.method;
  out.url = q.path.starts_with("/") ? at.url + q.path : at.url + "/v2/" + q.repository + "/" + q.path;
  out.headers = q.headers;
  auto token = tokens_.find(at.url + " " + q.repository);
  if (token != tokens_.end() && world_.clock.now() < token->second.until)
    out.headers.emplace_back("Authorization", token->second.authorization);
  out.body_limit = q.body_limit;
  out.timeout = q.on_body ? duration::max() : q.timeout;
  out.connect_timeout = std::min<duration>(q.timeout, std::chrono::seconds(10));
  out.stall_time = stall_time_;
  out.redirects = 10; // curl leaves credentials behind when the host changes
  out.ca_file = config_.ca_file;
  out.verify = config_.verify;
  return out;
}

// What every answer tells beside itself.
void upstream::learn(place& at, const http_response& got) {
  if (auto left = got.header("ratelimit-remaining"); !left.empty()) remaining_ = number(left);
  if (auto most = got.header("ratelimit-limit"); !most.empty()) {
    limit_ = number(most);
    if (auto window = most.find(";w="); window != std::string_view::npos)
      if (auto seconds = number(most.substr(window + 3))) window_ = std::chrono::seconds(*seconds);
  }
  if (got.status != 429) return;
  auto wait = blocked_by_default;
  if (auto after = number(got.header("retry-after")))
    wait = std::clamp<duration>(std::chrono::seconds(std::min<std::uint64_t>(*after, 86400)),
                                std::chrono::seconds(1), blocked_at_most);
  at.blocked = true;
  at.blocked_until = world_.clock.now() + wait;
  world_.log(msg_too_many,
             shown_url(at.url) + " says that there were too many requests; it is left alone for " +
                 format_duration(std::chrono::ceil<std::chrono::seconds>(wait)),
             {{"upstream", config_.name}});
}

task<result<std::string>> upstream::authorise(place& at, const query& q, std::string demand) {
  auto parsed = oci::parse_challenge(demand);
  if (!parsed) co_return tl::unexpected(parsed.error());
  bool known = at.mine && config_.credentials.has_value();
  auto basic = known ? "Basic " + base64(config_.credentials->username + ":" + config_.credentials->password)
                     : std::string();
  auto key = at.url + " " + q.repository;
  if (tokens_.size() >= most_tokens) tokens_.clear();
  if (parsed->scheme == "basic") {
    if (!known) co_return fail(errc::denied, "it wants credentials", "registry.auth");
    tokens_[key] = {basic, boot_time::max()};
    co_return basic;
  }
  auto url = oci::token_url(*parsed, q.repository, at.url.starts_with("https://"));
  if (!url) co_return tl::unexpected(url.error());
  http_request ask;
  ask.url = *url;
  ask.body_limit = 1u << 20;
  ask.timeout = q.timeout;
  ask.ca_file = config_.ca_file;
  ask.verify = config_.verify;
  if (known && oci::may_share_credentials(host_of(at.url), host_of(*url)))
    ask.headers.emplace_back("Authorization", basic);
  exchange asking(world_.http, std::move(ask));
  auto got = co_await asking;
  if (!got) co_return tl::unexpected(got.error());
  if (got->status == 429) learn(at, *got);
  if (got->status != 200)
    co_return fail(errc::denied, "its token server answers " + std::to_string(got->status), "registry.auth");
  auto token = oci::parse_token(got->body);
  if (!token) co_return tl::unexpected(token.error());
  auto authorization = "Bearer " + token->value;
  // A little less than it lasts: it must still be good when it arrives.
  tokens_[key] = {authorization, world_.clock.now() + token->lasts * 9 / 10};
  co_return authorization;
}

// One place, with a token when it wants one; what it says, or why it says nothing. `begun` becomes true when
// the answer that counts has begun to reach who asked.
task<result<http_response>> upstream::ask_place(place& at, const query& q, bool& begun) {
  for (bool authorised = false;; authorised = true) {
    auto r = request(at, q);
    auto wanted = std::make_shared<bool>(false);
    auto spare = std::make_shared<std::string>();
    if (q.on_head)
      r.on_head = [&q, &begun, wanted](int status, const http_headers& headers) {
        *wanted = status == 200 || status == 206 || status == 416;
        begun = begun || *wanted;
        return *wanted ? q.on_head(status, headers) : true;
      };
    if (q.on_body)
      r.on_body = [this, &q, wanted, spare](byte_view bytes) {
        if (*wanted) {
          bytes_.add(bytes.size());
          q.on_body(bytes);
        } else if (spare->size() < error_body) {
          spare->append(as_text(bytes.first(std::min(bytes.size(), error_body - spare->size()))));
        }
      };
    requests_.add();
    exchange asking(world_.http, std::move(r), q.control);
    auto got = co_await asking;
    if (!got) co_return got;
    if (!q.on_body) bytes_.add(got->body.size());
    learn(at, *got);
    if (got->status != 401 || authorised) {
      if (got->status == 401) tokens_.erase(at.url + " " + q.repository);
      co_return got;
    }
    tokens_.erase(at.url + " " + q.repository);
    auto asking_token = authorise(at, q, std::string(got->header("www-authenticate")));
    auto token = co_await asking_token;
    if (!token) {
      if (token.error().code != errc::denied && token.error().code != errc::protocol &&
          token.error().code != errc::refused)
        co_return tl::unexpected(token.error());
      trouble_ = token.error().message;
      co_return got;
    }
  }
}

task<result<http_response>> upstream::ask(query q) {
  result<http_response> best =
      fail(errc::unreachable, config_.name + " has no place to be asked", "registry.upstream");
  for (auto& at : places_) {
    if (is_blocked(at)) {
      http_response held;
      held.status = 429;
      auto left = std::chrono::ceil<std::chrono::seconds>(at.blocked_until - world_.clock.now());
      held.headers.emplace_back("retry-after", std::to_string(std::max<std::int64_t>(1, left.count())));
      best = std::move(held);
      continue;
    }
    auto wait = first_pause;
    for (int attempt = 1;; ++attempt) {
      bool begun = false;
      auto asking = ask_place(at, q, begun);
      auto got = co_await asking;
      if (!got && got.error().code == errc::cancelled) co_return got; // by our own on_head
      bool again = got ? got->status >= 500 && got->status != 501 : may_pass(got.error().code);
      if (got && is_final(got->status)) {
        if (failing_ || !trouble_.empty()) {
          if (std::exchange(said_, false)) world_.log(msg_upstream_back, config_.name + " answers again");
          failing_ = false;
          trouble_.clear();
        }
        co_return got;
      }
      if (!got || got->status >= 500) {
        failing_ = true;
        failed_ = world_.clock.now();
        trouble_ = got ? shown_url(at.url) + " answers " + std::to_string(got->status) : got.error().message;
      }
      // The last word is the registry's own: a mirror that lacks something says nothing about it.
      best = std::move(got);
      // Only who took the beginning of a body knows from where on it is still wanted.
      if (!best && begun) co_return best;
      if (!again || attempt >= q.attempts) break;
      netlab::pause rest(world_.scheduler, wait);
      co_await rest;
      wait *= 2;
    }
  }
  if (failing_ && !std::exchange(said_, true))
    world_.log(msg_upstream_down, config_.name + " cannot be asked: " + trouble_,
               {{"upstream", config_.name}});
  if (best && best->status == 401) {
    best->status = 403;
    std::erase_if(best->headers, [](const auto& h) { return h.first == "www-authenticate"; });
  }
  co_return best;
}

} // namespace netlab::registry
