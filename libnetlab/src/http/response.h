#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "netlab/http_client.h"
#include "netlab/net.h"

namespace netlab::http {

// What is to be answered. Views are used up when the head is written.
struct response {
  int status = 200;
  std::string_view content_type;         // empty: no field
  std::string_view fields;               // whole lines, each with its CRLF
  const http_headers* headers = nullptr; // checked by is_sendable()
  bool ranges = false;                   // says that parts may be asked for
  std::string content_range;             // a whole line, or empty
  std::uint64_t length = 0;              // of the body, also where HEAD leaves it out
  bool with_body = true;                 // false for HEAD
  // One of the three is the body.
  std::string_view text;
  std::shared_ptr<const std::string> shared;
  std::shared_ptr<open_file> file;
  std::uint64_t offset = 0; // where the body begins in `shared` or `file`
  bool growing = false;     // none of them: the body follows in pieces
  // How a body ends whose length nobody knows yet.
  enum class ending { length, chunks, close };
  ending ends = ending::length;
};

// What goes to the stream, in this order: `bytes`, then `shared` or a piece of `file`.
struct outgoing {
  std::string bytes; // head, and the body when it is small
  std::shared_ptr<const std::string> shared;
  std::shared_ptr<open_file> file;
  std::uint64_t offset = 0, length = 0; // of the piece of `file`
  std::size_t head = 0;                 // bytes of the head
  std::uint64_t body = 0;               // bytes of the body
  bool close = false;                   // the connection ends with this response
};

// Bodies up to this size travel in the head's buffer: one write and no second packet.
inline constexpr std::size_t inline_body = 16u << 10;

enum class persistence { keep_alive, keep_alive_1_0, close };
outgoing write_response(const response& r, std::string_view date, persistence how);

std::string_view reason_phrase(int status);
// False for a reply whose status is not 200 to 599 or whose fields would break the framing.
bool is_sendable(int status, std::string_view content_type, const http_headers& headers);

} // namespace netlab::http
