#include "host/graph.h"

#include <nlohmann/json.hpp>

namespace netlab::lua {

json object::status() const { return json::object(); }

result<void> graph::add(const object_ptr& o, std::string kind, position at, std::string name, json options) {
  o->kind_ = std::move(kind);
  o->where_ = std::move(at);
  o->options_dump_ = std::move(options);
  if (!name.empty()) {
    if (auto other = find(o->kind_, name))
      return fail(errc::conflict, "the name \"" + name + "\" is taken at " + other->where().to_string(),
                  "name");
    o->name_ = std::move(name);
  } else {
    auto base = o->default_name();
    o->name_ = base;
    for (int n = 2; find(o->kind_, o->name_); ++n) o->name_ = base + "-" + std::to_string(n);
  }
  objects_.push_back(o);
  return {};
}

std::vector<std::shared_ptr<service>> graph::services() const {
  std::vector<std::shared_ptr<service>> out;
  for (const auto& o : objects_)
    if (auto s = std::dynamic_pointer_cast<service>(o)) out.push_back(std::move(s));
  return out;
}

object_ptr graph::find(std::string_view kind, std::string_view name) const {
  for (const auto& o : objects_)
    if (o->kind() == kind && o->name() == name) return o;
  return nullptr;
}

std::vector<std::pair<position, std::string>> graph::endpoint_conflicts() const {
  struct claim {
    claimed_endpoint what;
    const service* owner;
  };
  auto overlap = [](const claimed_endpoint& a, const claimed_endpoint& b) {
    if (a.protocol != b.protocol || a.local.port != b.local.port || a.local.port == 0) return false;
    return a.local.address == b.local.address || a.local.address.is_unspecified() ||
           b.local.address.is_unspecified();
  };
  std::vector<std::pair<position, std::string>> out;
  std::vector<claim> claims;
  for (const auto& s : services()) {
    for (const auto& wanted : s->endpoints()) {
      for (const auto& held : claims) {
        if (!overlap(wanted, held.what)) continue;
        out.emplace_back(s->where(), s->kind() + ": " + wanted.protocol + " " + wanted.local.to_string() +
                                         " belongs to " + held.owner->kind() + " \"" + held.owner->name() +
                                         "\" (" + held.owner->where().to_string() + ")");
        break;
      }
      claims.push_back({wanted, s.get()});
    }
  }
  return out;
}

json graph::dump() const {
  json out = json::array();
  for (const auto& o : objects_) {
    json entry = {
        {"kind", o->kind()}, {"name", o->name()}, {"file", o->where().file}, {"line", o->where().line}};
    entry["options"] = o->options_dump_;
    if (auto s = std::dynamic_pointer_cast<service>(o)) {
      json endpoints = json::array();
      for (const auto& e : s->endpoints()) endpoints.push_back(e.protocol + " " + e.local.to_string());
      entry["endpoints"] = std::move(endpoints);
    }
    out.push_back(std::move(entry));
  }
  return out;
}

} // namespace netlab::lua
