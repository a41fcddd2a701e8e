#pragma once
#include <memory>
#include <optional>
#include <string>

#include "netlab/bytes.h"
#include "netlab/net.h"
#include "netlab/result.h"

namespace netlab::tftp {

// Where the bytes of a transfer lie in the buffer that becomes datagrams: `count` blocks of `block`
// bytes, each after a gap that is left alone for its header. Reading into that layout directly saves
// copying every byte once more.
struct block_layout {
  byte_span buffer; // count × (gap + block)
  std::size_t gap = 0, block = 0, count = 0;

  byte_span slot(std::size_t i) const { return buffer.subspan(i * (gap + block) + gap, block); }
};

// What a transfer sends. Belongs to one transfer and its thread.
class content {
public:
  virtual ~content() = default;
  // Bytes on the wire, when that is known before they are read.
  virtual std::optional<std::uint64_t> size() const = 0;
  // Fills the layout from `offset`; returns the bytes read, fewer than asked only at the end. Offsets
  // never go back behind the one of the call before.
  virtual result<std::size_t> read(std::uint64_t offset, const block_layout& into) = 0;
};

std::unique_ptr<content> make_content(std::shared_ptr<const std::string> text);
std::unique_ptr<content> make_content(std::shared_ptr<open_file> file);
// `inner` converted to netascii on the way; its size is not known beforehand.
std::unique_ptr<content> make_netascii(std::unique_ptr<content> inner);

} // namespace netlab::tftp
