// Untrusted lists: read whole and in pieces, which must give the same account; then compiled, opened and
// asked.
#include <cstdlib>
#include <cstring>
#include <string>

#include "dns/filter_reader.h"
#include "netlab/simulation.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

class counting_sink final : public rule_sink {
public:
  void on_name(byte_view wire, bool, bool) override {
    ++names;
    std::size_t at = 0;
    while (at < wire.size() && wire[at] != 0) at += wire[at] + std::size_t{1};
    if (at + 1 != wire.size() || wire.size() > 255) std::abort(); // a whole name, always
    for (auto c : wire)
      if (c >= 'A' && c <= 'Z') std::abort();
  }
  const char* on_regex(std::string_view, bool) override { return nullptr; }
  std::uint64_t names = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  filter_limits limits;
  limits.line = 128;
  limits.bytes = 65536;
  filter_source source;
  source.subdomains = size % 2 == 1;
  counting_sink whole_sink, pieces_sink;
  list_reader whole(source, limits, whole_sink), pieces(source, limits, pieces_sink);
  whole.read(text);
  for (std::size_t at = 0; at < size;) {
    auto length = std::min<std::size_t>(size - at, 1 + data[at] % 61);
    pieces.read(text.substr(at, length));
    at += length;
  }
  auto a = whole.finish(), b = pieces.finish();
  if (a.digest != b.digest || a.refused != b.refused) std::abort();
  if (a.refused.empty() && (a.lines != b.lines || a.rules != b.rules || a.malformed != b.malformed ||
                            a.unsupported != b.unsupported || whole_sink.names != pieces_sink.names ||
                            a.rules + a.malformed + a.unsupported + a.own_names > a.lines))
    std::abort();
  return 0;
}
