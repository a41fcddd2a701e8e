// Untrusted scripts through the virtual iPXE, every fetch answered with the same bytes; URLs and Talos'
// command line beside it.
#include <cstdlib>
#include <string>
#include <variant>

#include "netlab/ipxe_script.h"

using namespace netlab;
using namespace netlab::boot;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65536) return 0;
  std::string text(reinterpret_cast<const char*>(data), size);
  ipxe_machine m(
      {{"mac", "02:00:0a:14:0d:0b"}, {"uuid", "00112233-4455-6677-8899-aabbccddeeff"}, {"a", text}}, 300);
  auto action = m.start(text, "http://10.0.0.1/boot.ipxe");
  int answers = 0;
  for (; answers < 2000; ++answers) {
    if (std::get_if<ipxe_fetch>(&action))
      action = answers % 7 == 3 ? m.fetched(fail(errc::not_found, "404")) : m.fetched(ipxe_image{text, size});
    else if (std::get_if<ipxe_sleep>(&action))
      action = m.slept();
    else if (std::get_if<ipxe_boot>(&action))
      action = m.boot_failed("no");
    else
      break;
  }
  if (answers == 2000) std::abort(); // the machine promised an end
  (void)resolve_url("http://10.0.0.1/a/b?c", text);
  (void)resolve_url(text, "x/../y");
  (void)talos_config_url(text, {"u", "s", "m", "h", "c"});
  (void)talos_config_url("talos.config=http://h/?" + text, {"u", "s", "m", "h", "c"});
  return 0;
}
