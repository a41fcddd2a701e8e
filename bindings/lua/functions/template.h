#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::lua {

// Replaces every {{name}} (blanks inside allowed, dots descend) by what `look_up` gives; `${…}` stays for
// iPXE and Talos. A name without a value is an error that names it and its line.
result<std::string>
expand_template(std::string_view text,
                const std::function<std::optional<std::string>(std::string_view)>& look_up);

} // namespace netlab::lua
