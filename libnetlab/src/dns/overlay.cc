#include "netlab/dns_overlay.h"

#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

constexpr std::pair<overlay::kind, std::string_view> kinds[] = {
    {overlay::kind::allow, "allow"}, {overlay::kind::block, "block"}, {overlay::kind::pause, "pause"}};

std::int64_t milliseconds(wall_time t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}
std::optional<wall_time> time_of(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  auto ms = value.get<std::int64_t>();
  if (ms < 0 || ms > 9'000'000'000'000) return std::nullopt;
  return wall_time(std::chrono::milliseconds(ms));
}

std::optional<overlay> read_one(const json& value) {
  if (!value.is_object()) return std::nullopt;
  overlay out;
  auto word = value.value("what", json());
  bool known = false;
  for (const auto& [kind, text] : kinds)
    if (word.is_string() && word.get<std::string>() == text) {
      out.what = kind;
      known = true;
    }
  auto made = time_of(value.value("made", json()));
  if (!known || !made) return std::nullopt;
  out.made = *made;
  if (out.what != overlay::kind::pause) {
    auto text = value.value("name", json());
    auto parsed = text.is_string() ? name::parse(text.get<std::string>()) : fail(errc::invalid, "");
    if (!parsed) return std::nullopt;
    out.target = parsed->lower();
  }
  auto origin = value.value("origin", json());
  if (origin.is_string()) out.origin = printable(origin.get<std::string>().substr(0, 200));
  if (value.contains("expires")) {
    out.expires = time_of(value["expires"]);
    if (!out.expires) return std::nullopt;
  }
  return out;
}

} // namespace

std::string_view to_string(overlay::kind what) {
  for (const auto& [kind, text] : kinds)
    if (kind == what) return text;
  return "unknown";
}

std::string write_overlays(const std::vector<overlay>& all) {
  json out = json::array();
  for (const auto& o : all) {
    json entry = {{"what", to_string(o.what)}};
    if (o.what != overlay::kind::pause) entry["name"] = o.target.to_string();
    entry["origin"] = o.origin;
    entry["made"] = milliseconds(o.made);
    if (o.expires) entry["expires"] = milliseconds(*o.expires);
    out.push_back(std::move(entry));
  }
  return out.dump(2, ' ', true, json::error_handler_t::replace) + "\n";
}

result<read_overlays_result> read_overlays(std::string_view text) {
  auto parsed = parse_json(text);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->is_array()) return fail(errc::invalid, "expected a list of changes", "dns.overlays");
  read_overlays_result out;
  for (const auto& each : *parsed) {
    if (auto one = read_one(each))
      out.all.push_back(std::move(*one));
    else
      ++out.refused;
  }
  return out;
}

overlaid_filter::overlaid_filter(std::shared_ptr<const filter_set> base, const std::vector<overlay>& all)
    : base_(std::move(base)) {
  for (const auto& o : all) {
    if (o.what == overlay::kind::pause) continue;
    auto lower = o.target.lower();
    rules_[std::string(as_text(lower.wire()))] =
        o.what == overlay::kind::allow ? filter_action::allow : filter_action::block;
  }
}

verdict overlaid_filter::match(byte_view wire, list_mask lists) const noexcept {
  if (!rules_.empty()) {
    auto text = as_text(wire);
    for (std::size_t at = 0; at < text.size() && text[at] != 0;
         at += static_cast<std::uint8_t>(text[at]) + std::size_t{1})
      if (auto found = rules_.find(text.substr(at)); found != rules_.end())
        return {found->second,
                found->second == filter_action::allow ? operator_allow_list : operator_block_list};
  }
  return base_ ? base_->match(wire, lists) : verdict{};
}

std::string overlaid_filter::list_name(std::uint16_t list) const {
  if (list == operator_allow_list) return "netlab dns allow";
  if (list == operator_block_list) return "netlab dns block";
  return base_ ? base_->list_name(list) : std::string();
}

std::optional<std::pair<name, filter_action>> overlaid_filter::deciding(const name& lower) const {
  for (auto at = lower; !at.is_root(); at = at.parent())
    if (auto found = rules_.find(as_text(at.wire())); found != rules_.end())
      return std::pair(at, found->second);
  return std::nullopt;
}

} // namespace netlab::dns
