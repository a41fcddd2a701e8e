#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The files that travel inside the binary: the Lua half of the API, the bundled plugins, what shells read.
namespace netlab::lua::bundle {

struct file {
  std::string_view path; // "lua/netlab/test.lua", "plugins/NAME/plugin.lua"
  std::string_view content;
};

// The embedded file of that path.
std::optional<std::string_view> find(std::string_view path);
std::vector<file> files();

// Folders of NETLAB_PATH, which come before the binary's own files.
std::vector<std::string> search_path();

} // namespace netlab::lua::bundle
