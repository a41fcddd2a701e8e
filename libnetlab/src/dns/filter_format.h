#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "netlab/digest.h"

// The compiled rules as they lie on disk and are mapped. In the machine's byte order: the file belongs to the
// machine that wrote it, and one that does not fit is compiled again.
//
//   header   one page
//   table    buckets of eight entries (u64), a cache line each; an entry is hash << class_bits | class, 0 is
//   none tail     classes (rule_class), lists and regular expressions (network order, see filter_tail.h)
//
// A name's bucket is the top of its hash times the number of buckets; what does not fit there stands in the
// next ones, and a bucket with room ends the search. Four entries of five are used, so that a probe reads
// little more than one line. The entry keeps the hash's low 64 - class_bits bits and its bucket tells the top
// ones: with 2^16 classes and from 500,000 names on, that is the whole 64-bit hash. A name that no list has
// is then taken for one of n with a chance of n / 2^64 a suffix: with 1,000,000 names and four suffixes, once
// in 4.6e12 names. With fewer names it is 8 / 2^48, once in 8.8e12.
namespace netlab::dns {

inline constexpr std::array<char, 8> filter_magic = {'N', 'L', 'F', 'I', 'L', 'T', 'E', 'R'};
inline constexpr std::uint32_t filter_version = 1;
inline constexpr std::uint32_t filter_byte_order = 0x01020304;
inline constexpr std::uint64_t max_filter_names = std::uint64_t{1} << 31;
inline constexpr std::size_t bucket_entries = 8;
inline constexpr std::size_t bucket_size = bucket_entries * sizeof(std::uint64_t);
inline constexpr std::uint64_t table_at =
    4096; // the table begins with a page, so that buckets are cache lines

// Which lists say what about a name. Class 0 is nobody's, so that an entry is never 0.
struct rule_class {
  std::uint64_t block = 0;         // lists that block the name alone
  std::uint64_t block_subtree = 0; // and everything below it
  std::uint64_t allow = 0;
  std::uint64_t allow_subtree = 0;
  friend bool operator==(const rule_class&, const rule_class&) = default;
};

struct filter_header {
  std::array<char, 8> magic = filter_magic;
  std::uint32_t version = filter_version;
  std::uint32_t byte_order = filter_byte_order;
  std::uint64_t file_size = 0;
  std::int64_t created = 0; // seconds since the epoch
  std::array<std::uint8_t, 16> seed{};
  sha256_digest inputs{}; // the caller's: what the file was compiled from
  std::uint64_t names = 0;
  std::uint64_t rules = 0;        // of all lists, before equal ones were joined
  std::uint64_t home_buckets = 0; // that hashes lead to
  std::uint64_t buckets = 0;      // with those behind them that took what did not fit
  std::uint64_t longest_run = 0;  // buckets that a search reads at most
  std::uint64_t tail_at = 0, tail_size = 0;
  std::uint32_t class_bits = 0, classes = 0, lists = 0, regexes = 0;
  // Bit d: some rule names a suffix of d labels (63: or more), for itself or for everything below it.
  std::uint64_t exact_depths = 0, subtree_depths = 0;
  sha256_digest table_digest{}, tail_digest{};
  sha256_digest header_digest{}; // of this header with zeros here
};
static_assert(sizeof(rule_class) == 32 && sizeof(filter_header) <= table_at);

// Grows with the hash.
inline std::uint64_t home_bucket(std::uint64_t hash, std::uint64_t home_buckets) {
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(hash) * home_buckets >> 64);
}

inline std::uint64_t depth_bit(unsigned labels) { return std::uint64_t{1} << (labels < 63 ? labels : 63); }

// The digest that header_digest must hold.
sha256_digest digest_of(filter_header header);

} // namespace netlab::dns
