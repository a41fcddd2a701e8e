#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "netlab/net.h"
#include "netlab/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace netlab::io {

// OpenSSL behind two small owners, so that no other file knows its types.

class tls_context {
public:
  static result<std::shared_ptr<tls_context>> server(const tls_identity& identity);
  // Trusts the certificates of `ca_file`, or the system's when it is empty. Reading them takes milliseconds:
  // connections share a context (loop::trust).
  static result<std::shared_ptr<tls_context>> client(const std::string& ca_file = {});
  ~tls_context();
  ssl_ctx_st* get() const { return context_; }

private:
  explicit tls_context(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
  std::string protocols_; // as ALPN has them on the wire, each behind its length
};

// One connection's TLS state on a non-blocking descriptor that it does not own.
class tls_session {
public:
  tls_session(std::shared_ptr<tls_context> context, int descriptor, bool server,
              const std::string& server_name);
  ~tls_session();

  enum class outcome { done, want_read, want_write, closed, failed };
  outcome handshake();
  outcome read(byte_span into, std::size_t& got);
  outcome write(byte_view from, std::size_t& put);
  void shut_down();
  std::string_view protocol() const; // chosen in the handshake; empty before, and when none was
  const std::string& failure() const { return failure_; }

private:
  outcome classify(int returned);
  std::shared_ptr<tls_context> context_;
  ssl_st* session_;
  std::string failure_;
};

} // namespace netlab::io
