#include "netlab/transfer_plan.h"

#include <charconv>
#include <optional>

#include "netlab/text.h"

namespace netlab {

namespace {

std::string_view field(const http_headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || bad != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

struct content_range {
  std::optional<std::uint64_t> first, last, size;
};

// "bytes 100-199/300", "bytes 100-199/*", "bytes */300" (RFC 9110 §14.4).
std::optional<content_range> read_range(std::string_view text) {
  if (!istarts_with(text, "bytes ")) return std::nullopt;
  text = trim(text.substr(6));
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  content_range out;
  auto total = text.substr(slash + 1), range = text.substr(0, slash);
  if (total != "*" && !(out.size = number(total))) return std::nullopt;
  if (range == "*") return out;
  auto dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  out.first = number(range.substr(0, dash));
  out.last = number(range.substr(dash + 1));
  if (!out.first || !out.last || *out.last < *out.first || (out.size && *out.last >= *out.size))
    return std::nullopt;
  return out;
}

} // namespace

std::string transfer_validators::strong() const {
  if (!etag.empty() && !etag.starts_with("W/")) return etag;
  return last_modified;
}

http_headers request_fields(const transfer_part& part, const transfer_validators& have) {
  http_headers out;
  if (part.resumable()) {
    out.emplace_back("Range", "bytes=" + std::to_string(part.bytes) + "-");
    if (auto tag = part.of.strong(); !tag.empty()) out.emplace_back("If-Range", tag);
    return out;
  }
  if (!have.etag.empty()) out.emplace_back("If-None-Match", have.etag);
  if (have.etag.empty() && !have.last_modified.empty())
    out.emplace_back("If-Modified-Since", have.last_modified);
  return out;
}

transfer_verdict judge(int status, const http_headers& headers, const transfer_part& part) {
  using action = transfer_verdict::action;
  transfer_verdict out;
  out.of = {std::string(field(headers, "etag")), std::string(field(headers, "last-modified"))};
  auto range = read_range(field(headers, "content-range"));
  switch (status) {
  case 200:
    out.what = action::begin;
    out.size = number(field(headers, "content-length")).value_or(0);
    return out;
  case 206:
    // Some servers leave the condition out of account: the edition is looked at here as well.
    if (!part.resumable() || !range || !range->first || *range->first != part.bytes ||
        (!part.of.etag.empty() && !out.of.etag.empty() && part.of.etag != out.of.etag)) {
      out.what = action::ask_again;
      out.failure = "the source sent another part than the one asked for";
      return out;
    }
    out.what = action::append;
    out.size = range->size.value_or(0);
    return out;
  case 304:
    if (!part.resumable()) {
      out.what = action::unchanged;
      return out;
    }
    break;
  case 416:
    if (part.resumable() && range && range->size == part.bytes) {
      out.what = action::complete;
      out.size = part.bytes;
      return out;
    }
    if (part.resumable()) {
      out.what = action::ask_again;
      out.failure = "the source's file is shorter now";
      return out;
    }
    break;
  default: break;
  }
  out.failure = "the source answers " + std::to_string(status);
  if (status == 401 || status == 403) out.failure += " (access denied)";
  if (status == 404 || status == 410) out.failure += " (there is no such file)";
  if (status >= 500) out.failure += " (a fault of its own)";
  return out;
}

} // namespace netlab
