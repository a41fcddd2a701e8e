#include "netlab/result.h"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace netlab {

std::string_view to_string(errc code) {
  switch (code) {
  case errc::invalid: return "invalid";
  case errc::not_found: return "not_found";
  case errc::exists: return "exists";
  case errc::denied: return "denied";
  case errc::refused: return "refused";
  case errc::unreachable: return "unreachable";
  case errc::timeout: return "timeout";
  case errc::closed: return "closed";
  case errc::cancelled: return "cancelled";
  case errc::limit: return "limit";
  case errc::conflict: return "conflict";
  case errc::protocol: return "protocol";
  case errc::unsupported: return "unsupported";
  case errc::busy: return "busy";
  case errc::io: return "io";
  }
  return "io";
}

namespace {
errc code_of(int errno_value) {
  switch (errno_value) {
  case ENOENT:
  case ENOTDIR:
  case ENODEV: return errc::not_found;
  case EEXIST:
  case EADDRINUSE: return errc::exists;
  case EACCES:
  case EPERM:
  case EROFS: return errc::denied;
  case ECONNREFUSED: return errc::refused;
  case ENETUNREACH:
  case EHOSTUNREACH:
  case EADDRNOTAVAIL:
  case ENETDOWN: return errc::unreachable;
  case ETIMEDOUT: return errc::timeout;
  case EPIPE:
  case ECONNRESET: return errc::closed;
  case EINVAL: return errc::invalid;
  case EMFILE:
  case ENFILE:
  case ENOSPC:
  case EDQUOT: return errc::limit;
  default: return errc::io;
  }
}
} // namespace

error system_error(int errno_value, std::string_view what, std::string_view op) {
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(errno_value);
  return error{code_of(errno_value), std::move(text), std::string(op)};
}

} // namespace netlab
