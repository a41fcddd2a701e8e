#include <cstdlib>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "netlab/text.h"
#include "wire.h"

namespace netlab::aws {

namespace {

std::string_view local_name(const pugi::xml_node& n) {
  std::string_view name = n.name();
  auto colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

bool has_elements(const pugi::xml_node& n) {
  for (const auto& child : n.children())
    if (child.type() == pugi::node_element) return true;
  return false;
}

// Answers nest a dozen levels at most; what nests deeper is hostile.
constexpr int deepest = 60;

class xml_reader {
public:
  explicit xml_reader(const service_shape& s) : s_(s) {}
  bool too_deep = false;

  json structure(const pugi::xml_node& node, std::string_view parent, int depth) {
    json out = json::object();
    if (depth > deepest) {
      too_deep = true;
      return out;
    }
    for (const auto& child : node.children()) {
      if (child.type() != pugi::node_element) continue;
      auto wire = local_name(child);
      auto kind = s_.output_kind(parent, wire);
      auto name = s_.output_name(parent, wire);
      if (kind == service_shape::kind::flat_list) {
        if (!out.contains(name)) out[name] = json::array();
        out[name].push_back(value(child, wire, service_shape::kind::text, depth + 1));
      } else if (depth == 0 ? s_.is_map(parent, {}, name) : s_.is_map({}, parent, name)) {
        out[name] = map(child, depth + 1);
      } else {
        out[name] = value(child, wire, kind, depth + 1);
      }
    }
    return out;
  }

private:
  bool items_only(const pugi::xml_node& node, std::string_view wire) const {
    if (s_.protocol == protocol::rest_xml) return false;
    auto own = s_.entry_of(std::string(wire));
    return entries_only(node, s_.protocol == protocol::ec2 ? "item" : "member") ||
           (!own.empty() && entries_only(node, own));
  }

  static bool entries_only(const pugi::xml_node& node, std::string_view item) {
    bool any = false;
    for (const auto& child : node.children()) {
      if (child.type() != pugi::node_element) continue;
      if (local_name(child) != item) return false;
      any = true;
    }
    return any;
  }

  json value(const pugi::xml_node& node, std::string_view wire, service_shape::kind kind, int depth) {
    bool elements = has_elements(node);
    if (kind == service_shape::kind::list || items_only(node, wire)) {
      json out = json::array();
      // A list that a name's most common use promises may be a structure here.
      if (elements && s_.protocol != protocol::rest_xml && !items_only(node, wire))
        return structure(node, wire, depth + 1);
      for (const auto& child : node.children())
        if (child.type() == pugi::node_element)
          out.push_back(value(child, wire, entry_kind(wire, local_name(child)), depth + 1));
      return out;
    }
    if (elements) return structure(node, wire, depth + 1);
    std::string text = node.text().get();
    if (kind == service_shape::kind::boolean && (text == "true" || text == "false")) return text == "true";
    if (kind == service_shape::kind::number && !text.empty()) {
      char* end = nullptr;
      double n = std::strtod(text.c_str(), &end);
      if (end && !*end) {
        auto whole = static_cast<long long>(n);
        if (text.find_first_of(".eE") == std::string::npos && std::to_string(whole) == text) return whole;
        return n;
      }
    }
    return text;
  }

  // Numbers are told of lists of numbers; whatever else an entry is, its elements show.
  service_shape::kind entry_kind(std::string_view wire, std::string_view entry) const {
    auto known = s_.output_kind(wire, entry);
    return known == service_shape::kind::number ? known : service_shape::kind::text;
  }

  json map(const pugi::xml_node& node, int depth) {
    json out = json::object();
    for (const auto& entry : node.children("entry")) {
      auto key = entry.child("key"), item = entry.child("value");
      out[key.text().get()] = value(item, "value", service_shape::kind::text, depth + 1);
    }
    return out;
  }

  const service_shape& s_;
};

tl::unexpected<error> broken(const service_shape& s, const std::string& why) {
  return fail(errc::protocol, s.name + " answered with " + why, "aws");
}

result<pugi::xml_node> parse(const service_shape& s, const std::string& body, pugi::xml_document& document) {
  auto parsed =
      document.load_buffer(body.data(), body.size(), pugi::parse_default | pugi::parse_ws_pcdata_single);
  if (!parsed)
    return broken(s, std::string("what is no XML: ") + parsed.description() + " at byte " +
                         std::to_string(parsed.offset));
  auto root = document.document_element();
  if (!root) return broken(s, "an empty document");
  return root;
}

json snake_members(const service_shape& s, const std::string& action, const json& v,
                   const std::string& parent);

// A map or a list of maps: the keys are data.
json snake_map(const service_shape& s, const std::string& action, const json& v, const std::string& parent) {
  if (!v.is_structured()) return v;
  json out = v.is_array() ? json::array() : json::object();
  if (v.is_array())
    for (const auto& item : v) out.push_back(snake_map(s, action, item, parent));
  else
    for (const auto& [key, item] : v.items()) out[key] = snake_members(s, action, item, parent);
  return out;
}

json snake_members(const service_shape& s, const std::string& action, const json& v,
                   const std::string& parent) {
  if (v.is_array()) {
    json out = json::array();
    for (const auto& item : v) out.push_back(snake_members(s, action, item, parent));
    return out;
  }
  if (!v.is_object()) return v;
  json out = json::object();
  for (const auto& [key, value] : v.items()) {
    auto name = snake_case(key);
    out[name] = s.is_map(action, parent, name) ? snake_map(s, action, value, name)
                                               : snake_members(s, action, value, name);
  }
  return out;
}

void add_headers(const service_shape& s, const http_response& r, json& out) {
  for (const auto& [name, value] : r.headers) {
    if (name.starts_with("x-amz-meta-")) {
      out["metadata"][name.substr(11)] = value;
      continue;
    }
    auto member = s.header_member(name);
    if (!member.empty() && !out.contains(member)) out[member] = value;
  }
}

result<json> decode_rest_xml(const service_shape& s, const std::string& action, const http_response& r) {
  const auto* route = s.route(action);
  json out = json::object();
  if (route && route->raw_output) {
    out[route->output] = r.body;
  } else if (!trim(r.body).empty()) {
    pugi::xml_document document;
    auto root = parse(s, r.body, document);
    if (!root) return tl::unexpected(root.error());
    xml_reader reader(s);
    if (has_elements(*root)) {
      auto inner = reader.structure(*root, action, 0);
      if (reader.too_deep) return broken(s, "elements nested deeper than any answer's");
      if (route && !route->output.empty())
        out[route->output] = std::move(inner);
      else
        out = std::move(inner);
    } else {
      out[snake_case(local_name(*root))] = std::string(root->text().get());
    }
  }
  add_headers(s, r, out);
  return out;
}

} // namespace

result<json> decode(const service_shape& s, const std::string& action, const http_response& r) {
  if (s.protocol == protocol::rest_xml) return decode_rest_xml(s, action, r);
  if (s.protocol == protocol::json || s.protocol == protocol::rest_json) {
    if (trim(r.body).empty()) return json::object();
    auto parsed = parse_json(r.body);
    if (!parsed) return broken(s, "what is no JSON: " + parsed.error().message);
    if (!parsed->is_object()) return broken(s, "JSON that is no object");
    return snake_members(s, action, *parsed, "");
  }
  pugi::xml_document document;
  auto root = parse(s, r.body, document);
  if (!root) return tl::unexpected(root.error());
  auto body = *root;
  if (s.protocol == protocol::query) {
    auto result_name = action + "Result";
    body = root->child(result_name.c_str());
    if (!body) return json::object(); // actions without a result answer with metadata alone
  }
  xml_reader reader(s);
  auto out = reader.structure(body, action, 0);
  if (reader.too_deep) return broken(s, "elements nested deeper than any answer's");
  if (s.protocol == protocol::ec2) out.erase("request_id");
  return out;
}

wire_error decode_error(const service_shape& s, const http_response& r) {
  wire_error out;
  for (const char* name : {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2"})
    if (out.request_id.empty()) out.request_id = std::string(r.header(name));
  if (s.protocol == protocol::json || s.protocol == protocol::rest_json) {
    auto parsed = parse_json(r.body);
    std::string type(r.header("x-amzn-errortype"));
    if (parsed && parsed->is_object()) {
      for (const char* key : {"message", "Message", "errorMessage"})
        if (auto it = parsed->find(key); out.message.empty() && it != parsed->end() && it->is_string())
          out.message = it->get<std::string>();
      for (const char* key : {"__type", "code", "Code"})
        if (auto it = parsed->find(key); type.empty() && it != parsed->end() && it->is_string())
          type = it->get<std::string>();
    }
    // "namespace#Name:http://…"
    type = type.substr(0, type.find(':'));
    if (auto hash = type.rfind('#'); hash != std::string::npos) type = type.substr(hash + 1);
    out.code = type;
  } else {
    pugi::xml_document document;
    if (auto root = parse(s, r.body, document)) {
      pugi::xml_node found = *root;
      if (local_name(found) != "Error") {
        found = root->child("Errors").child("Error");
        if (!found) found = root->child("Error");
      }
      out.code = trim(found.child("Code").text().get());
      out.message = trim(found.child("Message").text().get());
      for (const char* key : {"RequestID", "RequestId"})
        if (auto id = root->child(key); id) out.request_id = trim(id.text().get());
    }
  }
  constexpr std::string_view mark = "Encoded authorization failure message: ";
  if (auto at = out.message.find(mark); at != std::string::npos) {
    out.encoded = out.message.substr(at + mark.size());
    out.message = std::string(trim(out.message.substr(0, at)));
  }
  if (out.code.empty()) out.code = r.status == 404 ? "NotFound" : "HTTP" + std::to_string(r.status);
  out.code = printable(out.code.substr(0, 100));
  out.message = printable(out.message.substr(0, 2000));
  return out;
}

} // namespace netlab::aws
