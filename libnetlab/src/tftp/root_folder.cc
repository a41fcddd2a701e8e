#include "root_folder.h"

#include "netlab/files.h"

namespace netlab::tftp {

result<std::shared_ptr<open_file>> open_in_root(const std::string& root, const std::string& path) {
  auto whole = root + path;
  auto file = open_file::open(whole);
  if (!file) return file;
  // After the open, because a file that does not exist lies nowhere and is no offence.
  if (!is_inside(root, whole))
    return fail(errc::denied, path + " is a link that leads out of " + root, "tftp.open");
  return file;
}

} // namespace netlab::tftp
