// A word of the command line read as an option's type.
#include "host/schema.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::lua {

result<value> parse_word(const option_type& t, std::string_view word, const std::string& folder) {
  auto refuse = [&]() -> result<value> {
    return fail(errc::invalid, "expected " + expectation(t) + ", got \"" + printable(word) + "\"");
  };
  auto wrap = [&](auto parse) -> result<value> {
    auto got = parse(word);
    if (!got) return refuse();
    return value{*got};
  };
  switch (t.kind) {
  case type_kind::string: return value{std::string(word)};
  case type_kind::path:
    if (word.empty()) return refuse();
    return value{file_path{join_path(folder, word)}};
  case type_kind::boolean:
    if (word == "true" || word == "yes" || word == "on") return value{true};
    if (word == "false" || word == "no" || word == "off") return value{false};
    return refuse();
  case type_kind::integer:
  case type_kind::number: {
    std::string text(word);
    char* end = nullptr;
    double n = std::strtod(text.c_str(), &end);
    bool whole = n == std::floor(n) && std::abs(n) <= 9007199254740992.0;
    if (text.empty() || *end != '\0' || !std::isfinite(n) || (t.kind == type_kind::integer && !whole) ||
        (t.least && n < *t.least) || (t.most && n > *t.most))
      return refuse();
    if (t.kind == type_kind::integer) return value{static_cast<std::int64_t>(n)};
    return value{n};
  }
  case type_kind::duration: return wrap(parse_duration);
  case type_kind::size:
    return wrap([](std::string_view w) { return parse_size(w).map([](auto n) { return byte_size{n}; }); });
  case type_kind::ip: return wrap(ip_address::parse);
  case type_kind::cidr: return wrap(netlab::cidr::parse);
  case type_kind::mac: return wrap(mac_address::parse);
  case type_kind::uuid: return wrap(netlab::uuid::parse);
  case type_kind::ip_range: return wrap(netlab::ip_range::parse);
  case type_kind::listen: {
    auto got = endpoint::parse(word);
    if (!got) return refuse();
    return value{listen_list{{*got, nullptr}}};
  }
  case type_kind::url:
    if (word.find("://") == std::string_view::npos) return refuse();
    return value{std::string(word)};
  case type_kind::enumeration:
    if (std::find(t.words.begin(), t.words.end(), word) == t.words.end()) return refuse();
    return value{std::string(word)};
  case type_kind::list: {
    value_list out;
    for (auto part : split(word, ',')) {
      auto one = parse_word(t.inner[0], trim(part), folder);
      if (!one) return one;
      out.push_back(std::move(*one));
    }
    return value{std::move(out)};
  }
  default: return fail(errc::unsupported, "a " + type_name(t) + " cannot be given on the command line");
  }
}

} // namespace netlab::lua
