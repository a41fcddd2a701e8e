#include "client_error.h"

#include <cerrno>

#include "netlab/text.h"

namespace netlab::http {

std::string describe_request(std::string_view method, std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  std::string out = printable(method.substr(0, 32)) + " ";
  auto scheme = url.find("://");
  if (scheme != std::string_view::npos) {
    auto start = scheme + 3;
    auto authority = url.substr(start, url.find('/', start) - start);
    auto at = authority.rfind('@');
    if (at != std::string_view::npos)
      return out + printable(url.substr(0, start)) + printable(url.substr(start + at + 1).substr(0, 300));
  }
  return out + printable(url.substr(0, 300));
}

error client_error(CURLcode code, const std::string& where, std::string_view detail, long os_error) {
  auto say = [&](errc c, std::string_view what) {
    return error{c, where + ": " + std::string(what), "http.client"};
  };
  std::string text = detail.empty() ? curl_easy_strerror(code) : printable(detail);
  auto mentions = [&](std::string_view word) { return to_lower(text).find(word) != std::string::npos; };
  switch (code) {
  case CURLE_URL_MALFORMAT: return say(errc::invalid, "the URL is malformed: " + text);
  case CURLE_UNSUPPORTED_PROTOCOL:
    return say(errc::unsupported, "only http and https URLs are spoken: " + text);
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
    return say(errc::not_found,
               "the name does not resolve (" + text + "); check the name and this machine's DNS");
  case CURLE_COULDNT_CONNECT:
    if (os_error == ECONNREFUSED)
      return say(errc::refused, "connection refused: nothing listens there (" + text + ")");
    if (os_error == ENETUNREACH || os_error == EHOSTUNREACH || os_error == EADDRNOTAVAIL)
      return say(errc::unreachable, "no route to the host (" + text + ")");
    if (os_error == ETIMEDOUT) return say(errc::timeout, "the host does not answer (" + text + ")");
    return say(errc::unreachable, "no connection: " + text);
  case CURLE_OPERATION_TIMEDOUT: return say(errc::timeout, "timed out: " + text);
  case CURLE_PEER_FAILED_VERIFICATION:
    if (mentions("expired"))
      return say(errc::denied,
                 "the server's certificate has expired, or this machine's clock is wrong: " + text);
    if (mentions("not yet valid"))
      return say(errc::denied,
                 "the server's certificate is not valid yet; is this machine's clock right? " + text);
    if (mentions("subject name") || mentions("does not match"))
      return say(errc::denied, "the server's certificate is for another name: " + text);
    return say(errc::denied, "the server's certificate is not trusted: " + text +
                                 "; give its CA with ca_file if it is your own");
  case CURLE_SSL_CACERT_BADFILE:
    return say(errc::not_found, "the CA bundle cannot be read: " + text + "; is ca-certificates installed?");
  case CURLE_SSL_CONNECT_ERROR: return say(errc::protocol, "the TLS handshake failed: " + text);
  case CURLE_TOO_MANY_REDIRECTS: return say(errc::limit, "too many redirects: " + text);
  case CURLE_FILESIZE_EXCEEDED: return say(errc::limit, "the body is larger than the limit");
  case CURLE_GOT_NOTHING: return say(errc::closed, "the server closed the connection without an answer");
  case CURLE_PARTIAL_FILE:
    return say(errc::closed, "the connection ended in the middle of the body: " + text);
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR: return say(errc::closed, "the connection broke: " + text);
  case CURLE_HTTP2:
  case CURLE_HTTP2_STREAM:
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_BAD_CONTENT_ENCODING:
    return say(errc::protocol, "the server does not speak HTTP properly: " + text);
  case CURLE_OUT_OF_MEMORY: return say(errc::limit, "out of memory");
  default: return say(errc::io, text);
  }
}

} // namespace netlab::http
