#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace netlab::http {

struct field {
  std::string_view name, value; // as sent; the value without blanks around it
};

// A request as it came. Views reach into the parser that made it and end with its next request.
struct request {
  std::string_view method;
  std::string_view target; // as sent
  std::string_view host;   // of an absolute target, else the Host field
  std::string path;        // decoded and resolved; see resolve_path()
  std::string_view query;  // raw, without "?"
  std::vector<field> fields;
  std::string body;
  int minor_version = 1; // HTTP/1.x
  bool keep_alive = true;
  bool expects_continue = false;

  bool is_get() const { return method == "GET"; }
  bool is_head() const { return method == "HEAD"; }
  // The first field of that name, blanks trimmed; nullptr when there is none. Case-insensitive.
  const std::string_view* find(std::string_view name) const;
  std::string_view header(std::string_view name) const {
    const auto* value = find(name);
    return value ? *value : std::string_view{};
  }
};

// A request target's path for looking things up: percent-decoded once (so "%252e" is the name "%2e"),
// runs of "/" made one, "." and ".." resolved without ever leaving the root. Done here and not by a
// redirect, because UEFI firmware gives up on a redirected boot file. False for a broken escape or a
// control byte (NUL included).
bool resolve_path(std::string_view raw, std::string& out);

// True when one of the comma-separated words of a field is `token` (RFC 9110 §5.6.1).
bool has_token(std::string_view list, std::string_view token);

bool is_token_char(unsigned char c);        // RFC 9110 §5.6.2
bool is_token(std::string_view text);       // one or more of them
bool is_field_value(std::string_view text); // no control byte but tab (RFC 9110 §5.5)

} // namespace netlab::http
