#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace netlab::io {

namespace {
std::string last_error() {
  std::string out;
  while (auto code = ERR_get_error()) {
    char text[256];
    ERR_error_string_n(code, text, sizeof text);
    if (!out.empty()) out += "; ";
    out += text;
  }
  return out.empty() ? "no reason given" : out;
}
} // namespace

result<std::shared_ptr<tls_context>> tls_context::server(const tls_identity& identity) {
  ERR_clear_error();
  std::shared_ptr<tls_context> out(new tls_context(SSL_CTX_new(TLS_server_method())));
  auto* c = out->get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (SSL_CTX_use_certificate_chain_file(c, identity.certificate_file.c_str()) != 1)
    return fail(errc::invalid, "certificate " + identity.certificate_file + ": " + last_error(), "tls");
  if (SSL_CTX_use_PrivateKey_file(c, identity.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(errc::invalid, "key " + identity.key_file + ": " + last_error(), "tls");
  if (SSL_CTX_check_private_key(c) != 1)
    return fail(errc::invalid,
                "key " + identity.key_file + " does not belong to certificate " + identity.certificate_file,
                "tls");
  for (const auto& p : identity.protocols)
    if (!p.empty() && p.size() < 256) out->protocols_ += static_cast<char>(p.size()) + p;
  if (!out->protocols_.empty())
    SSL_CTX_set_alpn_select_cb(
        c,
        [](SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
           unsigned int offered_size, void* ours) {
          const auto& own = *static_cast<const std::string*>(ours);
          unsigned char* found = nullptr;
          // Without one in common the client gets what it would get without asking.
          if (SSL_select_next_proto(&found, length, reinterpret_cast<const unsigned char*>(own.data()),
                                    static_cast<unsigned int>(own.size()), offered,
                                    offered_size) != OPENSSL_NPN_NEGOTIATED)
            return SSL_TLSEXT_ERR_NOACK;
          *chosen = found;
          return SSL_TLSEXT_ERR_OK;
        },
        &out->protocols_);
  return out;
}

result<std::shared_ptr<tls_context>> tls_context::client(const std::string& ca_file) {
  ERR_clear_error();
  std::shared_ptr<tls_context> out(new tls_context(SSL_CTX_new(TLS_client_method())));
  auto* c = out->get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, nullptr);
  if (!ca_file.empty() && SSL_CTX_load_verify_locations(c, ca_file.c_str(), nullptr) != 1)
    return fail(errc::invalid, "certificates " + ca_file + ": " + last_error(), "tls");
  if (ca_file.empty() && SSL_CTX_set_default_verify_paths(c) != 1)
    return fail(errc::io, "the system's certificates cannot be loaded: " + last_error(), "tls");
  return out;
}

tls_context::~tls_context() { SSL_CTX_free(context_); }

tls_session::tls_session(std::shared_ptr<tls_context> context, int descriptor, bool server,
                         const std::string& server_name)
    : context_(std::move(context)), session_(SSL_new(context_->get())) {
  SSL_set_fd(session_, descriptor);
  if (server) {
    SSL_set_accept_state(session_);
    return;
  }
  SSL_set_connect_state(session_);
  if (server_name.empty()) return;
  if (auto address = ip_address::parse(server_name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session_), server_name.c_str());
  } else {
    SSL_set_tlsext_host_name(session_, server_name.c_str());
    SSL_set1_host(session_, server_name.c_str());
  }
}

tls_session::~tls_session() { SSL_free(session_); }

tls_session::outcome tls_session::classify(int returned) {
  switch (SSL_get_error(session_, returned)) {
  case SSL_ERROR_WANT_READ: return outcome::want_read;
  case SSL_ERROR_WANT_WRITE: return outcome::want_write;
  case SSL_ERROR_ZERO_RETURN: return outcome::closed;
  case SSL_ERROR_SYSCALL:
    failure_ = errno ? system_error(errno, "TLS").message : "the peer closed without ending TLS";
    return outcome::failed;
  default: {
    auto verify = SSL_get_verify_result(session_);
    failure_ = verify != X509_V_OK
                   ? "certificate not accepted: " + std::string(X509_verify_cert_error_string(verify))
                   : "TLS: " + last_error();
    return outcome::failed;
  }
  }
}

tls_session::outcome tls_session::handshake() {
  ERR_clear_error();
  errno = 0;
  int n = SSL_do_handshake(session_);
  return n == 1 ? outcome::done : classify(n);
}

tls_session::outcome tls_session::read(byte_span into, std::size_t& got) {
  ERR_clear_error();
  errno = 0;
  int n = SSL_read_ex(session_, into.data(), into.size(), &got);
  return n == 1 ? outcome::done : classify(n);
}

tls_session::outcome tls_session::write(byte_view from, std::size_t& put) {
  ERR_clear_error();
  errno = 0;
  int n = SSL_write_ex(session_, from.data(), from.size(), &put);
  return n == 1 ? outcome::done : classify(n);
}

std::string_view tls_session::protocol() const {
  const unsigned char* chosen = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(session_, &chosen, &length);
  return {reinterpret_cast<const char*>(chosen), length};
}

void tls_session::shut_down() {
  ERR_clear_error();
  SSL_shutdown(session_);
}

} // namespace netlab::io
