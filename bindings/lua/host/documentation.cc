#include "host/documentation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/messages.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

struct row {
  std::string name, type, note;
};

std::string note_of(const option& o) {
  std::string out = o.help;
  if (o.required) out += out.empty() ? "required" : " (required)";
  if (o.fallback) out += (out.empty() ? "" : " ") + std::string("(default ") + o.fallback->dump() + ")";
  return out;
}

bool is_table(const option_type& t) { return t.kind == type_kind::table; }

// The table inside a type, if there is one: of a list's or map's elements, or of an alternative.
const option_type* inner_table(const option_type& t) {
  if (is_table(t)) return &t;
  for (const auto& i : t.inner)
    if (const auto* found = inner_table(i)) return found;
  return nullptr;
}

std::string shown_type(const option_type& t) { return type_name(t); }

// Options flat, nested ones with their path: "pool[].lease".
void collect(const std::vector<option>& options, const std::string& prefix, std::vector<row>& out) {
  for (const auto& o : options) {
    out.push_back({prefix + o.name, shown_type(o.type), note_of(o)});
    if (const auto* inner = inner_table(o.type)) {
      auto joint = is_table(o.type) ? "." : "[].";
      collect(inner->fields, prefix + o.name + joint, out);
    }
  }
}

std::vector<row> rows_of(const schema& s) {
  std::vector<row> out;
  if (s.elements) {
    if (const auto* inner = inner_table(*s.elements)) collect(inner->fields, "[].", out);
  } else {
    collect(s.options, "", out);
  }
  return out;
}

std::string parameters_text(const function_info& f) {
  std::string out;
  for (const auto& p : f.parameters) out += (out.empty() ? "" : ", ") + p.name;
  return "(" + out + ")";
}

std::string results_text(const function_info& f) {
  std::string out;
  for (const auto& r : f.results) out += (out.empty() ? "" : ", ") + (r.name.empty() ? r.type : r.name);
  return out.empty() ? "" : " → " + out;
}

std::string table_text(const std::vector<row>& rows) {
  std::size_t name = 0, kind = 0;
  for (const auto& r : rows) {
    name = std::max(name, r.name.size());
    kind = std::max(kind, std::min<std::size_t>(r.type.size(), 32));
  }
  std::string out;
  for (const auto& r : rows) {
    auto n = r.name, t = r.type;
    n.resize(std::max(name, n.size()), ' ');
    t.resize(std::max(kind, t.size()), ' ');
    out += "  " + n + "  " + t + "  " + r.note + "\n";
  }
  return out;
}

std::string function_text(const function_info& f, const std::string& prefix) {
  std::string out = prefix + f.name + parameters_text(f) + results_text(f) + "\n  " + f.help + "\n";
  std::vector<row> rows;
  for (const auto& p : f.parameters)
    if (!p.help.empty() || p.type != "table") rows.push_back({p.name, p.type, p.help});
  if (!rows.empty()) out += "\n" + table_text(rows);
  if (f.waits)
    out += "\n  Waits: the task that calls it goes on when it is done; everything else keeps running.\n";
  if (f.options) out += "\noptions:\n" + table_text(rows_of(*f.options));
  return out;
}

std::string kind_text(const kind_info& k) {
  std::string out;
  for (const auto& f : k.fields) out += "  ." + f.name + results_text(f) + "  " + f.help + "\n";
  for (const auto& m : k.methods)
    out += "  :" + m.name + parameters_text(m) + results_text(m) + "  " + m.help + "\n";
  return out;
}

