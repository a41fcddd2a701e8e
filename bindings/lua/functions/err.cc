#include <algorithm>

#include "host/api.h"
#include "host/bindings.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr errc codes[] = {errc::invalid,     errc::not_found,   errc::exists,   errc::denied,
                          errc::refused,     errc::unreachable, errc::timeout,  errc::closed,
                          errc::cancelled,   errc::limit,       errc::conflict, errc::protocol,
                          errc::unsupported, errc::busy,        errc::io};

int make(call& c) {
  auto word = c.text(1, "the code");
  std::vector<std::string_view> words;
  for (auto code : codes) {
    words.push_back(to_string(code));
    if (word == words.back())
      return push_error(c.L, {code, c.text(2, "the message"), c.text_or(3, "the operation", "")}), 1;
  }
  c.refuse("unknown code \"" + printable(word) + "\"" + did_you_mean(word, words));
}

int is(call& c) {
  bool same = false;
  if (lua_istable(c.L, 1)) {
    lua_pushliteral(c.L, "code");
    lua_rawget(c.L, 1);
    same = lua_type(c.L, -1) == LUA_TSTRING && text_at(c.L, -1) == c.text(2, "the code");
  }
  return c.give(same);
}

} // namespace

void bind_err(api& a) {
  a.function({"err.new",
              make,
              "An error value like those that I/O returns as its second result.",
              {{"code", "string", "\"invalid\", \"not_found\", \"timeout\", …"},
               {"message", "string", "what a human reads"},
               {"op?", "string", "the operation's name"}},
              {{"err", "netlab.error", ""}},
              false,
              {}});
  a.function({"err.is",
              is,
              "Whether a value is an error of that code.",
              {{"err", "any", ""}, {"code", "string", ""}},
              {{"", "boolean", ""}},
              false,
              {}});
}

} // namespace netlab::lua
