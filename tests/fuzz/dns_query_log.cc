// What a query log's folder may hold after a crash or a bad disk: segments, statistics, an operator's
// changes.
#include <cstdlib>

#include "dns/query_segment.h"
#include "netlab/dns_overlay.h"
#include "netlab/dns_statistics.h"

using namespace netlab;
using namespace netlab::dns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view bytes(data, size);
  std::size_t at = 0;
  for (bool skipped = false;; skipped = false) {
    auto before = at;
    auto block = next_block(bytes, at, skipped);
    if (at > size) std::abort();
    if (!block) break;
    if (at <= before) std::abort(); // or a reader would not end
    if (block->what == segment_block::kind::names) (void)parse_names_payload(block->payload);
  }
  // A block's payload as it would be if its checksum were right.
  for_rows(bytes, [&](const query_row& head, const std::uint8_t* row) {
    if (row < data || row + head.size > data + size) std::abort();
    (void)name::from_wire(name_of(head, row));
    return true;
  });
  (void)parse_names_payload(bytes);
  byte_vector made(block_head_size);
  put_block_head(made.data(), segment_block::kind::rows, bytes);
  made.insert(made.end(), bytes.begin(), bytes.end());
  std::size_t from = 0;
  bool skipped = false;
  if (size <= max_block && !next_block(made, from, skipped)) std::abort();

  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto s = parse_statistics(text); s && !parse_statistics(to_line(*s))) std::abort();
  if (auto all = read_overlays(text)) {
    auto again = read_overlays(write_overlays(all->all));
    if (!again || again->refused > 0 || again->all.size() != all->all.size()) std::abort();
  }
  return 0;
}
