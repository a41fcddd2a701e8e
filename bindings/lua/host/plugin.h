#pragma once
#include "host/api.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace netlab::lua {

class host;

inline constexpr int plugin_api = 1;

// What plugin.lua says of a plugin. Read in an empty environment, under the watchdog.
struct plugin_manifest {
  std::string name, version, help;
  int api = 0;
  std::vector<std::string> needs; // plugins that must be there
  std::string lua;                // the module's file, relative to the folder
  std::string folder;             // where it was found; "plugins/NAME" for an embedded one
  bool embedded = false;
  std::string problem; // why it cannot be used; empty when it can
};

// Finds, reads and loads plugins, and gives `require` its places to look. Owned by the host. Searched in this
// order: the recipe's plugins/ folder, the folders of NETLAB_PATH, the binary.
class plugins {
public:
  explicit plugins(host& owner);
  ~plugins();

  void install_loader(lua_State* L);
  // Every plugin that can be found, sorted by name; the first place wins.
  std::vector<plugin_manifest> list();
  // Pushes the plugin's table of constructors. Fails with the reason why it cannot be used.
  result<void> push(lua_State* L, const std::string& name);
  // A file of the library or a plugin: its text and the chunk name it gets.
  struct source {
    std::string text, chunk;
  };
  std::optional<source> find_module(const std::string& name);

private:
  struct loaded;
  std::vector<std::string> roots() const;
  plugin_manifest read_manifest(const std::string& folder, std::string_view text, bool embedded,
                                const std::string& name);
  std::optional<plugin_manifest> find(const std::string& name);
  std::optional<std::string> read(const plugin_manifest& m, const std::string& file);
  result<void> load(lua_State* L, const plugin_manifest& m);

  host& host_;
  std::map<std::string, std::unique_ptr<loaded>> loaded_;
  std::map<std::string, plugin_manifest> known_;
  std::vector<std::string> loading_;
};

} // namespace netlab::lua
