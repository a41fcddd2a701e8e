#pragma once
#include <string>

namespace netlab::test {

// The root of the sources that the tests were built from, for what they read there.
std::string source_folder();

} // namespace netlab::test
