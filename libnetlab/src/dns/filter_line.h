#pragma once
#include <cstdint>
#include <string_view>

#include "netlab/bytes.h"

namespace netlab::dns {

enum class line_shape : std::uint8_t { none, hosts, domain, wildcard, adblock, dnsmasq, regex };

// Where the rules of a line go.
class rule_sink {
public:
  virtual ~rule_sink() = default;
  // `wire`: a whole name in lower case.
  virtual void on_name(byte_view wire, bool allow, bool subtree) = 0;
  // Null, or why the expression cannot be used.
  virtual const char* on_regex(std::string_view pattern, bool allow) = 0;
};

struct line_result {
  enum class kind : std::uint8_t { blank, rule, own_name, unsupported, malformed } what = kind::blank;
  line_shape shape = line_shape::none;
  const char* why = nullptr; // for unsupported and malformed; static
};

// One line of a list without its end. `allow` and `subdomains` as in filter_source.
line_result parse_line(std::string_view line, bool allow, bool subdomains, rule_sink& out);

// A name of a list in wire form, in lower case; letters outside ASCII become punycode (RFC 5891).
struct wire_buffer {
  std::uint8_t octets[256];
  std::size_t size = 0;
  unsigned labels = 0;
  byte_view view() const { return {octets, size}; }
};
// Null, or why it is none.
const char* read_list_name(std::string_view text, wire_buffer& out);

} // namespace netlab::dns
