#pragma once
#include <string>

#include "netlab/bytes.h"

namespace netlab::tftp {

// Our text as netascii (RFC 1350 §1, RFC 764): LF goes out as CR LF, CR as CR NUL.
class netascii_encoder {
public:
  // Writes to `out` until it is full or `in` is used up; moves both past what was used.
  void convert(byte_view& in, byte_span& out);
  // A second byte still waits to be written.
  bool pending() const { return pending_ >= 0; }

private:
  int pending_ = -1;
};

// The other way round. A CR before anything else is kept, as is one at the very end.
class netascii_decoder {
public:
  void convert(byte_view in, std::string& out);
  void finish(std::string& out);

private:
  bool after_cr_ = false;
};

} // namespace netlab::tftp
