#pragma once
#include <string>
#include <string_view>

namespace netlab {

// A URL for people: without credentials and query, which may be secret.
std::string shown_url(std::string_view url);
// Host and port of a URL as it is written; empty when there is none.
std::string_view host_of(std::string_view url);

} // namespace netlab
