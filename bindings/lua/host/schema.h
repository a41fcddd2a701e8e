#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/object.h"
#include "host/stack.h"
#include "netlab/ip.h"
#include "netlab/json.h"
#include "netlab/mac.h"
#include "netlab/units.h"
#include "netlab/uuid.h"

namespace netlab::lua {

// One description per constructor: it validates the recipe's table, fills in defaults, and is what
// `netlab doc`, docs/reference.md and the editor stubs are written from.

struct option;

enum class type_kind {
  any,  // kept as it is (a Lua value)
  data, // plain data, as JSON
  string,
  integer,
  number,
  boolean,
  duration, // "12h"
  size,     // "20GiB"
  ip,
  cidr,
  mac,
  uuid,
  ip_range, // "10.0.0.100-10.0.0.199"
  listen,   // "addr:port", lan:at(port), or a list of them
  path,     // a file name, relative to the recipe's folder
  url,
  function,
  list,
  map,   // names of the recipe's choice to values of one type
  table, // a closed table of options
  enumeration,
  handle, // what another constructor returned
  one_of,
};

struct option_type {
  type_kind kind = type_kind::any;
  std::vector<option_type> inner; // list and map: the element; one_of: the alternatives
  std::vector<option> fields;     // table
  std::vector<std::string> words; // enumeration
  std::string text; // function: its signature; handle: the kind; url: allowed schemes "http,https"
  std::optional<double> least, most; // integer and number: the range; string and list: the length
};

struct option {
  std::string name;
  option_type type;
  bool required = false;
  std::optional<json> fallback; // what holds when the recipe says nothing, as a recipe would write it
  std::string help;
};

// The types, by the words that recipes and plugins use for them.
namespace type {
option_type any();
option_type data();
option_type string();
option_type integer(std::optional<double> least = {}, std::optional<double> most = {});
option_type number(std::optional<double> least = {}, std::optional<double> most = {});
option_type port(); // integer 1 … 65535
option_type boolean();
option_type duration();
option_type size();
option_type ip();
option_type cidr();
option_type mac();
option_type uuid();
option_type ip_range();
option_type listen();
option_type path();
option_type url(std::string schemes = "http,https");
// `signature` as a recipe would write it: "function(lease)".
option_type function(std::string signature);
option_type list(option_type of);
option_type map(option_type of);
option_type table(std::vector<option> fields);
option_type enumeration(std::vector<std::string> words);
// `kind`: what constructor made it; several with "|".
option_type handle(std::string kind);
option_type one_of(std::vector<option_type> alternatives);
} // namespace type

option required(std::string name, option_type type, std::string help);
option optional(std::string name, option_type type, std::string help);
option with_default(std::string name, option_type type, json fallback, std::string help);

struct schema {
  std::string name;            // "dhcp.server", as it follows "netlab."
  std::string help;            // first sentence: what it does
  std::vector<option> options; // empty when `elements` is set
  // A constructor that takes a list, such as netlab.nodes: the type of its elements.
  std::optional<option_type> elements;
  std::string example; // a recipe fragment for the documentation
};

// How messages and documentation name a type: "duration", "list of ip", "\"null\" or \"refused\"".
std::string type_name(const option_type& t);
// What a message asks for: "a duration such as \"1h\"".
std::string expectation(const option_type& t);

// --- values -------------------------------------------------------------------------------------

struct byte_size {
  std::uint64_t bytes = 0;
};

// One place to listen: an endpoint, or a port on a network whose address may come later.
struct listen_address {
  netlab::endpoint endpoint;
  object_ptr network; // set when the recipe wrote lan:at(port)
};
using listen_list = std::vector<listen_address>;

struct file_path {
  std::string path; // absolute, or relative to the working directory
};

struct named_value;
struct value;
using value_list = std::vector<value>;
struct value_map {
  std::vector<named_value> items; // sorted by name
};
// The options of one constructor call or nested table after validation, defaults applied.
class options {
public:
  bool has(std::string_view name) const { return find(name) != nullptr; }
  const value* find(std::string_view name) const; // null when absent
  // The value of a required option or one with a default. Asking for a type that the schema does not
  // promise is a broken invariant.
  template<class T>
  const T& get(std::string_view name) const;
  template<class T>
  std::optional<T> maybe(std::string_view name) const;
  // A list's elements; a single value counts as a list of one; empty when absent.
  template<class T>
  std::vector<T> list(std::string_view name) const;
  // The object behind a handle; null when absent.
  template<class T>
  std::shared_ptr<T> object(std::string_view name) const;
  template<class T>
  std::vector<std::shared_ptr<T>> objects(std::string_view name) const;
  // As written down by `netlab check --dump`.
  json dump() const;

