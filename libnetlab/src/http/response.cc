#include "response.h"

#include <algorithm>
#include <charconv>

#include "netlab/text.h"
#include "request.h"

namespace netlab::http {

std::string_view reason_phrase(int status) {
  switch (status) {
  case 100: return "Continue";
  case 200: return "OK";
  case 201: return "Created";
  case 202: return "Accepted";
  case 204: return "No Content";
  case 206: return "Partial Content";
  case 301: return "Moved Permanently";
  case 302: return "Found";
  case 303: return "See Other";
  case 304: return "Not Modified";
  case 307: return "Temporary Redirect";
  case 308: return "Permanent Redirect";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 403: return "Forbidden";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 408: return "Request Timeout";
  case 409: return "Conflict";
  case 410: return "Gone";
  case 411: return "Length Required";
  case 412: return "Precondition Failed";
  case 413: return "Content Too Large";
  case 414: return "URI Too Long";
  case 416: return "Range Not Satisfiable";
  case 417: return "Expectation Failed";
  case 422: return "Unprocessable Content";
  case 429: return "Too Many Requests";
  case 431: return "Request Header Fields Too Large";
  case 500: return "Internal Server Error";
  case 501: return "Not Implemented";
  case 502: return "Bad Gateway";
  case 503: return "Service Unavailable";
  case 504: return "Gateway Timeout";
  case 505: return "HTTP Version Not Supported";
  default:
    return status < 300 ? "OK" : status < 400 ? "Redirect" : status < 500 ? "Client Error" : "Server Error";
  }
}

bool is_sendable(int status, std::string_view content_type, const http_headers& headers) {
  static constexpr std::string_view ours[] = {"content-length", "transfer-encoding", "connection", "date",
                                              "content-type",   "keep-alive",        "upgrade"};
  if (status < 200 || status > 599 || !is_field_value(content_type)) return false;
  return std::all_of(headers.begin(), headers.end(), [](const auto& h) {
    return is_token(h.first) && is_field_value(h.second) &&
           std::none_of(std::begin(ours), std::end(ours), [&](auto name) { return iequals(h.first, name); });
  });
}

outgoing write_response(const response& r, std::string_view date, persistence how) {
  outgoing out;
  out.close = how == persistence::close;
  // RFC 9110 §8.6: no Content-Length with 204; with 304 it would speak of the body that was not sent.
  bool bodiless = r.status == 204 || r.status == 304;
  bool measured = r.ends == response::ending::length;
  bool send_body = r.with_body && !bodiless && (r.length > 0 || !measured);
  std::size_t extra = 0;
  if (r.headers)
    for (const auto& [name, value] : *r.headers) extra += name.size() + value.size() + 4;
  // A body that others hold too goes as it is; anything else that is small, behind the head in one piece.
  bool whole = r.shared && r.offset == 0 && r.length == r.shared->size();
  bool fits = send_body && !r.file && !r.growing && !whole && r.length <= inline_body;
  auto& b = out.bytes;
  b.reserve(216 + r.fields.size() + r.content_range.size() + r.content_type.size() + extra +
            (fits ? r.length : 0));

  char number[24];
  auto put_number = [&](std::uint64_t value) {
    auto end = std::to_chars(number, number + sizeof number, value).ptr;
    b.append(number, end);
  };
  using namespace std::string_view_literals; // their length is known, where append(char*) looks for it
  b.append("HTTP/1.1 "sv);
  put_number(static_cast<std::uint64_t>(r.status));
  b.append(" "sv).append(reason_phrase(r.status)).append("\r\nDate: "sv).append(date).append("\r\n"sv);
  if (!r.content_type.empty() && !bodiless)
    b.append("Content-Type: "sv).append(r.content_type).append("\r\n"sv);
  if (r.ends == response::ending::chunks) b.append("Transfer-Encoding: chunked\r\n"sv);
  if (!bodiless && measured) {
    b.append("Content-Length: "sv);
    put_number(r.length);
    b.append("\r\n"sv);
  }
  b.append(r.fields);
  if (r.ranges) b.append("Accept-Ranges: bytes\r\n"sv);
  b.append(r.content_range);
  if (r.headers)
    for (const auto& [name, value] : *r.headers) b.append(name).append(": ").append(value).append("\r\n");
  if (how == persistence::close) b.append("Connection: close\r\n");
  if (how == persistence::keep_alive_1_0) b.append("Connection: keep-alive\r\n");
  b.append("\r\n"sv);
  out.head = b.size();
  if (!send_body) return out;

  out.body = r.length;
  if (r.growing) return out;
  if (r.file) {
    out.file = r.file;
    out.offset = r.offset;
    out.length = r.length;
    return out;
  }
  std::string_view text =
      r.shared ? std::string_view(*r.shared).substr(r.offset, r.length) : r.text.substr(0, r.length);
  if (fits) {
    b.append(text);
  } else if (whole) {
    out.shared = r.shared;
  } else {
    out.shared = std::make_shared<const std::string>(text);
  }
  return out;
}

} // namespace netlab::http
