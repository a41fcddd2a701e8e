#include "filter_refresh.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/text.h"

namespace netlab::dns {

namespace {

using namespace std::chrono_literals;

// A list of fewer rules may halve without anybody wondering.
constexpr std::uint64_t worth_wondering = 100;
constexpr unsigned believed_after = 3;
constexpr duration first_retry = 1min, longest_retry = 1h;

duration spread(duration base, double by, std::uint32_t random) {
  auto part = static_cast<double>(random) / 4294967296.0 * 2 - 1; // -1 … 1
  return base + std::chrono::duration_cast<duration>(base * by * part);
}

std::string text_of(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

template<class T>
T number_of(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<T>() : T{};
}

} // namespace

std::string list_key(std::string_view url) {
  auto digest = sha256_of(as_bytes(url));
  return to_hex(byte_view(digest).first(12));
}

json to_json(const std::map<std::string, stored_list>& lists) {
  json out = json::object();
  for (const auto& [key, l] : lists)
    out[key] = {{"url", l.url},
                {"etag", l.etag},
                {"last_modified", l.last_modified},
                {"sha256", l.sha256},
                {"format", l.format},
                {"rules", l.rules},
                {"unsupported", l.unsupported},
                {"malformed", l.malformed},
                {"checked", l.checked},
                {"changed", l.changed},
                {"small", l.small}};
  return out;
}

std::map<std::string, stored_list> stored_lists(std::string_view text) {
  std::map<std::string, stored_list> out;
  auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object()) return out;
  for (const auto& [key, value] : parsed->items()) {
    if (!value.is_object()) continue;
    stored_list l;
    l.url = text_of(value, "url");
    l.etag = text_of(value, "etag");
    l.last_modified = text_of(value, "last_modified");
    l.sha256 = text_of(value, "sha256");
    l.format = text_of(value, "format");
    l.rules = number_of<std::uint64_t>(value, "rules");
    l.unsupported = number_of<std::uint64_t>(value, "unsupported");
    l.malformed = number_of<std::uint64_t>(value, "malformed");
    l.checked = number_of<std::int64_t>(value, "checked");
    l.changed = number_of<std::int64_t>(value, "changed");
    l.small = number_of<unsigned>(value, "small");
    if (key == list_key(l.url)) out[key] = std::move(l);
  }
  return out;
}

http_request list_request(const stored_list& list, bool have_copy, const std::string& ca_file) {
  http_request out;
  out.url = list.url;
  out.timeout = 10min;
  out.ca_file = ca_file;
  out.headers.emplace_back("Accept", "text/plain, */*;q=0.5");
  if (have_copy && !list.etag.empty()) out.headers.emplace_back("If-None-Match", list.etag);
  if (have_copy && !list.last_modified.empty())
    out.headers.emplace_back("If-Modified-Since", list.last_modified);
  return out;
}

judgement judge_response(const http_response& response) {
  if (response.status != 200) return {false, "the server answered " + std::to_string(response.status)};
  auto type = to_lower(response.header("content-type"));
  if (type.starts_with("text/html") || type.starts_with("application/xhtml"))
    return {false, "it is a web page (" + printable(type.substr(0, 60)) + "), not a list"};
  return {true, {}};
}

judgement judge_list(const list_report& report, stored_list& list, bool have_copy) {
  if (!report.refused.empty()) return {false, report.refused};
  if (report.rules == 0)
    return {false, report.bytes == 0 ? "it is empty" : "it holds no rule that a resolver can keep"};
  if (report.malformed > report.rules && report.malformed >= 10)
    return {false, std::to_string(report.malformed) + " of its " + std::to_string(report.lines) +
                       " lines are no rules at all"};
  if (have_copy && list.rules >= worth_wondering && report.rules < list.rules / 2 &&
      ++list.small < believed_after)
    return {false,
            "it has " + std::to_string(report.rules) + " rules, and had " + std::to_string(list.rules)};
  list.small = 0;
  return {true, {}};
}

duration wait_after_failure(unsigned failures, std::uint32_t random) {
  auto base = first_retry;
  for (unsigned i = 1; i < failures && base < longest_retry; ++i) base *= 2;
  return spread(std::min(base, longest_retry), 0.2, random);
}

duration wait_after_bad_list(duration refresh, std::uint32_t random) {
  return spread(std::min(refresh, std::max<duration>(refresh / 4, 1h)), 0.1, random);
}

duration wait_after_success(duration refresh, std::uint32_t random) { return spread(refresh, 0.1, random); }

duration wait_at_start(const stored_list& list, bool have_copy, duration refresh, wall_time now,
                       std::uint32_t random) {
  if (!have_copy) return {};
  auto age = now - wall_time(std::chrono::seconds(list.checked));
  // A clock that was not set yet says nothing about the copy's age.
  if (age < duration::zero() || age > refresh) return spread(30s, 1, random);
  return spread(refresh - age, 0.1, random);
}

} // namespace netlab::dns
