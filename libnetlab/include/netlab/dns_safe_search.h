#pragma once
#include <cstdint>
#include <string_view>

#include "netlab/bytes.h"

namespace netlab::dns {

enum class safe_search : std::uint8_t { off, moderate, strict };

// The name whose answer a search engine or video site wants for its own name when the network asks it to
// leave adult content out; empty: the name is asked as it is. `wire` is a whole name in lower case.
// `moderate` differs for YouTube only. The sites document these: Google's "forcesafesearch.google.com",
// YouTube's "restrict.youtube.com" and "restrictmoderate.youtube.com", Bing's "strict.bing.com",
// DuckDuckGo's "safe.duckduckgo.com", Pixabay's, Brave's and Ecosia's own.
std::string_view safe_search_target(byte_view wire, safe_search how);

} // namespace netlab::dns
