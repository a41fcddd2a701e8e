#include <cmath>
#include <nlohmann/json.hpp>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "host/api.h"
#include "host/bindings.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr std::size_t size_limit = 8u << 20;
constexpr std::size_t node_limit = 500000;
constexpr int depth_limit = 64;

struct refused {
  error why;
};

// Builds values from the parser's events rather than from its node tree: an alias is refused where it
// would be expanded, so that a "billion laughs" file costs nothing.
class builder final : public YAML::EventHandler {
public:
  std::vector<json> documents;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, anchor, nullptr); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark, "an alias inside its own anchor");
    charge(mark, found->second.second);
    add(mark, json(found->second.first));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    leaf(mark, anchor, tag == "!" ? json(text) : scalar(text));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, json::array(), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, json::object(), anchor);
  }
  void OnMapEnd() override { close(); }

private:
  struct level {
    json value;
    YAML::anchor_t anchor;
    std::size_t nodes_before;
    bool has_key = false;
    std::string key;
    YAML::Mark mark;
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, const std::string& why, errc code = errc::invalid) {
    throw refused{
        {code,
         "line " + std::to_string(mark.line + 1) + ", column " + std::to_string(mark.column + 1) + ": " + why,
         "yaml.decode"}};
  }
  void charge(const YAML::Mark& mark, std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > node_limit)
      refuse(mark, "more than " + std::to_string(node_limit) + " values, aliases expanded", errc::limit);
  }
  // The core schema of YAML 1.2: words other than these are strings.
  static json scalar(const std::string& text) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    bool digits = text.find_first_not_of("+-0123456789.eE") == std::string::npos &&
                  text.find_first_of("0123456789") != std::string::npos;
    bool hex = text.size() > 2 && text.starts_with("0x") &&
               text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos;
    if (!digits && !hex) return text;
    char* end = nullptr;
    double n = std::strtod(text.c_str(), &end);
    if (*end != '\0' || !std::isfinite(n)) return text;
    if (n == std::floor(n) && std::abs(n) < 9007199254740992.0) return static_cast<std::int64_t>(n);
    return n;
  }
  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, json value) {
    charge(mark, 1);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {value, 1};
    add(mark, std::move(value));
  }
  void open(const YAML::Mark& mark, json value, YAML::anchor_t anchor) {
    charge(mark, 1);
    if (stack_.size() >= static_cast<std::size_t>(depth_limit))
      refuse(mark, "nested deeper than " + std::to_string(depth_limit) + " levels", errc::limit);
    if (!stack_.empty() && stack_.back().value.is_object() && !stack_.back().has_key)
      refuse(mark, "a key must be plain text");
    stack_.push_back({std::move(value), anchor, nodes_ - 1, false, "", mark});
  }
  void close() {
    auto done = std::move(stack_.back());
    stack_.pop_back();
    if (done.anchor != YAML::NullAnchor) anchors_[done.anchor] = {done.value, nodes_ - done.nodes_before};
    add(done.mark, std::move(done.value));
  }
  void add(const YAML::Mark& mark, json value) {
    if (stack_.empty()) {
      documents.push_back(std::move(value));
      return;
    }
    auto& top = stack_.back();
    if (top.value.is_array()) {
      top.value.push_back(std::move(value));
    } else if (!top.has_key) {
      if (value.is_structured()) refuse(mark, "a key must be plain text");
      top.key = value.is_string() ? value.get<std::string>() : value.dump();
      if (top.key == "<<") refuse(mark, "merge keys are not supported", errc::unsupported);
      if (top.value.contains(top.key)) refuse(mark, "the key \"" + printable(top.key) + "\" is there twice");
      top.has_key = true;
    } else {
      top.value[top.key] = std::move(value);
      top.has_key = false;
    }
  }

  std::vector<level> stack_;
  std::map<YAML::anchor_t, std::pair<json, std::size_t>> anchors_;
  std::size_t nodes_ = 0;
};