std::string escape_cell(std::string text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_rows(const std::vector<row>& rows) {
  std::string out = "| option | type | meaning |\n|---|---|---|\n";
  for (const auto& r : rows)
    out += "| `" + r.name + "` | " + escape_cell(r.type) + " | " + escape_cell(r.note) + " |\n";
  return out + "\n";
}

std::string markdown_function(const function_info& f, const std::string& prefix, const std::string& heading) {
  std::string out = heading + " " + prefix + f.name + "\n\n`" + prefix + f.name + parameters_text(f) +
                    results_text(f) + "`\n\n" + f.help + "\n\n";
  for (const auto& p : f.parameters)
    out += "- `" + p.name + "` (" + p.type + ")" + (p.help.empty() ? "" : ": " + p.help) + "\n";
  if (!f.parameters.empty()) out += "\n";
  if (f.waits) out += "Waits: call it in `netlab.main`, a handler or a task.\n\n";
  if (f.options) out += markdown_rows(rows_of(*f.options));
  return out;
}

// --- stubs

std::string cats_type(const option_type& t) {
  switch (t.kind) {
  case type_kind::integer: return "integer";
  case type_kind::number: return "number";
  case type_kind::boolean: return "boolean";
  case type_kind::any:
  case type_kind::data: return "any";
  case type_kind::listen: return "string|netlab.listen|(string|netlab.listen)[]";
  case type_kind::function: return "function";
  case type_kind::list: {
    auto inner = cats_type(t.inner[0]);
    return inner.find('|') == std::string::npos ? inner + "[]" : "(" + inner + ")[]";
  }
  case type_kind::map: return "table<string, " + cats_type(t.inner[0]) + ">";
  case type_kind::table: return "table";
  case type_kind::enumeration: {
    std::string out;
    for (const auto& w : t.words) out += (out.empty() ? "\"" : "|\"") + w + "\"";
    return out;
  }
  case type_kind::handle: {
    std::string out;
    for (auto k : split(t.text, '|')) out += (out.empty() ? "netlab." : "|netlab.") + std::string(k);
    return out;
  }
  case type_kind::one_of: {
    std::string out;
    for (const auto& i : t.inner) out += (out.empty() ? "" : "|") + cats_type(i);
    return out;
  }
  default: return "string"; // durations, sizes, addresses: words
  }
}

void stub_class(std::string& out, const std::string& name, const std::vector<option>& options) {
  std::string body;
  for (const auto& o : options) {
    auto of = cats_type(o.type);
    if (const auto* inner = inner_table(o.type)) {
      auto nested = name + "." + o.name;
      stub_class(out, nested, inner->fields);
      auto at = of.find("table");
      while (at != std::string::npos && of.compare(at, 6, "table<") == 0) at = of.find("table", at + 6);
      if (at != std::string::npos) of.replace(at, 5, nested);
    }
    body += "---@field " + o.name + (o.required ? " " : "? ") + of;
    if (auto note = note_of(o); !note.empty()) body += " " + note;
    body += "\n";
  }
  out += "---@class " + name + "\n" + body + "\n";
}

void stub_function(std::string& out, const function_info& f, const std::string& name) {
  out += "---" + f.help + "\n";
  std::string names;
  for (const auto& p : f.parameters) {
    auto plain = p.name.ends_with("?") ? p.name.substr(0, p.name.size() - 1) : p.name;
    auto of = f.options && p.type == "table" ? "netlab." + f.name + ".options" : p.type;
    out += "---@param " + p.name + " " + of + (p.help.empty() ? "" : " " + p.help) + "\n";
    names += (names.empty() ? "" : ", ") + plain;
  }
  for (const auto& r : f.results) {
    auto of = r.name.ends_with("?") && !r.type.ends_with("?") ? r.type + "?" : r.type;
    auto plain = r.name.ends_with("?") ? r.name.substr(0, r.name.size() - 1) : r.name;
    out += "---@return " + of + (plain.empty() || plain == "..." ? "" : " " + plain) +
           (r.help.empty() ? "" : " # " + r.help) + "\n";
  }
  out += "function " + name + "(" + names + ") end\n\n";
}

void stub_tables(std::string& out, const api& a) {
  std::vector<std::string> tables;
  auto note = [&](const std::string& name) {
    for (auto dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
      tables.push_back(name.substr(0, dot));
  };
  for (const auto& [name, f] : a.functions()) note(name);
  for (const auto& [name, c] : a.constructors()) note(name);
  std::sort(tables.begin(), tables.end());
  tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
  for (const auto& t : tables) out += "netlab." + t + " = {}\n";
  out += "\n";
}

constexpr const char* generated =
    "Made by `netlab doc` from the option tables in bindings/lua: change those.";

} // namespace

std::optional<std::string> doc_text(const api& a, const std::string& given) {
  auto name = given.starts_with("netlab.") ? given.substr(7) : given;
  std::string out;
  if (auto c = a.constructors().find(name); c != a.constructors().end()) {
    const auto& s = c->second.schema;
    out += "netlab." + name + (s.elements ? " { {…}, … }" : " { … }") + " → " + c->second.kind + "\n  " +
           s.help + "\n\noptions:\n" + table_text(rows_of(s));
    if (!s.example.empty()) {
      out += "\nexample:\n";
      for (auto line : split(s.example, '\n')) out += "  " + std::string(line) + "\n";
    }
    if (auto k = a.kinds().find(c->second.kind); k != a.kinds().end())
      out += "\nits handle:\n" + kind_text(k->second);
    return out;
  }
  if (auto f = a.functions().find(name); f != a.functions().end()) return function_text(f->second, "netlab.");
  if (auto k = a.kinds().find(name); k != a.kinds().end())
    return name + "\n  " + k->second.help + "\n\n" + kind_text(k->second);
  // A group such as "fs": everything in it.
  for (const auto& [key, f] : a.functions())
    if (key.starts_with(name + "."))
      out += "  netlab." + key + parameters_text(f) + results_text(f) + "\n    " + f.help + "\n";
  for (const auto& [key, c] : a.constructors())
    if (key.starts_with(name + ".")) out += "  netlab." + key + " { … }\n    " + c.schema.help + "\n";
  if (out.empty()) return std::nullopt;
  return "netlab." + name + "\n\n" + out;
}

std::string doc_index(const api& a) {
  // One line a name: the rest of its help is a `netlab doc NAME` away.
  auto first_sentence = [](const std::string& help) {
    auto end = help.find(". ");
    return end == std::string::npos ? help : help.substr(0, end + 1);
  };
  std::vector<row> rows;
  for (const auto& [name, c] : a.constructors())
    rows.push_back({name + " { … }", "", first_sentence(c.schema.help)});
  std::vector<row> functions;
  for (const auto& [name, f] : a.functions()) functions.push_back({name + "()", "", first_sentence(f.help)});
  return "constructors (netlab.NAME):\n" + table_text(rows) + "\nfunctions (netlab.NAME):\n" +
         table_text(functions) + "\nnetlab doc NAME shows one of them.\n";
}

std::string doc_markdown(const api& a) {
  std::string out =
      "# Reference\n\n" + std::string(generated) +
      "\n\nEvery name below follows `netlab.`, from `local netlab = require \"netlab\"`. Option tables are "
      "closed: an unknown name is an error that suggests the nearest. Units are words: `\"12h\"`, "
      "`\"20GiB\"`, `\"10.20.13.0/24\"`. Functions that wait belong into `netlab.main`, a handler or a "
      "task; what can fail returns `nil, err` with `err.code`, `err.message` and `err.op`.\n\n"
      "## Constructors\n\n";
  for (const auto& [name, c] : a.constructors()) {
    const auto& s = c.schema;
    out += "### netlab." + name + "\n\n" + s.help + "\n\n";
    if (s.elements) out += "Takes a list; each element has these options.\n\n";
    out += markdown_rows(rows_of(s));
    if (!s.example.empty()) out += "```lua\n" + s.example + "\n```\n\n";
    auto k = a.kinds().find(c.kind);
    if (k == a.kinds().end()) continue;
    out += "Its handle:\n\n";
    for (const auto& f : k->second.fields)
      out += "- `." + f.name + "`" + results_text(f) + ": " + f.help + "\n";
    for (const auto& m : k->second.methods)
      out += "- `:" + m.name + parameters_text(m) + "`" + results_text(m) + ": " + m.help + "\n";
    out += "\n";
  }
  out += "## Functions\n\n";
  for (const auto& [name, f] : a.functions()) out += markdown_function(f, "netlab.", "###");
  out += "## Handles\n\n";
  for (const auto& [name, k] : a.kinds()) {
    bool made = std::any_of(a.constructors().begin(), a.constructors().end(),
                            [&kind = name](const auto& c) { return c.second.kind == kind; });
    if (made) continue; // described with its constructor
    out += "### " + name + "\n\n" + k.help + "\n\n";
    for (const auto& f : k.fields) out += "- `." + f.name + "`" + results_text(f) + ": " + f.help + "\n";
    for (const auto& m : k.methods)
      out += "- `:" + m.name + parameters_text(m) + "`" + results_text(m) + ": " + m.help + "\n";
    out += "\n";
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string doc_stubs(const api& a) {
  std::string out =
      "---@meta netlab\n-- " + std::string(generated) +
      "\n\n"
      "---What I/O returns as its second result.\n"
      "---@class netlab.error\n---@field code string\n---@field message string\n---@field op string\n\n"
      "---A place to listen, as network:at(port) returns it.\n---@class netlab.listen\n\n"
      "---@class netlab.node\n---@field name string\n---@field mac? string\n---@field macs string[]\n"
      "---@field uuid? string\n---@field serial? string\n---@field ip? string the reserved address\n"
      "---@field address? string the address it has now\n---@field role? string\n"
      "---@field labels table<string, string>\n---@field declared boolean\n\n"
      "---@class netlab.file_info\n---@field name string\n---@field folder boolean\n---@field size integer\n"
      "---@field modified integer seconds since 1970\n"
      "---@field changed number the same, of its content, name or attributes; parts of a second count\n\n"
      "---@class netlab.process_result\n---@field exit_code integer\n---@field signal integer\n"
      "---@field output string\n---@field errors string\n---@field dropped integer\n\n"
      "---@class netlab.http_response\n---@field status integer\n---@field ok boolean\n"
      "---@field headers table<string, string>\n---@field body string\n---@field url string\n\n"
      "---@class netlab.option\n---@field name string\n---@field type string|table\n---@field default? any\n"
      "---@field required? boolean\n---@field help? string\n\n"
      "---@class netlab\n---@field version string\n---@field null lightuserdata\nlocal netlab = {}\n";
  stub_tables(out, a);
  for (const auto& [name, k] : a.kinds()) {
    out += "---" + k.help + "\n---@class netlab." + name + "\n";
    for (const auto& f : k.fields)
      out +=
          "---@field " + f.name + " " + (f.results.empty() ? "any" : f.results[0].type) + " " + f.help + "\n";
    std::string local = "handle_" + name;
    std::replace(local.begin(), local.end(), '.', '_');
    out += "local " + local + " = {}\n\n";
    for (const auto& m : k.methods) stub_function(out, m, local + ":" + m.name);
  }
  for (const auto& [name, c] : a.constructors()) {
    auto options = "netlab." + name + ".options";
    if (c.schema.elements) {
      if (const auto* inner = inner_table(*c.schema.elements)) stub_class(out, options, inner->fields);
      options += "[]";
    } else {
      stub_class(out, options, c.schema.options);
    }
    out += "---" + c.schema.help + "\n---@param options " + options + "\n---@return netlab." + c.kind +
           "\nfunction netlab." + name + "(options) end\n\n";
  }
  for (const auto& [name, f] : a.functions()) {
    if (f.options) stub_class(out, "netlab." + name + ".options", f.options->options);
    stub_function(out, f, "netlab." + name);
  }
  return out + "return netlab\n";
}

std::string doc_messages() {
  std::string out = "# Messages\n\n" + std::string(generated) + "\n\n";
  for (const auto* m : all_messages()) {
    out += "## " + std::string(m->id) + "\n\n" + m->explain + "\n\n";
    if (*m->remedy) out += "What to do: " + std::string(m->remedy) + "\n\n";
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

} // namespace netlab::lua
