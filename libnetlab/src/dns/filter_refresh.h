#pragma once
#include <map>
#include <string>
#include <string_view>

#include "netlab/dns_filter_compiler.h"
#include "netlab/http_client.h"
#include "netlab/json.h"

namespace netlab::dns {

// What is remembered of a downloaded list between runs.
struct stored_list {
  std::string url;
  std::string etag, last_modified; // as the server sent them
  std::string sha256;              // of the copy, hex; empty: there is none
  std::string format;
  std::uint64_t rules = 0, unsupported = 0, malformed = 0;
  std::int64_t checked = 0, changed = 0; // seconds since the epoch; 0: never
  unsigned small = 0;                    // downloads in a row that were suspiciously small
};

// The name of a list's files: no two addresses share one.
std::string list_key(std::string_view url);

json to_json(const std::map<std::string, stored_list>& lists);
// What is damaged is left out: the list is downloaded again.
std::map<std::string, stored_list> stored_lists(std::string_view text);

// The request for a list, conditional when there is a copy.
http_request list_request(const stored_list& list, bool have_copy, const std::string& ca_file);

struct judgement {
  bool good = false;
  std::string why; // when it is not
};
// Whether a status and a type of content can be a list at all.
judgement judge_response(const http_response& response);
// Whether what came should take the place of what is there. Counts small ones.
judgement judge_list(const list_report& report, stored_list& list, bool have_copy);

// How long to wait after `failures` tries in a row that gave nothing, after something that is no good list,
// and after success. `random` spreads
// it, so that a thousand houses do not ask in the same second.
duration wait_after_failure(unsigned failures, std::uint32_t random);
duration wait_after_bad_list(duration refresh, std::uint32_t random);
duration wait_after_success(duration refresh, std::uint32_t random);
// How long to wait at start for a list that was asked for at `checked`.
duration wait_at_start(const stored_list& list, bool have_copy, duration refresh, wall_time now,
                       std::uint32_t random);

} // namespace netlab::dns