result<std::vector<json>> parse_yaml(const std::string& text) {
  if (text.size() > size_limit) return fail(errc::limit, "YAML of more than 8 MiB", "yaml.decode");
  // The parser recurses: brackets are counted first, so that it cannot run out of stack.
  int flow = 0;
  for (char c : text) {
    if (c == '[' || c == '{') ++flow;
    if (c == ']' || c == '}') flow = std::max(0, flow - 1);
    if (flow > 1000) return fail(errc::limit, "more than 1000 open brackets", "yaml.decode");
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    builder out;
    while (parser.HandleNextDocument(out)) {
    }
    return std::move(out.documents);
  } catch (const refused& r) {
    return tl::unexpected(r.why);
  } catch (const YAML::Exception& e) {
    return fail(errc::invalid,
                "line " + std::to_string(e.mark.line + 1) + ", column " + std::to_string(e.mark.column + 1) +
                    ": " + e.msg,
                "yaml.decode");
  }
}

int decode_yaml(call& c) {
  auto got = parse_yaml(c.text(1, "the text"));
  if (!got) return c.fail(got.error());
  if (got->empty()) return c.give(json(nullptr));
  if (got->size() > 1)
    return c.fail({errc::invalid,
                   "there are " + std::to_string(got->size()) + " documents: use yaml.decode_all",
                   "yaml.decode"});
  return c.give((*got)[0]);
}

int decode_all(call& c) {
  auto got = parse_yaml(c.text(1, "the text"));
  if (!got) return c.fail(got.error());
  json out = json::array();
  for (auto& document : *got) out.push_back(std::move(document));
  return c.give(out);
}

void emit(YAML::Emitter& out, const json& value) {
  switch (value.type()) {
  case json::value_t::object:
    if (value.empty()) {
      out << YAML::Flow << YAML::BeginMap << YAML::EndMap;
      return;
    }
    out << YAML::BeginMap;
    for (const auto& [key, item] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      emit(out, item);
    }
    out << YAML::EndMap;
    return;
  case json::value_t::array:
    if (value.empty()) {
      out << YAML::Flow << YAML::BeginSeq << YAML::EndSeq;
      return;
    }
    out << YAML::BeginSeq;
    for (const auto& item : value) emit(out, item);
    out << YAML::EndSeq;
    return;
  case json::value_t::string: {
    const auto& text = value.get_ref<const std::string&>();
    // What a reader (of YAML 1.1 as well) would take for something else than text is quoted.
    bool plain_word = !text.empty() && ((text[0] >= 'a' && text[0] <= 'z') ||
                                        (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '/');
    auto lower = to_lower(text);
    for (auto* word : {"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
      if (lower == word) plain_word = false;
    if (text.find('\n') != std::string::npos && text.find_first_of("\r\t") == std::string::npos &&
        text[0] != ' ' && text[0] != '\n')
      out << YAML::Literal << text;
    else if (plain_word)
      out << text;
    else
      out << YAML::DoubleQuoted << text;
    return;
  }
  case json::value_t::boolean: out << value.get<bool>(); return;
  case json::value_t::number_integer:
  case json::value_t::number_unsigned: out << value.get<std::int64_t>(); return;
  case json::value_t::number_float: out << value.dump(); return;
  default: out << YAML::Null; return;
  }
}

int encode_yaml(call& c) {
  if (c.count() < 1) c.refuse("the value is missing");
  auto data = to_json(c.L, 1);
  if (!data) c.refuse(data.error().message);
  YAML::Emitter out;
  out.SetIndent(2);
  emit(out, *data);
  if (!out.good()) c.refuse(out.GetLastError());
  return c.give(std::string(out.c_str()) + "\n");
}

} // namespace

void bind_yaml(api& a) {
  described text{"text", "string", ""};
  described err{"err?", "netlab.error", "says line and column"};
  a.function({"yaml.decode",
              decode_yaml,
              "The value of a YAML document (core schema). Anchors are expanded within bounds; a key that is "
              "there twice "
              "is an error.",
              {text},
              {{"value", "any", "nil on failure"}, err},
              false,
              {}});
  a.function({"yaml.decode_all",
              decode_all,
              "A list of the values of all documents in a YAML text.",
              {text},
              {{"values", "any[]?", ""}, err},
              false,
              {}});
  a.function({"yaml.encode",
              encode_yaml,
              "YAML text of plain data, keys sorted.",
              {{"value", "any", ""}},
              {{"text", "string", ""}},
              false,
              {}});
}

} // namespace netlab::lua
