#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab::fetch {

struct tar_entry {
  std::string name; // as the archive has it, without "./" and slashes in front
  std::string link; // where a link leads
  std::uint64_t size = 0;
  char type = '0'; // POSIX typeflag: '0' file, '1' hard link, '2' symbolic link, '5' folder …
};

// Reads a tar archive fed in pieces (POSIX.1-1988 ustar, POSIX.1-2001 pax path and size, GNU long names and
// base-256 sizes). Holds one header and one long name at most. One thread at a time.
class tar_reader {
public:
  // `wants` sees every entry and says whether its bytes go to `data`.
  tar_reader(std::function<bool(const tar_entry&)> wants, std::function<void(byte_view)> data);
  // errc::protocol when it is no tar archive; then nothing more may be fed.
  result<void> feed(byte_view bytes);
  // False in the middle of an entry: the archive was cut off.
  bool between_entries() const { return left_ == 0 && header_.empty(); }
  bool ended() const { return ended_; }

private:
  result<void> take_header();
  result<void> take_long();

  std::function<bool(const tar_entry&)> wants_;
  std::function<void(byte_view)> data_;
  std::string header_;
  std::string long_name_, long_link_; // for the next entry
  std::uint64_t pax_size_ = 0;
  bool has_pax_size_ = false;
  std::string collected_; // body of a long-name or pax entry
  char collecting_ = 0;   // its typeflag, 0: none
  bool wanted_ = false, ended_ = false;
  std::uint64_t left_ = 0, padding_ = 0;
};

} // namespace netlab::fetch
