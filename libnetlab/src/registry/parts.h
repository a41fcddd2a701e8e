#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "netlab/clock.h"

namespace netlab::registry {

// What lies beside the content: files that are being fetched, imported or pushed, and those that rest until
// somebody goes on with them. A file counts with all that it may grow to, so that no two of them count on the
// same room. No files, no clock: one thread's plain data.
class parts {
public:
  struct part {
    std::string name;          // of the file
    std::uint64_t claimed = 0; // bytes that it may grow to
    std::uint64_t written = 0; // bytes of these that it has; whoever writes keeps it up
    wall_time used{};
    bool busy = false; // somebody writes to it
  };

  // Takes the part of that name, which may rest already, to write to it. It stays in its place until it is
  // dropped.
  part& take(const std::string& name);
  void claim(part& p, std::uint64_t bytes);
  // Nobody writes to it now: it counts with what it has.
  void rest(const std::string& name, std::uint64_t written, wall_time used);
  void drop(const std::string& name);

  // Of those that rest and that `may` lets go, the one that was used longest ago; null when there is none.
  const part* oldest(const std::function<bool(const part&)>& may) const;
  std::uint64_t claimed() const { return claimed_; }
  // What those that are written to may grow to.
  std::uint64_t busy() const;
  // Bytes on the disk, and those that are claimed and not there yet.
  std::uint64_t written() const;
  std::uint64_t unwritten() const { return claimed_ - written(); }
  std::size_t size() const { return all_.size(); }

private:
  std::map<std::string, part> all_;
  std::uint64_t claimed_ = 0;
};

} // namespace netlab::registry
