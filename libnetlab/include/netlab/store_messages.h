#pragma once
#include <span>

#include "netlab/log.h"

namespace netlab {

// Every message of the store room (NL-STORE-…, NL-BOOT-1xx), in the order of their ids: what docs/ and
// `netlab doc` print.
std::span<const message* const> store_messages();

} // namespace netlab
