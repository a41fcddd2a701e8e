#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/dns_message.h"

namespace netlab::dns {

// A word of a record's presentation form (RFC 1035 §5.1). What was quoted is without its marks and escapes;
// what was not is as it was written.
struct rdata_word {
  std::string text;
  bool quoted = false;
};

// Blank-separated words of one text; a quoted one may hold blanks. The error's text is for `type`'s record.
result<std::vector<rdata_word>> split_rdata(std::uint16_t type, std::string_view text);

// A record's octets from its words. `complete` makes a whole name of a written one.
using complete_name = std::function<result<name>(std::string_view)>;
result<byte_vector> rdata_of(std::uint16_t type, const std::vector<rdata_word>& words,
                             const complete_name& complete);

// The octets that an unquoted or quoted string stands for: "\." and "\DDD" (RFC 1035 §5.1).
result<std::string> unescape(std::string_view text);

} // namespace netlab::dns
