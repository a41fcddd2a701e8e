#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include "command.h"
#include "netlab/json.h"

namespace netlab::lua::command {

// Rows of cells; the first row is the heading.
using table = std::vector<std::vector<std::string>>;

// Aligned columns under a title; nothing when there is no row beside the heading.
void print_table(std::FILE* out, const global_options& global, const std::string& title, const table& rows);

// Data as a human reads it in one line: lists with commas, tables as "key value".
std::string in_words(const json& value);

// "1 note", "3 notes".
std::string counted(std::size_t n, const std::string& noun);

// What `netlab run` begins with and `netlab status` ends in: every service and where it answers, from
// host::status(). Objects that serve nothing by themselves (networks, boot services) are rows too, because
// they say what is served.
table service_rows(const json& status);

} // namespace netlab::lua::command
