#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "netlab/result.h"

namespace netlab {

// Insertion-ordered JSON, so that what netlab prints stays in the order it was written.
// Include <nlohmann/json.hpp> in the source that builds or reads values: it is heavy.
using json = nlohmann::ordered_json;

// Parses untrusted text: no comments, depth at most 64, the error names line and column.
result<json> parse_json(std::string_view text);

} // namespace netlab
