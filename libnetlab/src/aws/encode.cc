#include <cmath>
#include <nlohmann/json.hpp>

#include "netlab/aws_signature.h"
#include "netlab/encoding.h"
#include "netlab/text.h"
#include "wire.h"

namespace netlab::aws {

namespace {

tl::unexpected<error> wrong(const std::string& path, const std::string& why) {
  return fail(errc::invalid, path + ": " + why, path);
}

result<std::string> scalar(const json& v, const std::string& path) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_boolean()) return std::string(v.get<bool>() ? "true" : "false");
  if (v.is_number_integer()) return v.dump();
  if (v.is_number()) {
    double n = v.get<double>();
    if (n == std::floor(n) && std::abs(n) < 9.0e15) return std::to_string(static_cast<long long>(n));
    return v.dump();
  }
  return wrong(path, "a text, a number or a boolean belongs here");
}

json as_list(const json& v) { return v.is_array() ? v : json::array({v}); }

// { ["tag:x"] = "y" } → [{ name = "tag:x", values = ["y"] }], and the like of tags.
json expand(const service_shape& s, const std::string& action, const std::string& parent,
            const std::string& key, const json& value) {
  bool filters = key == "filters" && (s.protocol == protocol::ec2 || s.name == "autoscaling");
  bool matches = key == "filters" && s.name == "pricing";
  bool tags = key == "tags" && !s.is_map(action, parent, key) && !s.is_structure(action, parent, key);
  if (!value.is_object() || !(filters || matches || tags)) return value;
  json out = json::array();
  for (const auto& [name, item] : value.items()) {
    if (filters)
      out.push_back({{"name", name}, {"values", as_list(item)}});
    else if (matches)
      out.push_back({{"type", "TERM_MATCH"}, {"field", name}, {"value", item}});
    else
      out.push_back({{"key", name}, {"value", item}});
  }
  return out;
}

class form_writer {
public:
  form_writer(const service_shape& s, const std::string& action) : s_(s), action_(action) {}
  std::string body;

  void add(const std::string& name, const std::string& value) {
    body += (body.empty() ? "" : "&") + url_encode(name) + "=" + url_encode(value);
  }

  // RFC-less, by AWS: lists are Name.1, Name.2 in EC2 and Name.member.1 elsewhere; structures Name.Member.
  result<void> members(const json& input, const std::string& prefix, const std::string& parent) {
    for (const auto& [key, given] : input.items()) {
      if (given.is_null()) continue;
      auto value = expand(s_, action_, parent, key, given);
      auto name = prefix + s_.input_name(action_, parent, key, value.is_array());
      auto ok = one(value, name, key);
      if (!ok) return ok;
    }
    return {};
  }

private:
  result<void> one(const json& value, const std::string& name, const std::string& key) {
    if (value.is_object()) return members(value, name + ".", key);
    if (value.is_array()) {
      auto each = s_.protocol == protocol::query && !s_.flat_input(key) ? name + ".member." : name + ".";
      int index = 0;
      for (const auto& item : value) {
        auto ok = one(item, each + std::to_string(++index), key);
        if (!ok) return ok;
      }
      return {};
    }
    if (value.is_null()) return {};
    auto text = scalar(value, key);
    if (!text) return tl::unexpected(text.error());
    add(name, *text);
    return {};
  }

  const service_shape& s_;
  const std::string& action_;
};

json json_members(const service_shape& s, const std::string& action, const json& v,
                  const std::string& parent);

// A map or a list of maps: the keys are the caller's.
json json_map(const service_shape& s, const std::string& action, const json& v, const std::string& parent) {
  if (!v.is_structured()) return json_members(s, action, v, parent);
  json out = v.is_array() ? json::array() : json::object();
  if (v.is_array())
    for (const auto& item : v) out.push_back(json_map(s, action, item, parent));
  else
    for (const auto& [name, item] : v.items()) out[name] = json_members(s, action, item, parent);
  return out;
}

