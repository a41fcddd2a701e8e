#pragma once
#include "screen.h"

namespace netlab::lua::command {

// What `netlab status` and `netlab top` say of machines, from a status with "boots" in it.

// One line a machine, so that a lab of twenty fits on a screen: who it is and how far its boot came.
table node_rows(const json& status);
// Why boots stopped and what to do, all but that of the node `except`.
void print_stopped(std::FILE* out, const global_options& global, const json& boots,
                   const std::string& except);

} // namespace netlab::lua::command
