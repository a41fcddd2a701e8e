#include "netlab/files.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

std::string path_at(call& c, int index) {
  auto text = c.text(index, "the path");
  if (text.empty()) c.refuse("the path is empty");
  return join_path(c.owner.recipe_folder(), text);
}

int read(call& c) {
  auto got = c.owner.world().files.read(path_at(c, 1));
  if (!got) return c.fail(got.error());
  return c.give(std::string_view(*got));
}

int write(call& c) {
  c.need_running();
  auto path = path_at(c, 1);
  auto content = c.text(2, "the content");
  int mode = 0644;
  if (c.given(3)) {
    static const schema extra = [] {
      schema s;
      s.name = "fs.write";
      s.options = {optional("private", type::boolean(), "readable by the owner only")};
      return s;
    }();
    auto o = c.table(3, extra);
    if (o.maybe<bool>("private").value_or(false)) mode = 0600;
  }
  return c.give(c.owner.world().files.write(path, content, mode));
}

int exists(call& c) { return c.give(c.owner.world().files.info(path_at(c, 1)).has_value()); }

json as_json(const file_info& info) {
  return {{"name", info.name},
          {"folder", info.folder},
          {"size", info.size},
          {"modified", info.modified},
          {"changed", static_cast<double>(info.changed) / 1e6}};
}

int stat(call& c) {
  auto info = c.owner.world().files.info(path_at(c, 1));
  if (!info) return c.fail(info.error());
  return c.give(as_json(*info));
}

int list(call& c) {
  auto all = c.owner.world().files.list(path_at(c, 1));
  if (!all) return c.fail(all.error());
  json out = json::array();
  for (const auto& info : *all) out.push_back(as_json(info));
  return c.give(out);
}

int mkdir(call& c) {
  c.need_running();
  return c.give(c.owner.world().files.make_folders(path_at(c, 1)));
}

int remove(call& c) {
  c.need_running();
  return c.give(c.owner.world().files.remove(path_at(c, 1)));
}

int join(call& c) {
  auto out = c.text(1, "the first part");
  for (int i = 2; i <= c.count(); ++i) out = join_path(out, c.text(i, "a part"));
  return c.give(std::string_view(out));
}

} // namespace

void bind_fs(api& a) {
  described path{"path", "string", "relative names start at the recipe's folder"};
  described err{"err?", "netlab.error", ""};
  a.function({"fs.read",
              read,
              "A file's content, at most 64 MiB.",
              {path},
              {{"content", "string?", ""}, err},
              false,
              {}});
  a.function({"fs.write",
              write,
              "Writes a file in one step: readers see the old content or the new, never half of it.",
              {path,
               {"content", "string", ""},
               {"options?", "table", "{ private = true }: readable by the owner only"}},
              {{"ok", "boolean?", ""}, err},
              false,
              {}});
  a.function({"fs.exists",
              exists,
              "Whether there is a file or folder of that name.",
              {path},
              {{"", "boolean", ""}},
              false,
              {}});
  a.function({"fs.stat",
              stat,
              "A file's { name, folder, size, modified, changed }.",
              {path},
              {{"info", "netlab.file_info?", ""}, err},
              false,
              {}});
  a.function({"fs.list",
              list,
              "What a folder holds, sorted by name, as fs.stat tells it.",
              {path},
              {{"files", "netlab.file_info[]?", ""}, err},
              false,
              {}});
  a.function({"fs.mkdir",
              mkdir,
              "Makes a folder and those above it.",
              {path},
              {{"ok", "boolean?", ""}, err},
              false,
              {}});
  a.function({"fs.remove",
              remove,
              "Removes a file or an empty folder.",
              {path},
              {{"ok", "boolean?", ""}, err},
              false,
              {}});
  a.function({"fs.join",
              join,
              "Joins parts of a path; an absolute part starts anew, \"..\" is resolved.",
              {{"part", "string", ""}, {"...", "string", ""}},
              {{"path", "string", ""}},
              false,
              {}});
}

} // namespace netlab::lua
