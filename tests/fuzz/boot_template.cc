// Untrusted templates, command lines and query strings.
#include <string>

#include "boot/service_impl.h"
#include "netlab/uki.h"

using namespace netlab;
using namespace netlab::boot;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  (void)render(text, [](std::string_view name) -> std::optional<std::string> {
    if (name.size() % 3 == 0) return std::nullopt;
    return std::string(name);
  });
  (void)without_ipxe_formats(text);
  (void)parse_query(text);
  boot_request r;
  auto half = size / 2;
  r.vendor_class = text.substr(0, half);
  r.user_class = text.substr(half);
  r.ipxe.assign(data, data + half);
  r.guid.assign(data + half, data + size);
  for (std::size_t i = 0; i + 1 < size && i < 16; i += 2)
    r.architectures.push_back(static_cast<std::uint16_t>(data[i] << 8 | data[i + 1]));
  (void)classify(r);
  return 0;
}