json json_members(const service_shape& s, const std::string& action, const json& v,
                  const std::string& parent) {
  if (v.is_array()) {
    json out = json::array();
    for (const auto& item : v) out.push_back(json_members(s, action, item, parent));
    return out;
  }
  if (!v.is_object()) {
    // Lua has one kind of number; a whole one is written as such.
    if (v.is_number_float()) {
      double n = v.get<double>();
      if (n == std::floor(n) && std::abs(n) < 9.0e15) return static_cast<long long>(n);
    }
    return v;
  }
  json out = json::object();
  for (const auto& [key, given] : v.items()) {
    auto value = expand(s, action, parent, key, given);
    out[s.input_name(action, parent, key, value.is_array())] =
        s.is_map(action, parent, key) ? json_map(s, action, value, key) : json_members(s, action, value, key);
  }
  return out;
}

std::string xml_text(std::string_view text) {
  std::string out;
  for (char c : escape_markup(text)) // a reader would take the carriage return for a line's end
    if (c == '\r')
      out += "&#xD;";
    else
      out += c;
  return out;
}

result<std::string> xml_members(const service_shape& s, const std::string& action, const json& v,
                                const std::string& parent) {
  std::string out;
  for (const auto& [key, given] : v.items()) {
    if (given.is_null()) continue;
    auto value = expand(s, action, parent, key, given);
    auto name = s.input_name(action, parent, key, value.is_array());
    auto inner = [&, key = key](const json& item) -> result<std::string> {
      if (item.is_object()) return xml_members(s, action, item, key);
      auto text = scalar(item, key);
      if (!text) return text;
      return xml_text(*text);
    };
    std::string open, close, each = name;
    if (value.is_array()) {
      auto shape = s.xml_list(action, parent, key);
      if (auto arrow = shape.find('>'); arrow != std::string::npos) {
        open = "<" + shape.substr(0, arrow) + ">";
        close = "</" + shape.substr(0, arrow) + ">";
        each = shape.substr(arrow + 1);
      } else if (shape.ends_with("*")) {
        each = shape.substr(0, shape.size() - 1);
      }
    }
    out += open;
    for (const auto& item : as_list(value)) {
      auto text = inner(item);
      if (!text) return text;
      out += "<" + each + ">" + *text + "</" + each + ">";
    }
    out += close;
  }
  return out;
}

// The members that go into the address, the query and the headers; what is left is the body's.
result<json> place_members(const service_shape& s, const std::string& action, const rest_route& route,
                           const json& input, wire_request& out) {
  json left = json::object();
  auto uri = route.uri;
  std::string fixed;
  if (auto mark = uri.find('?'); mark != std::string::npos) {
    fixed = uri.substr(mark + 1);
    uri.resize(mark);
  }
  for (const auto& [key, value] : input.items()) {
    if (value.is_null()) continue;
    auto name = s.input_name(action, "", key, false);
    if (s.name == "s3" && key == "bucket") {
      auto text = scalar(value, key);
      if (!text) return tl::unexpected(text.error());
      out.bucket = *text;
      continue;
    }
    bool placed = false;
    for (bool greedy : {true, false}) {
      auto hole = "{" + name + (greedy ? "+}" : "}");
      auto at = uri.find(hole);
      if (at == std::string::npos) continue;
      auto text = scalar(value, key);
      if (!text) return tl::unexpected(text.error());
      if (text->empty()) return wrong(key, "must not be empty");
      uri.replace(at, hole.size(), url_encode(*text, greedy));
      placed = true;
    }
    if (placed) continue;
    auto header = s.header_of(action, key), query = s.query_of(action, key);
    if (key == route.payload) {
      left[key] = value;
    } else if (key == "metadata" && s.name == "s3" && value.is_object()) {
      for (const auto& [k, v] : value.items()) {
        auto text = scalar(v, k);
        if (!text) return tl::unexpected(text.error());
        out.headers.emplace_back("x-amz-meta-" + to_lower(k), *text);
      }
    } else if (!query.empty()) {
      for (const auto& item : as_list(value)) {
        auto text = scalar(item, key);
        if (!text) return tl::unexpected(text.error());
        out.query.emplace_back(query, *text);
      }
    } else if (!header.empty()) {
      std::string line;
      for (const auto& item : as_list(value)) {
        auto text = scalar(item, key);
        if (!text) return tl::unexpected(text.error());
        line += (line.empty() ? "" : ",") + *text;
      }
      out.headers.emplace_back(header, line);
    } else {
      left[key] = value;
    }
  }
  if (auto hole = uri.find('{'); hole != std::string::npos)
    return wrong(snake_case(uri.substr(hole + 1, uri.find_first_of("+}", hole) - hole - 1)), "is missing");
  for (auto part : split(fixed, '&')) {
    if (part.empty()) continue;
    auto equals = part.find('=');
    out.query.emplace_back(std::string(part.substr(0, equals)),
                           equals == std::string_view::npos ? "" : std::string(part.substr(equals + 1)));
  }
  out.path = uri;
  return left;
}

