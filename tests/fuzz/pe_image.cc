// Untrusted PE images as stub: whatever is accepted must come out as an image that is accepted again.
#include <cstdlib>
#include <string>

#include "netlab/uki.h"

using namespace netlab;
using namespace netlab::boot;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view image(data, size);
  auto pe = parse_pe(image, size);
  (void)parse_pe(image, std::uint64_t{1} << 30);
  std::vector<new_section> added = {{".cmdline", {file_piece{"quiet", {}, 0, 3}}, false},
                                    {".linux", {file_piece{std::string(1000, 'k'), {}, 0, 0}}, true}};
  auto plan = append_sections(image, added);
  if (!plan) return 0;
  if (!pe) std::abort();
  std::string out;
  for (const auto& p : plan->pieces) {
    if (p.padding > (1u << 24)) std::abort();
    out += p.bytes + std::string(p.padding, '\0');
  }
  if (out.size() != plan->size) std::abort();
  auto again = parse_pe(as_bytes(out), out.size());
  if (!again || again->sections.size() != pe->sections.size() + 2) std::abort();
  const auto& linux = again->sections.back();
  if (out.substr(linux.raw_offset, 1000) != std::string(1000, 'k')) std::abort();
  return 0;
}
