#pragma once
#include <vector>

#include "filter_format.h"
#include "filter_regex.h"
#include "netlab/dns_filter_compiler.h"

namespace netlab::dns {

// What stands behind the classes in a compiled file: the lists and the regular expressions.
struct filter_tail {
  std::vector<filter_list_info> lists;
  std::vector<regex_rule> regexes;
};
byte_vector write_tail(const filter_tail& tail);
// The counts are the header's.
result<filter_tail> read_tail(byte_view bytes, std::uint32_t lists, std::uint32_t regexes);

} // namespace netlab::dns
