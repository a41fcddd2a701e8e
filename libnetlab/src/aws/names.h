#pragma once
#include <span>

namespace netlab::aws {

// One service's exceptions to the rules of shapes.cc, as text: "@section word word …".
struct service_names {
  const char* name;
  const char* text;
};
std::span<const service_names> all_names();

} // namespace netlab::aws