result<wire_request> encode_rest(const service_shape& s, const std::string& action, const json& input) {
  const auto* route = s.route(action);
  if (!route)
    return fail(errc::invalid, s.name + " has no action " + printable(action) + " that netlab knows", "aws");
  wire_request out;
  out.method = route->method;
  auto left = place_members(s, action, *route, input, out);
  if (!left) return tl::unexpected(left.error());
  if (s.protocol == protocol::rest_json) {
    if (!left->empty() || out.method == "POST" || out.method == "PUT") {
      out.body = json_members(s, action, *left, "").dump();
      out.headers.emplace_back("content-type", "application/json");
    }
    return out;
  }
  if (s.name == "s3" && out.bucket.empty() && action != "ListBuckets") return wrong("bucket", "is missing");
  json body = *left;
  if (!route->payload.empty()) {
    auto given = left->find(route->payload);
    if (given == left->end()) return out;
    if (route->root == "raw") {
      if (!given->is_string()) return wrong(route->payload, "must be text");
      out.body = given->get<std::string>();
      return out;
    }
    body = *given;
  }
  if (route->root.empty()) {
    for (const auto& [key, value] : left->items()) return wrong(key, action + " takes no such member");
    return out;
  }
  auto inner = xml_members(s, action, body, route->payload);
  if (!inner) return tl::unexpected(inner.error());
  out.body = "<" + route->root + " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" + *inner + "</" +
             route->root + ">";
  out.headers.emplace_back("content-type", "application/xml");
  // Some actions insist on a checksum of what they are told.
  out.headers.emplace_back("x-amz-checksum-sha256",
                           base64(as_text(byte_view(sha256_of(as_bytes(out.body))))));
  return out;
}

} // namespace

result<wire_request> encode(const service_shape& s, const std::string& action, const json& input) {
  if (!input.is_object() && !input.is_null())
    return fail(errc::invalid, s.name + "." + snake_case(action) + ": the input is a table of members",
                "aws");
  json given = input.is_null() ? json::object() : input;
  if (s.protocol == protocol::rest_json || s.protocol == protocol::rest_xml)
    return encode_rest(s, action, given);
  wire_request out;
  if (s.protocol == protocol::json) {
    out.headers.emplace_back("content-type", "application/x-amz-json-" + s.json_version);
    out.headers.emplace_back("x-amz-target", s.target + "." + action);
    out.body = json_members(s, action, given, "").dump(-1, ' ', false, json::error_handler_t::replace);
    return out;
  }
  out.headers.emplace_back("content-type", "application/x-www-form-urlencoded; charset=utf-8");
  form_writer form(s, action);
  form.add("Action", action);
  form.add("Version", s.version);
  auto ok = form.members(given, "", "");
  if (!ok) return tl::unexpected(ok.error());
  out.body = std::move(form.body);
  return out;
}

} // namespace netlab::aws
