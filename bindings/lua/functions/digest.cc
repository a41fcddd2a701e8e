#include "netlab/digest.h"

#include "host/api.h"
#include "host/bindings.h"
#include "netlab/encoding.h"

namespace netlab::lua {

namespace {

int sha256_text(call& c) { return c.give(to_hex(sha256_of(as_bytes(c.text(1, "the text"))))); }

int hmac(call& c) {
  auto key = c.text(1, "the key"), text = c.text(2, "the text");
  auto out = hmac_sha256(as_bytes(key), as_bytes(text));
  if (c.given(3) && lua_toboolean(c.L, 3)) return c.give(as_text(byte_view(out)));
  return c.give(to_hex(out));
}

int encode64(call& c) { return c.give(base64(c.text(1, "the text"))); }
int decode64(call& c) { return c.give(base64_decode(c.text(1, "the text"))); }

} // namespace

void bind_digest(api& a) {
  described text{"text", "string", ""}, err{"err?", "netlab.error", ""};
  a.function({"digest.sha256",
              sha256_text,
              "The SHA-256 of a text, in hexadecimal digits.",
              {text},
              {{"hex", "string", ""}},
              false,
              {}});
  a.function({"digest.hmac_sha256",
              hmac,
              "The HMAC-SHA256 of a text (RFC 2104).",
              {{"key", "string", ""}, text, {"raw?", "boolean", "32 bytes instead of hexadecimal digits"}},
              {{"mac", "string", ""}},
              false,
              {}});
  a.function({"base64.encode",
              encode64,
              "Base64 with padding (RFC 4648).",
              {text},
              {{"base64", "string", ""}},
              false,
              {}});
  a.function({"base64.decode",
              decode64,
              "What base64 text holds.",
              {text},
              {{"text", "string?", ""}, err},
              false,
              {}});
}

} // namespace netlab::lua
