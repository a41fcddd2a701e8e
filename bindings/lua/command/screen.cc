#include "screen.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace netlab::lua::command {

namespace {

// Characters on the terminal, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

} // namespace

void print_table(std::FILE* out, const global_options& global, const std::string& title, const table& rows) {
  if (rows.size() < 2) return;
  // A column that no row fills only takes room.
  std::vector<std::size_t> widths(rows[0].size());
  for (auto row = rows.begin() + 1; row != rows.end(); ++row)
    for (std::size_t i = 0; i < row->size(); ++i) widths[i] = std::max(widths[i], width_of((*row)[i]));
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i] > 0) widths[i] = std::max(widths[i], width_of(rows[0][i]));
  std::fprintf(out, "%s\n", paint(global, "1", title).c_str());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = " ";
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      if (widths[i] == 0) continue;
      auto cell = rows[r][i];
      line += " " + cell + std::string(widths[i] - width_of(cell) + 1, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::fprintf(out, "%s\n", r == 0 ? paint(global, "2", line).c_str() : line.c_str());
  }
  std::fprintf(out, "\n");
}

std::string in_words(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string out;
    for (const auto& item : value) out += (out.empty() ? "" : ", ") + in_words(item);
    return out;
  }
  if (value.is_object()) {
    std::string out;
    for (const auto& [key, item] : value.items()) {
      auto shown = in_words(item);
      auto word = key;
      std::replace(word.begin(), word.end(), '_', ' ');
      if (!shown.empty()) out += (out.empty() ? "" : ", ") + word + " " + shown;
    }
    return out;
  }
  return value.dump();
}

std::string counted(std::size_t n, const std::string& noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

table service_rows(const json& status) {
  table out{{"service", "name", "listens", ""}};
  for (const auto& s : status["services"]) {
    auto told = s["status"];
    for (auto* own_table : {"files", "changes"}) told.erase(own_table);
    auto about = in_words(told);
    bool stopped = s.contains("running") && !s["running"].get<bool>();
    if (stopped) about = about.empty() ? "stopped" : "stopped, " + about;
    out.push_back({in_words(s["kind"]), in_words(s["name"]),
                   s.contains("endpoints") ? in_words(s["endpoints"]) : "", about});
  }
  return out;
}

} // namespace netlab::lua::command
