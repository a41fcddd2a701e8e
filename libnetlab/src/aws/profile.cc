#include "profile.h"

#include "netlab/text.h"

namespace netlab::aws {

result<profile_file> parse_profiles(std::string_view text, const std::string& name) {
  profile_file out;
  profile_section* section = nullptr;
  std::string last;
  int number = 0;
  for (auto line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto bare = trim(line);
    if (bare.empty() || bare.front() == '#' || bare.front() == ';') continue;
    auto wrong = [&](const std::string& why) {
      return fail(errc::invalid, name + ":" + std::to_string(number) + ": " + why, "aws.profile");
    };
    bool indented = line.front() == ' ' || line.front() == '\t';
    if (!indented && bare.front() == '[') {
      auto end = bare.find(']');
      if (end == std::string_view::npos) return wrong("a section begins with [name]");
      std::string title;
      for (auto word : split(trim(bare.substr(1, end - 1)), ' '))
        if (!trim(word).empty()) title += (title.empty() ? "" : " ") + std::string(trim(word));
      section = &out[title];
      last.clear();
      continue;
    }
    if (!section) return wrong("a setting before the first [section]");
    auto equals = bare.find('=');
    if (equals == std::string_view::npos) return wrong("expected name = value");
    auto key = to_lower(trim(bare.substr(0, equals)));
    auto value = trim(bare.substr(equals + 1));
    // A comment may follow a value after white space.
    for (std::string_view mark : {" #", " ;", "\t#", "\t;"})
      if (auto at = value.find(mark); at != std::string_view::npos) value = trim(value.substr(0, at));
    if (indented && !last.empty() && (*section)[last].empty()) {
      (*section)[last + "." + key] = value;
      continue;
    }
    last = key;
    (*section)[key] = value;
  }
  return out;
}

} // namespace netlab::aws
