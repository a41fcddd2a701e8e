// Everything textual that sources of files send: lists of checksums, manifests, demands for credentials,
// response heads.
#include <cstdint>
#include <string>

#include "fetch/checksum_file.h"
#include "fetch/oci_manifest.h"
#include "fetch/oci_reference.h"
#include "netlab/oci.h"
#include "netlab/transfer_plan.h"
#include "netlab/url.h"

using namespace netlab;
using namespace netlab::fetch;
using namespace netlab::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (auto sum = find_checksum(text, "/dists/netboot/linux"); sum && sum->hex.size() < 64) __builtin_trap();
  (void)parse_challenge(text);
  (void)shown_url(text);
  if (auto of = parse_oci_url(text))
    // What is accepted becomes part of a URL.
    for (unsigned char c : of->base_url() + of->reference)
      if (c <= 0x20 || c >= 0x7f || c == '?' || c == '#') __builtin_trap();
  for (auto arch : {"", "arm64"})
    if (auto manifest = read_manifest(text, arch); manifest && manifest->next.empty())
      for (const auto& layer : manifest->layers)
        if (layer.digest.hex.size() < 64) __builtin_trap();
  transfer_part part{100, {"\"v1\"", {}}, size % 2 == 0};
  for (int status : {200, 206, 304, 416}) {
    auto verdict = judge(status, {{"content-range", text}, {"content-length", text}, {"etag", text}}, part);
    bool goes_on = verdict.what == transfer_verdict::action::append;
    if (goes_on && status != 206) __builtin_trap();
  }
  return 0;
}
