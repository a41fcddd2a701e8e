#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "netlab/asset.h"
#include "netlab/http_client.h"
#include "netlab/log.h"
#include "netlab/net.h"
#include "netlab/result.h"
#include "netlab/runtime.h"
#include "netlab/units.h"

namespace netlab {

// What one client may cost. Whatever passes a limit is refused, counted and said in the log. Times are
// looked at once a second, so that each may last up to a second longer.
struct http_limits {
  std::size_t header_bytes = 16u << 10; // request line and header fields
  std::size_t header_fields = 100;
  std::size_t body_bytes = 1u << 20;        // of one request; handlers get bodies whole
  std::size_t connections = 4096;           // at a time, over all listeners of the server
  std::size_t connections_per_client = 256; // at a time, by address
  std::uint64_t requests_per_connection = 100'000;
  duration header_time = std::chrono::seconds(10); // from a header's first byte to its end
  duration body_time = std::chrono::seconds(60);   // for the whole body
  duration idle_time = std::chrono::seconds(60);   // between two requests
  duration reply_time = std::chrono::minutes(5);   // for a source or handler to answer
  duration send_time = std::chrono::seconds(60);   // for a client to take at least one byte
};

// One request that was answered, refused or given up. Views are valid during the call.
struct http_access {
  std::string_view method; // empty when the request could not be read
  std::string_view path;   // decoded; the raw target when it could not be decoded
  std::string_view query;
  std::string_view user_agent;
  int status = 0;
  std::uint64_t bytes = 0; // of the response's body that left
  duration elapsed{};      // from the request's first byte to the response's last
  bool completed = true;
  endpoint client;
};

// A body whose bytes come while it is sent: a file that is still being written, or what another server sends.
// Owned by the reply and used on the server's loop only; dropping it ends the interest in it.
class http_body {
public:
  // Bytes, or a part of a file.
  struct piece {
    std::string bytes;
    std::shared_ptr<open_file> file;
    std::uint64_t offset = 0, length = 0;
    bool last = false; // of a body of unknown size: nothing follows it
  };
  static constexpr std::uint64_t unknown = ~std::uint64_t{0};
  virtual ~http_body() = default;
  // Of the whole, asked once. Unknown: it goes in chunks (RFC 9112 §7.1), to a client of HTTP/1.0 until the
  // connection ends, and a Range is left out of account.
  virtual std::uint64_t size() const = 0;
  // What lies at `offset`, at most `most` bytes. An empty piece: nothing yet, and `ready` runs later, once,
  // never inside this call, when asking again is worth it. An error cuts the connection, so that the client
  // sees that it did not get everything. Offsets of one reply only grow.
  virtual result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) = 0;
};

// What a handler answers. Content-Length, Transfer-Encoding, Date and Connection are the server's.
struct http_reply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  http_headers headers; // beside the server's own; a name or value with control bytes is a 500
  std::variant<std::string, std::shared_ptr<const std::string>, std::shared_ptr<open_file>,
               std::shared_ptr<http_body>>
      body;
  // Answers the request's conditions and Range with the body, as for files (RFC 9110 §13, §14): set for a 200
  // that is a representation. `etag` is strong and quoted, or empty.
  bool selectable = false;
  std::string etag;
  // Runs once when the reply left or was given up, on the server's loop.
  std::function<void(const transfer_report&)> on_done;
};

// One request that waits for its reply. The handler keeps it as long as it needs; reply() is called
// once, on the server's loop. Dropping it without a reply answers 500. It may outlive its connection and
// its server; a reply then goes nowhere.
class http_call {
public:
  virtual ~http_call() = default;
  // Later replies to the same call are ignored.
  virtual void reply(http_reply reply) = 0;
  virtual bool alive() const = 0; // somebody still waits for the reply

  std::string method;
  std::string path;     // decoded, begins with "/", no "//", ".", or ".." inside
  std::string query;    // raw, without "?"
  http_headers headers; // names in lower case
  std::string body;
  std::shared_ptr<class http_sink> sink; // took the body instead
  endpoint client, server;
  bool secure = false;
  std::string_view header(std::string_view lower_name) const; // first value, empty when absent
};
using http_call_ptr = std::shared_ptr<http_call>;
using http_handler = std::function<void(http_call_ptr)>;

