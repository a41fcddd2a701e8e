#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab {

using http_headers = std::vector<std::pair<std::string, std::string>>;

struct http_request {
  std::string method = "GET";
  std::string url;
  http_headers headers;
  std::string body;
  duration timeout = std::chrono::seconds(30); // whole exchange
  duration connect_timeout = std::chrono::seconds(10);
  int redirects = 5; // followed at most, for GET, HEAD and POST; 0: the redirect is the response
  std::size_t body_limit = 64u << 20; // bytes; a larger body is an error (ignored with on_body)
  bool verify = true;                 // check the server's certificate
  std::string ca_file;                // instead of the system's bundle, which is read at the first TLS use
  std::string proxy;                  // "http://host:port"; empty: none, whatever the environment says
  std::vector<std::string> resolve;   // "host:port:address" entries, used instead of a look-up
  // Nothing came or went for this long: errc::timeout, whatever `timeout` says. For bodies of any size.
  duration stall_time = duration::max();
  // Sees status and headers (names in lower case) of the final response before its body; false ends the
  // exchange with errc::cancelled.
  std::function<bool(int status, const http_headers& headers)> on_head;
  std::function<void(byte_view)> on_body; // gets the body in pieces instead of the response
};

struct http_response {
  int status = 0;
  http_headers headers; // names in lower case
  std::string body;
  std::string url; // after redirects
  std::uint64_t bytes = 0;
  std::string_view header(std::string_view name) const; // first value, empty when absent
};

// Dropping it cancels the exchange; its callback does not run then.
class http_exchange {
public:
  virtual ~http_exchange() = default;
  // Takes no more of the body until it is resumed: what on_body cannot place stays with the sender. A paused
  // exchange never stalls.
  virtual void pause(bool on) { (void)on; }
};

// Speaks http and https only, reads no netrc, keeps no cookies, and takes no proxy from the environment.
// An Authorization or Cookie header stays behind when a redirect leads to another host. Errors say what
// was asked of whom (without query and credentials, which may be secret) and why it failed: not_found (the
// name does not resolve), refused, unreachable, timeout, denied (the certificate: name, issuer, date),
// closed, protocol, limit (body or redirects), invalid (the request).
class http_client {
public:
  virtual ~http_client() = default;
  // `done` runs once on the loop's thread, never inside this call. A response of any status is a value;
  // an error means that there was no response.
  [[nodiscard]] virtual std::unique_ptr<http_exchange>
  send(http_request request, std::function<void(result<http_response>)> done) = 0;
};

// Lives on the loop and is used on its thread only; destroying it cancels every exchange. The loop
// outlives it. A program that has threads calls curl_global_init() before it starts them: the library
// does not, because that state belongs to the process.
std::unique_ptr<http_client> make_http_client(class event_loop& loop);

} // namespace netlab
