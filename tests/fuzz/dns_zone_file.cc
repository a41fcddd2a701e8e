// Master files of others: read without trouble, and what was read can be written and read again.
#include <cstdlib>

#include "netlab/dns_zone_file.h"

using namespace netlab;
using namespace netlab::dns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zone_options options;
  options.file = "zone";
  options.origin = *name::parse("example.org");
  options.max_records = 500;
  auto got = parse_zone({reinterpret_cast<const char*>(data), size}, options);
  if (!got) {
    if (got.error().message.rfind("zone:", 0) != 0) std::abort(); // every mistake has its place
    return 0;
  }
  for (const auto& r : *got) {
    if (!r.owner.is_within(options.origin) || r.data.size() > 65535) std::abort();
    auto text = rdata_text(r.type, r.data);
    // Quotation marks in names and tags have another meaning in a text.
    if (text.find('"') == std::string::npos && !parse_rdata(r.type, text, name())) std::abort();
  }
  return 0;
}