  std::vector<named_value> values;
};

struct value {
  // std::string: string, url, enumeration. shared_ptr<json>: data. shared_reference: function and any.
  std::variant<std::monostate, bool, std::int64_t, double, std::string, netlab::duration, byte_size,
               ip_address, netlab::cidr, mac_address, netlab::uuid, netlab::ip_range, listen_list, file_path,
               shared_reference, value_list, value_map, options, object_ptr, std::shared_ptr<const json>>
      v;

  template<class T>
  bool is() const {
    return std::holds_alternative<T>(v);
  }
  template<class T>
  const T& as() const {
    return std::get<T>(v);
  }
  json dump() const;
};

struct named_value {
  std::string name;
  netlab::lua::value value;
};

template<class T>
const T& options::get(std::string_view name) const {
  return find(name)->as<T>();
}
template<class T>
std::optional<T> options::maybe(std::string_view name) const {
  const auto* found = find(name);
  if (!found || !found->is<T>()) return std::nullopt;
  return found->as<T>();
}
template<class T>
std::vector<T> options::list(std::string_view name) const {
  std::vector<T> out;
  const auto* found = find(name);
  if (!found) return out;
  if (found->is<T>()) return {found->as<T>()};
  if (found->is<value_list>())
    for (const auto& item : found->as<value_list>())
      if (item.is<T>()) out.push_back(item.as<T>());
  return out;
}
template<class T>
std::shared_ptr<T> options::object(std::string_view name) const {
  const auto* found = find(name);
  return found && found->is<object_ptr>() ? std::dynamic_pointer_cast<T>(found->as<object_ptr>()) : nullptr;
}
template<class T>
std::vector<std::shared_ptr<T>> options::objects(std::string_view name) const {
  std::vector<std::shared_ptr<T>> out;
  for (const auto& one : list<object_ptr>(name))
    if (auto cast = std::dynamic_pointer_cast<T>(one)) out.push_back(std::move(cast));
  return out;
}

// --- validation ---------------------------------------------------------------------------------

// One mistake: `path` is the option's ("pool[2].lease", empty for the whole table).
struct option_mistake {
  std::string path;
  std::string text;
};

// What validation needs to know of handles and file names.
struct validation {
  std::string folder; // that relative paths start from
  std::vector<option_mistake> mistakes;
  bool inert = false; // an inert handle was met: its mistake is reported already
};

// Reads the table at `index` by the schema. Mistakes are collected, all of them; the returned options
// are complete only when there are none.
options validate(lua_State* L, int index, const schema& by, validation& state);
// One value; for defaults, plugin options and command-line options.
value validate_value(lua_State* L, int index, const option_type& t, const std::string& path,
                     validation& state);
// The value a command-line word stands for.
result<value> parse_word(const option_type& t, std::string_view word, const std::string& folder);
// Pushes a validated value as a recipe sees it (durations and sizes as their words).
void push_value(lua_State* L, const value& v);

// A type as plugins write it: "duration", "list of ip", or a table { type = "table", options = { … } }.
// Throws script_error naming `path` when it is none.
option_type read_type(lua_State* L, int index, const std::string& path);
// A plugin's list of options.
std::vector<option> read_options(lua_State* L, int index, const std::string& path);

} // namespace netlab::lua
