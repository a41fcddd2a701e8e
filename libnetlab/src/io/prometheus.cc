#include "netlab/prometheus.h"

#include <charconv>
#include <cmath>
#include <map>

namespace netlab {

namespace {

void append_name(std::string& out, std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    out += letter || (i > 0 && c >= '0' && c <= '9') ? c : '_';
  }
}

void append_labels(std::string& out, const metric_labels& labels) {
  if (labels.empty()) return;
  char before = '{';
  for (const auto& [name, value] : labels) {
    out += before;
    before = ',';
    append_name(out, name);
    out += "=\"";
    for (char c : value) {
      if (c == '\n') {
        out += "\\n";
        continue;
      }
      if (c == '\\' || c == '"') out += '\\';
      out += c;
    }
    out += '"';
  }
  out += '}';
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

} // namespace

std::string to_prometheus(const std::vector<metrics::sample>& counters,
                          const std::vector<reading>& readings) {
  std::map<std::string_view, std::string> lines;
  auto add = [&](std::string_view name, const metric_labels& labels, const std::string& value) {
    auto& out = lines[name];
    append_name(out, name);
    append_labels(out, labels);
    out += ' ' + value + '\n';
  };
  for (const auto& c : counters) add(c.name, c.labels, std::to_string(c.value));
  for (const auto& r : readings) add(r.name, r.labels, number(r.value));
  std::string out;
  for (const auto& [name, text] : lines) {
    out += "# TYPE ";
    append_name(out, name);
    out += name.ends_with("_total") ? " counter\n" : " gauge\n";
    out += text;
  }
  return out;
}

} // namespace netlab
