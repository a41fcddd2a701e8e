#pragma once
#include <string>

namespace netlab::test {

// Writes a fresh self-signed certificate for "localhost" and 127.0.0.1 and its key as PEM files.
void make_certificate(const std::string& certificate_file, const std::string& key_file);

} // namespace netlab::test
