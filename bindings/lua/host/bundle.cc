#include "host/bundle.h"

#include <cstdlib>

#include "netlab/text.h"

namespace netlab::lua::bundle {

// Written by cmake/embed.cmake.
extern const file embedded[];
extern const std::size_t embedded_count;

std::optional<std::string_view> find(std::string_view path) {
  for (std::size_t i = 0; i < embedded_count; ++i)
    if (embedded[i].path == path) return embedded[i].content;
  return std::nullopt;
}

std::vector<file> files() { return {embedded, embedded + embedded_count}; }

std::vector<std::string> search_path() {
  std::vector<std::string> out;
  const char* text = std::getenv("NETLAB_PATH");
  if (!text) return out;
  for (auto folder : split(text, ':'))
    if (!folder.empty()) out.emplace_back(folder);
  return out;
}

} // namespace netlab::lua::bundle
