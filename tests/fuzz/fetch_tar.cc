// Layers of images: compressed or not, and the tar archive in them, fed in pieces.
#include <cstdint>
#include <string>

#include "fetch/tar_reader.h"
#include "fetch/unpack.h"

using namespace netlab;
using namespace netlab::fetch;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (std::size_t step : {std::size_t{1}, std::size_t{700}, size + 1}) {
    std::uint64_t promised = 0, came = 0;
    tar_reader tar(
        [&](const tar_entry& e) {
          promised += e.size;
          return e.size % 2 == 0;
        },
        [&](byte_view bytes) { came += bytes.size(); });
    unpacker plain([&](byte_view bytes) { return tar.feed(bytes); }, 1u << 20);
    bool whole = true;
    for (std::size_t at = 0; at < size && whole; at += step)
      whole = plain.feed(byte_view(data + at, std::min(step, size - at))).has_value();
    if (whole) (void)plain.finish();
    if (came > promised) __builtin_trap();
  }
  return 0;
}
