#include "shapes.h"

#include <algorithm>
#include <map>

#include "names.h"
#include "netlab/text.h"

namespace netlab::aws {

namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string singular(std::string word) {
  if (word.ends_with("ies")) return word.substr(0, word.size() - 3) + "y";
  if (word.ends_with("s")) word.pop_back();
  return word;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  for (char c : text) {
    if (c != ' ' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

std::pair<std::string, std::string> halves(const std::string& word) {
  auto at = word.find('=');
  if (at == std::string::npos) return {word, ""};
  return {word.substr(0, at), word.substr(at + 1)};
}

std::string dashes(std::string word) {
  std::replace(word.begin(), word.end(), '_', '-');
  return word;
}

} // namespace

std::string snake_case(std::string_view name) {
  std::string text(name), tail;
  // A plural of capitals at the end is one word: "TargetGroupARNs".
  if (text.size() > 2 && text.back() == 's') {
    auto from = text.size() - 1;
    while (from > 0 && is_upper(text[from - 1])) --from;
    if (text.size() - 1 - from >= 2) {
      tail = "_" + to_lower(text.substr(from));
      text.resize(from);
    }
  }
  // (.)([A-Z][a-z]+): no two matches overlap.
  std::string first;
  for (std::size_t i = 0; i < text.size();) {
    if (i + 2 < text.size() && is_upper(text[i + 1]) && is_lower(text[i + 2])) {
      first += text[i];
      first += '_';
      first += text[i + 1];
      i += 2;
      while (i < text.size() && is_lower(text[i])) first += text[i++];
    } else {
      first += text[i++];
    }
  }
  std::string out;
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (i > 0 && is_upper(first[i]) && (is_lower(first[i - 1]) || is_digit(first[i - 1]))) out += '_';
    out += first[i];
  }
  return to_lower(out) + tail;
}

std::string pascal_case(std::string_view snake) {
  std::string out;
  bool up = true;
  for (char c : snake) {
    if (c == '_') {
      up = true;
      continue;
    }
    out += up && is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c;
    up = false;
  }
  return out;
}

std::string service_shape::action_name(std::string_view snake) const {
  if (std::any_of(snake.begin(), snake.end(), is_upper)) return std::string(snake);
  auto it = actions_.find(std::string(snake));
  return it != actions_.end() ? it->second : pascal_case(snake);
}

const std::string* service_shape::find(const words& in, std::string_view action, std::string_view parent,
                                       std::string_view key) {
  std::string context(parent.empty() ? action : parent), plain(key);
  auto found = in.find(std::string(action) + "/" + context + "." + plain);
  if (found == in.end()) found = in.find(context + "." + plain);
  if (found == in.end()) found = in.find(plain);
  return found == in.end() ? nullptr : &found->second;
}

bool service_shape::is_map(std::string_view action, std::string_view parent, std::string_view key) const {
  if (!map_keys_.contains(std::string(key))) return false;
  const auto* found = find(maps_, action, snake_case(parent), key);
  return found && *found != "=";
}

bool service_shape::is_structure(std::string_view action, std::string_view parent,
                                 std::string_view key) const {
  const auto* found = find(structures_, action, parent, key);
  return found && *found != "=";
}

std::string service_shape::input_name(std::string_view action, std::string_view parent, std::string_view key,
                                      bool list) const {
  if (std::any_of(key.begin(), key.end(), is_upper)) return std::string(key);
  if (const auto* found = find(in_, action, parent, key); found && *found != "=") return *found;
  auto out = pascal_case(key);
  if (protocol == protocol::ec2 && list) return singular(out);
  bool lower = name == "freetier" || name == "sso" || name == "logs";
  if (lower && !out.empty() && is_upper(out[0])) out[0] = static_cast<char>(out[0] - 'A' + 'a');
  return out;
}

bool service_shape::flat_input(std::string_view key) const {
  auto found = in_.find(std::string(key));
  return found != in_.end() && key.ends_with("s") && !found->second.ends_with("s");
}

std::string service_shape::token_member(std::string_view action) const {
  auto found = tokens_.find(std::string(action));
  if (found == tokens_.end()) return {};
  return found->second.empty() ? "client_token" : snake_case(found->second);
}

service_shape::kind service_shape::output_kind(std::string_view parent, std::string_view wire) const {
  auto found = kinds_.find(std::string(parent) + "." + std::string(wire));
  if (found == kinds_.end()) found = kinds_.find(std::string(wire));
  if (found != kinds_.end()) return found->second;
  return protocol == protocol::ec2 && wire.ends_with("Set") ? kind::list : kind::text;
}

std::string service_shape::output_name(std::string_view parent, std::string_view wire) const {
  auto found = out_.find(std::string(parent) + "." + std::string(wire));
  if (found == out_.end()) found = out_.find(std::string(wire));
  if (found != out_.end()) return found->second;
  if (protocol == protocol::ec2 && wire.ends_with("Set") && wire.size() > 3) {
    std::string base(wire.substr(0, wire.size() - 3));
    if (base.ends_with("y"))
      base = base.substr(0, base.size() - 1) + "ies";
    else if (!base.ends_with("s"))
      base += "s";
    return snake_case(base);
  }
  return snake_case(wire);
}

const rest_route* service_shape::route(const std::string& action) const {
  auto it = routes_.find(action);
  return it == routes_.end() ? nullptr : &it->second;
}

namespace {
std::string look(const std::unordered_map<std::string, std::string>& in, const std::string& key) {
  auto it = in.find(key);
  return it == in.end() ? std::string() : it->second;
}
} // namespace

std::string service_shape::header_of(std::string_view action, std::string_view key) const {
  const auto* found = find(headers_, action, {}, key);
  return found && *found != "=" ? *found : std::string();
}
std::string service_shape::query_of(std::string_view action, std::string_view key) const {
  const auto* found = find(queries_, action, {}, key);
  return found && *found != "=" ? *found : std::string();
}
std::string service_shape::header_member(const std::string& n) const { return look(header_members_, n); }
std::string service_shape::entry_of(const std::string& wire) const { return look(entries_, wire); }
std::string service_shape::xml_list(std::string_view action, std::string_view parent,
                                    std::string_view key) const {
  const auto* found = find(items_, action, parent, key);
  return found ? *found : std::string();
}

// Reads one entry of names.cc.
class shape_reader {
public:
  explicit shape_reader(const service_names& from) {
    out_.name = from.name;
    for (auto& word : words_of(from.text)) {
      if (word.starts_with("@"))
        section_ = word.substr(1);
      else
        take(word);
    }
    if (out_.signing.empty()) out_.signing = out_.endpoint;
  }
  service_shape result() { return std::move(out_); }

private:
  void take(const std::string& word) {
    using kind = service_shape::kind;
    static const std::map<std::string, kind> kinds = {{"booleans", kind::boolean},
                                                      {"numbers", kind::number},
                                                      {"lists", kind::list},
                                                      {"flat", kind::flat_list},
                                                      {"texts", kind::text}};
    auto [key, value] = halves(word);
    if (auto it = kinds.find(section_); it != kinds.end()) {
      // The action's name stands for the top level, where the wire has none.
      out_.kinds_[key] = it->second;
    } else if (section_ == "protocol") {
      static const std::map<std::string, aws::protocol> protocols = {{"ec2", protocol::ec2},
                                                                     {"query", protocol::query},
                                                                     {"rest-json", protocol::rest_json},
                                                                     {"rest-xml", protocol::rest_xml}};
      auto found = protocols.find(word);
      out_.protocol = found == protocols.end() ? protocol::json : found->second;
      if (word.starts_with("json-")) out_.json_version = word.substr(5);
    } else if (section_ == "version") {
      out_.version = word;
    } else if (section_ == "endpoint") {
      out_.endpoint = word;
    } else if (section_ == "signing") {
      out_.signing = word;
    } else if (section_ == "target") {
      out_.target = word;
    } else if (section_ == "actions") {
      out_.actions_[key] = value;
    } else if (section_ == "in") {
      out_.in_[key] = value;
    } else if (section_ == "out") {
      out_.out_[key] = value;
    } else if (section_ == "tokens") {
      out_.tokens_[key] = value;
    } else if (section_ == "maps") {
      out_.maps_[key] = value;
      if (value.empty()) out_.map_keys_.insert(key.substr(key.rfind('.') + 1));
    } else if (section_ == "structures") {
      out_.structures_[key] = value;
    } else if (section_ == "headers") {
      auto name = value.empty() ? "x-amz-" + dashes(key) : value;
      out_.headers_[key] = name;
      if (key.find('.') == std::string::npos) out_.header_members_[name] = key;
    } else if (section_ == "queries") {
      out_.queries_[key] = value.empty() ? dashes(key.substr(key.rfind('.') + 1)) : value;
    } else if (section_ == "items") {
      out_.items_[key] = value;
    } else if (section_ == "entries") {
      out_.entries_[key] = value;
    } else if (section_ == "http") {
      read_route(word);
    }
  }

  void read_route(const std::string& word) {
    auto parts = split(word, '|');
    if (parts.size() < 3) return;
    rest_route r;
    r.method = parts[1];
    r.uri = parts[2];
    if (!r.uri.starts_with("/")) r.uri = "/" + r.uri;
    for (std::size_t i = 3; i < parts.size(); ++i) {
      std::string part(parts[i]);
      if (part.starts_with("raw>") || part.starts_with("in>")) {
        r.raw_output = part.starts_with("raw>");
        r.output = part.substr(part.find('>') + 1);
      } else {
        auto colon = part.find(':');
        r.payload = part.substr(0, colon);
        r.root = part.substr(colon + 1);
      }
    }
    out_.routes_[std::string(parts[0])] = std::move(r);
  }

  service_shape out_;
  std::string section_;
};

namespace {
const std::map<std::string, service_shape, std::less<>>& all_services() {
  static const auto all = [] {
    std::map<std::string, service_shape, std::less<>> out;
    for (const auto& entry : all_names()) out.emplace(entry.name, shape_reader(entry).result());
    return out;
  }();
  return all;
}
} // namespace

const service_shape* find_service(std::string_view name) {
  auto it = all_services().find(name);
  return it == all_services().end() ? nullptr : &it->second;
}

std::string known_services() {
  std::string out;
  for (const auto& entry : all_names()) out += (out.empty() ? "" : ", ") + std::string(entry.name);
  return out;
}

} // namespace netlab::aws
