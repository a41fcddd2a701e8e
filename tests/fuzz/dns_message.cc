// Untrusted bytes through the DNS codec: what decodes must encode, and decode again to the same values.
#include <cstdlib>
#include <string>

#include "netlab/dns_message.h"

using namespace netlab;
using namespace netlab::dns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view whole(data, size);
  auto value = decode(whole);
  if (value) {
    auto bytes = encode(*value);
    if (bytes.size() > max_message) std::abort();
    auto again = decode(bytes);
    if (!again) std::abort();
    // Names that were compressed into the far half of a message may not fit when written by us.
    bool whole_again = again->answers.size() == value->answers.size() &&
                       again->authorities.size() == value->authorities.size() &&
                       again->additionals.size() == value->additionals.size() &&
                       again->opt.has_value() == value->opt.has_value();
    if (whole_again && (value->rcode < 16 || value->opt)) {
      value->flags = again->flags;
      if (*again != *value) std::abort();
    }
    for (const auto* section : {&value->answers, &value->authorities, &value->additionals})
      for (const auto& r : *section) {
        auto text = rdata_text(r.type, r.data);
        for (char c : text)
          if (static_cast<unsigned char>(c) < ' ') std::abort();
        if (auto back = name::parse(r.owner.to_string()); !back || *back != r.owner) std::abort();
        (void)address_of_reverse(r.owner);
      }
  }
  std::string text(as_text(whole));
  if (auto parsed = name::parse(text))
    if (auto back = name::parse(parsed->to_string()); !back || *back != *parsed) std::abort();
  auto origin = *name::parse("lab.internal");
  for (auto type : {rtype::a, rtype::mx, rtype::txt, rtype::srv, rtype::caa, rtype::soa})
    if (auto rdata = parse_rdata(type, text, origin)) (void)rdata_text(type, *rdata);
  return 0;
}
