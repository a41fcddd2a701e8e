#pragma once
#include <cstdint>
#include <string>

#include "netlab/http_client.h"
#include "netlab/result.h"

namespace netlab {

// What identifies one edition of a file at its source (RFC 9110 §8.8).
struct transfer_validators {
  std::string etag, last_modified;
  // For If-Range: a strong ETag, else the date (RFC 9110 §13.1.5). Empty: there is none.
  std::string strong() const;
};

// What is on disk before a request: the beginning of an earlier attempt, or nothing.
struct transfer_part {
  std::uint64_t bytes = 0;
  transfer_validators of;
  // The whole has a checksum, so that a beginning of another edition would be found out.
  bool checked = false;
  bool resumable() const { return bytes > 0 && (checked || !of.strong().empty()); }
};

// The request's fields: from where, and whether at all. `have` is the copy in place, asked about only when
// there is no part to go on with.
http_headers request_fields(const transfer_part& part, const transfer_validators& have);

// What the response's head means.
struct transfer_verdict {
  enum class action {
    append,    // the body goes behind the part
    begin,     // the body is the whole
    unchanged, // the copy in place is the source's
    complete,  // the part is the whole already
    ask_again, // without the part: the source has another edition
    refuse,    // `failure` says why
  };
  action what = action::refuse;
  std::uint64_t size = 0; // of the whole; 0: not told
  transfer_validators of;
  std::string failure;
};
transfer_verdict judge(int status, const http_headers& headers, const transfer_part& part);

} // namespace netlab
