// Any bytes as a lease journal: header, scan with resynchronisation, decoding. The input's records are
// also sealed with a right checksum, so that the decoder behind the checksum is reached.
#include <cstdint>
#include <cstdlib>

#include "store/journal_format.h"

using namespace netlab;

namespace {

void scan(byte_view file, std::uint64_t secret) {
  auto read = [&](std::uint64_t offset, byte_span out) -> result<std::size_t> {
    auto n = offset < file.size() ? std::min<std::size_t>(out.size(), file.size() - offset) : 0;
    std::copy_n(file.data() + std::min<std::size_t>(offset, file.size()), n, out.data());
    return n;
  };
  auto begin = std::min(file.size(), journal::header_size);
  journal::scanner scanner(read, secret, begin, file.size());
  std::uint64_t end = begin;
  for (;;) {
    auto next = scanner.next();
    if (!next || !*next) break;
    if ((*next)->offset < end || (*next)->bytes.empty()) std::abort(); // it must move on
    end = (*next)->offset + (*next)->bytes.size();
    if (end > file.size() || scanner.good_end() != end) std::abort();
    auto record = journal::read_record((*next)->bytes);
    if (!record || record->what != journal::record::kind::lease) continue;
    // What was read can be written and comes back the same.
    byte_vector again;
    if (!journal::write_lease(again, secret, 64, record->lease, record->written)) continue;
    if (journal::check_record(again, secret, 64) != again.size()) std::abort();
    auto copy = journal::read_record(again);
    if (!copy || copy->lease.client != record->lease.client || copy->lease.version != record->lease.version)
      std::abort();
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view input(data, size);
  auto header = journal::read_header(input.first(std::min(size, journal::header_size)), size);
  scan(input, header.secret);

  byte_vector sealed;
  journal::write_header(sealed, 7);
  for (std::size_t at = 0; at < size;) {
    auto length = std::min<std::size_t>({size - at, std::size_t{1} + data[at], journal::max_payload});
    auto offset = sealed.size();
    sealed.insert(sealed.end(), {0x4c, 0x52, static_cast<std::uint8_t>(length >> 8),
                                 static_cast<std::uint8_t>(length), 0, 0, 0, 0});
    sealed.insert(sealed.end(), data + at, data + at + length);
    sealed.resize((sealed.size() + journal::alignment - 1) / journal::alignment * journal::alignment);
    std::uint8_t seed[16];
    byte_writer w(seed);
    w.u64(7);
    w.u64(offset);
    byte_view record = byte_view(sealed).subspan(offset);
    auto crc = journal::crc32c(record.subspan(8), journal::crc32c(record.first(4), journal::crc32c(seed)));
    for (std::size_t i = 0; i < 4; ++i)
      sealed[offset + 4 + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
    if (journal::check_record(byte_view(sealed).subspan(offset), 7, offset) == 0) std::abort();
    at += length;
  }
  scan(sealed, 7);
  return 0;
}
