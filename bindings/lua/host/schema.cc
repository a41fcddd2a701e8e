#include "host/schema.h"

#include <nlohmann/json.hpp>

#include "host/schema_kinds.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace type {
namespace {
option_type plain(type_kind kind) {
  option_type out;
  out.kind = kind;
  return out;
}
} // namespace
option_type any() { return plain(type_kind::any); }
option_type data() { return plain(type_kind::data); }
option_type string() { return plain(type_kind::string); }
option_type integer(std::optional<double> least, std::optional<double> most) {
  auto out = plain(type_kind::integer);
  out.least = least;
  out.most = most;
  return out;
}
option_type number(std::optional<double> least, std::optional<double> most) {
  auto out = integer(least, most);
  out.kind = type_kind::number;
  return out;
}
option_type port() { return integer(1, 65535); }
option_type boolean() { return plain(type_kind::boolean); }
option_type duration() { return plain(type_kind::duration); }
option_type size() { return plain(type_kind::size); }
option_type ip() { return plain(type_kind::ip); }
option_type cidr() { return plain(type_kind::cidr); }
option_type mac() { return plain(type_kind::mac); }
option_type uuid() { return plain(type_kind::uuid); }
option_type ip_range() { return plain(type_kind::ip_range); }
option_type listen() { return plain(type_kind::listen); }
option_type path() { return plain(type_kind::path); }
option_type url(std::string schemes) {
  auto out = plain(type_kind::url);
  out.text = std::move(schemes);
  return out;
}
option_type function(std::string signature) {
  auto out = plain(type_kind::function);
  out.text = std::move(signature);
  return out;
}
option_type list(option_type of) {
  auto out = plain(type_kind::list);
  out.inner.push_back(std::move(of));
  return out;
}
option_type map(option_type of) {
  auto out = plain(type_kind::map);
  out.inner.push_back(std::move(of));
  return out;
}
option_type table(std::vector<option> fields) {
  auto out = plain(type_kind::table);
  out.fields = std::move(fields);
  return out;
}
option_type enumeration(std::vector<std::string> words) {
  auto out = plain(type_kind::enumeration);
  out.words = std::move(words);
  return out;
}
option_type handle(std::string kind) {
  auto out = plain(type_kind::handle);
  out.text = std::move(kind);
  return out;
}
option_type one_of(std::vector<option_type> alternatives) {
  auto out = plain(type_kind::one_of);
  out.inner = std::move(alternatives);
  return out;
}
} // namespace type

option required(std::string name, option_type type, std::string help) {
  return {std::move(name), std::move(type), true, std::nullopt, std::move(help)};
}
option optional(std::string name, option_type type, std::string help) {
  return {std::move(name), std::move(type), false, std::nullopt, std::move(help)};
}
option with_default(std::string name, option_type type, json fallback, std::string help) {
  return {std::move(name), std::move(type), false, std::move(fallback), std::move(help)};
}

namespace {

constexpr named_kind kinds[] = {
    {type_kind::any, "any", "any value"},
    {type_kind::data, "data", "plain data (strings, numbers, booleans and tables of them)"},
    {type_kind::string, "string", "a string"},
    {type_kind::integer, "integer", "a whole number"},
    {type_kind::number, "number", "a number"},
    {type_kind::boolean, "boolean", "true or false"},
    {type_kind::duration, "duration", "a duration such as \"1h\""},
    {type_kind::size, "size", "a size such as \"20GiB\""},
    {type_kind::ip, "ip", "an address such as \"10.0.0.1\""},
    {type_kind::cidr, "cidr", "an address with its prefix length such as \"10.0.0.1/24\""},
    {type_kind::mac, "mac", "a MAC address such as \"02:00:0a:14:0d:0b\""},
    {type_kind::uuid, "uuid", "a UUID such as \"0f5d4e2c-6a0e-4c3b-9f43-2f7c3a0d9e11\""},
    {type_kind::ip_range, "ip_range", "a range such as \"10.0.0.100-10.0.0.199\""},
    {type_kind::listen, "listen", "a place to listen: \"address:port\", lan:at(port), or a list of them"},
    {type_kind::path, "path", "a file name"},
    {type_kind::url, "url", "a URL"},
    {type_kind::function, "function", "a function"},
    {type_kind::list, "list", "a list"},
    {type_kind::map, "map", "a table"},
    {type_kind::table, "table", "a table of options"},
    {type_kind::enumeration, "enumeration", "one of its words"},
    {type_kind::handle, "handle", "a handle"},
    {type_kind::one_of, "one_of", "one of its types"},
};

const named_kind& named(type_kind kind) {
  for (const auto& k : kinds)
    if (k.kind == kind) return k;
  return kinds[0];
}

std::string joined(const std::vector<std::string>& words, std::string_view last = " or ") {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i)
    out += (i == 0 ? "" : i + 1 == words.size() ? std::string(last) : std::string(", ")) + words[i];
  return out;
}

std::vector<std::string> quoted(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  out.reserve(words.size());
  for (const auto& w : words) out.push_back("\"" + w + "\"");
  return out;
}

std::string number_text(double n) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.14g", n);
  return buffer;
}

std::string range_text(const option_type& t) {
  if (t.least && t.most) return " from " + number_text(*t.least) + " to " + number_text(*t.most);
  if (t.least) return " of at least " + number_text(*t.least);
  if (t.most) return " of at most " + number_text(*t.most);
  return "";
}

} // namespace

std::span<const named_kind> named_kinds() { return kinds; }

std::vector<std::string> handle_kinds(const option_type& t) {
  std::vector<std::string> out;
  for (auto k : split(t.text, '|')) out.emplace_back(k);
  return out;
}

std::string type_name(const option_type& t) {
  std::vector<std::string> names;
  switch (t.kind) {
  case type_kind::list: return "list of " + type_name(t.inner[0]);
  case type_kind::map: return "map of " + type_name(t.inner[0]);
  case type_kind::enumeration: return joined(quoted(t.words));
  case type_kind::handle: return joined(handle_kinds(t));
  case type_kind::function: return t.text.empty() ? "function" : t.text;
  case type_kind::one_of:
    for (const auto& i : t.inner) names.push_back(type_name(i));
    return joined(names);
  default: return std::string(named(t.kind).name);
  }
}

std::string expectation(const option_type& t) {
  std::vector<std::string> parts;
  switch (t.kind) {
  case type_kind::list: return "a list of " + type_name(t.inner[0]);
  case type_kind::map: return "a table of names to " + type_name(t.inner[0]);
  case type_kind::enumeration: return joined(quoted(t.words));
  case type_kind::handle:
    for (const auto& k : handle_kinds(t)) {
      // Kinds that several functions make are called by those.
      if (k == "asset.source")
        parts.insert(parts.end(), {"netlab.boot.service", "netlab.assets.handler"});
      else if (k == "http.entry")
        parts.insert(parts.end(), {"netlab.http.files", "netlab.http.route"});
      else
        parts.push_back("netlab." + k);
    }
    return "what " + joined(parts) + " returns";
  case type_kind::function: return t.text.empty() ? "a function" : t.text;
  case type_kind::url: return "a URL such as \"" + std::string(split(t.text, ',')[0]) + "://example.org/\"";
  case type_kind::integer:
  case type_kind::number: return std::string(named(t.kind).expected) + range_text(t);
  case type_kind::one_of:
    for (const auto& i : t.inner) parts.push_back(expectation(i));
    return joined(parts, ", or ");
  default: return std::string(named(t.kind).expected);
  }
}

} // namespace netlab::lua
