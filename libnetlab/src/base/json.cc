#include "netlab/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace netlab {

result<json> parse_json(std::string_view text) {
  constexpr int max_depth = 64;
  bool too_deep = false;
  try {
    auto value = json::parse(text, [&](int depth, json::parse_event_t, json&) {
      if (depth > max_depth) too_deep = true;
      return !too_deep;
    });
    if (too_deep) return fail(errc::limit, "JSON is nested deeper than 64 levels", "json.parse");
    return value;
  } catch (const json::parse_error& e) {
    if (too_deep) return fail(errc::limit, "JSON is nested deeper than 64 levels", "json.parse");
    auto upto = text.substr(0, std::min(e.byte ? e.byte - 1 : 0, text.size()));
    auto line = 1 + std::count(upto.begin(), upto.end(), '\n');
    auto column = upto.size() - (upto.rfind('\n') == std::string_view::npos ? 0 : upto.rfind('\n') + 1) + 1;
    std::string why = e.what();
    if (auto colon = why.find("syntax error"); colon != std::string::npos) why = why.substr(colon);
    return fail(errc::invalid,
                "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + why,
                "json.parse");
  } catch (const json::out_of_range& e) { // a number that no double holds
    std::string why = e.what();
    if (auto colon = why.find("] "); colon != std::string::npos) why = why.substr(colon + 2);
    return fail(errc::invalid, why, "json.parse");
  }
}

} // namespace netlab
