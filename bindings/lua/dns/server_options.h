#pragma once
#include <memory>

#include "dns/service.h"
#include "host/schema.h"

namespace netlab::lua {

schema dns_server_schema();

// A server as its options say, not yet running. The error's `op` is the option at fault.
result<std::shared_ptr<dns_service>> read_dns_server(const options& o);

} // namespace netlab::lua