// Takes one request's body as it comes. Dropped before the handler has its call when the client gives up.
class http_sink {
public:
  virtual ~http_sink() = default;
  virtual void take(byte_view bytes) = 0;
};
// The head of a request that has a body. Views are valid during the call.
struct http_request_head {
  std::string_view method, path, query;
  endpoint client;
  std::function<std::string_view(std::string_view name)> header; // first value, empty when absent
};
// Who takes such a body; null: it is kept and given whole, within http_limits::body_bytes.
using http_sink_fn = std::function<std::shared_ptr<http_sink>(const http_request_head&)>;

// An answer that many requests get: its header is checked and written once. Conditions and Range are answered
// as for files.
class http_content {
public:
  // errc::invalid: the type, the tag or a field could not be sent. `etag` is strong and quoted, or empty.
  static result<std::shared_ptr<const http_content>> make(std::string content_type,
                                                          const http_headers& headers, std::string etag,
                                                          std::shared_ptr<const std::string> body);
  const std::string& content_type() const { return content_type_; }
  const std::string& fields() const { return fields_; } // whole lines, the tag's among them
  const std::string& etag() const { return etag_; }
  const std::shared_ptr<const std::string>& body() const { return body_; } // never null

private:
  http_content() = default;
  std::string content_type_, fields_, etag_;
  std::shared_ptr<const std::string> body_;
};
struct http_ready {
  std::shared_ptr<const http_content> content; // null: the handler is to answer
  http_headers headers;                        // of this answer alone
};
// Asked before the handler for a GET or HEAD without a body: what is at hand spares the call its copies.
using http_ready_fn = std::function<http_ready(const http_request_head&)>;

struct http_files_options {
  bool listing = false;          // show what a folder holds
  bool follow_outside = false;   // serve what symbolic links lead to outside the folder
  std::string content_type = {}; // instead of the type guessed from the name
};

// The media type for a file's name, by its extension; "application/octet-stream" when unknown.
std::string_view content_type_of(std::string_view name);

// An HTTP/1.1 server (RFC 9110, RFC 9112): owns its listeners, connections and a small cache of open
// files. Made, used and destroyed on the thread of the runtime's loop; destroying it closes everything
// at once, drain() ends it politely. Sources outlive it.
//
// A route's prefix is whole path segments: "/assets" takes "/assets" and "/assets/x", not "/assetsx".
// The longest prefix that matches answers; there is no fall-through. Sources and files take GET and HEAD
// with ranges, conditions and a Content-Length always; handlers take every method.
class http_server {
public:
  virtual ~http_server() = default;

  // Two routes with one prefix are errc::exists; a prefix must begin with "/".
  virtual result<void> serve(std::string prefix, asset_source& source) = 0;
  // The part of the path behind the prefix names a file in `folder`, which need not exist yet.
  virtual result<void> files(std::string prefix, std::string folder, http_files_options options = {}) = 0;
  virtual result<void> handle(std::string prefix, http_handler handler, http_ready_fn ready = {}) = 0;
  // The same, for bodies of any size: a sink's request has no limit but that something of it has to come
  // within http_limits::body_time. Only one such function a server: it is asked whatever the prefix.
  virtual void take_bodies(http_sink_fn sinks) = 0;

  // Returns the endpoint it got (port 0: any free one). May be called several times.
  virtual result<endpoint> listen(const listen_options& options) = 0;
  // Serves a stream that somebody else accepted.
  virtual void accept(std::unique_ptr<stream> client) = 0;
  // Stops listening, closes idle connections, lets requests under way finish, then posts `done`, once.
  virtual void drain(std::function<void()> done) = 0;
  virtual std::size_t connections() const = 0;
};

struct http_server_options {
  std::string name = "http"; // label of its counters and log lines
  http_limits limits;
  // Runs after every request, on the server's loop.
  std::function<void(const http_access&)> on_access;
};

// The runtime is that of the loop the server lives on; its clock, scheduler, net and metrics are used.
std::unique_ptr<http_server> make_http_server(const runtime& world, http_server_options options = {});

// Every message of this room, for the reference.
std::span<const message* const> http_messages();

} // namespace netlab
