#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "netlab/digest.h"
#include "netlab/files.h"
#include "netlab/transfer_plan.h"

namespace netlab::fetch {

// What is kept beside the files, in the folder ".netlab-fetch" of theirs.

// Of a file in place: where it came from and what it was then.
struct file_record {
  std::string url;
  transfer_validators of;
  std::uint64_t size = 0;
  std::int64_t modified = 0; // of the file, seconds since the epoch
  std::int64_t checked = 0;  // when its source was last asked, seconds since the epoch
  checksum sha256;
  std::optional<checksum> sha512;
  bool proves(const checksum& wanted) const;
};

// Of a transfer that is not whole: what its beginning belongs to.
struct part_record {
  std::string url;
  transfer_validators of;
  std::string boot_id; // of the machine's run: a part that lived through a power cut may have holes
};

// Paths of one file's companions. Stateless but for the folder's name.
class records {
public:
  records(files& disk, std::string folder) : disk_(disk), folder_(std::move(folder)) {}
  result<void> make_folder();
  std::string place(std::string_view name) const { return folder_ + "/" + std::string(name); }
  std::string part_path(std::string_view name) const { return companion(name, ".part"); }
  std::string unpacked_path(std::string_view name) const { return companion(name, ".unpacked"); }

  std::optional<file_record> read_file(std::string_view name);
  result<void> write_file(std::string_view name, const file_record& r);
  std::optional<part_record> read_part(std::string_view name);
  result<void> write_part(std::string_view name, const part_record& r);
  void drop_part(std::string_view name);
  // Ids of schematics, by what was posted to whom.
  std::string read_schematic(const std::string& key);
  void write_schematic(const std::string& key, const std::string& id);

private:
  std::string companion(std::string_view name, std::string_view ending) const;
  files& disk_;
  std::string folder_;
};

// The name under which the companions of a file are kept: its names may be long and hold slashes.
std::string companion_key(std::string_view name);

} // namespace netlab::fetch
