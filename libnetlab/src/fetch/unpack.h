#pragma once
#include <functional>
#include <memory>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab::fetch {

// Undoes gzip (RFC 1952) or Zstandard (RFC 8878) compression of bytes fed in pieces; what is neither passes
// as it is. The first bytes tell, not a media type. Output goes to `out` in pieces; at most `limit` bytes.
class unpacker {
public:
  unpacker(std::function<result<void>(byte_view)> out, std::uint64_t limit);
  ~unpacker();
  unpacker(const unpacker&) = delete;
  unpacker& operator=(const unpacker&) = delete;

  result<void> feed(byte_view bytes);
  // errc::protocol when the compressed data was cut off.
  result<void> finish();

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace netlab::fetch
