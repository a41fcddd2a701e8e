#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "netlab/bytes.h"

namespace netlab::dns {

// Which of a set's lists count for somebody: bit i stands for list i. A set has at most 64 lists.
using list_mask = std::uint64_t;
inline constexpr list_mask all_lists = ~list_mask{0};

enum class filter_action : std::uint8_t {
  none,  // no rule names it
  block, // a rule blocks it
  allow, // a rule excepts it from every other: allow lists, "@@"
};

struct verdict {
  filter_action action = filter_action::none;
  std::uint16_t list = 0; // whose rule decided, when one did
  friend bool operator==(const verdict&, const verdict&) = default;
};

// A compiled set of rules. Immutable: any number of threads ask it at once, and a changed one is a new
// object that takes its place. How it is stored (a mapped file, a table) is its own business.
class filter_set {
public:
  virtual ~filter_set() = default;
  // `wire` is a whole uncompressed name in lower case (dns_name.h). Rules of lists outside `lists` do not
  // count. An allow rule wins over every block rule. Called for names of queries and of CNAME targets, so it
  // must not allocate or touch a disk that may be slow.
  virtual verdict match(byte_view wire, list_mask lists) const noexcept = 0;
  // match() will be asked about this name in a moment: what it will read is fetched meanwhile.
  virtual void expect(byte_view wire) const noexcept { (void)wire; }
  // What the recipe calls the list: its file or URL.
  virtual std::string list_name(std::uint16_t list) const = 0;
  virtual std::uint64_t rules() const = 0;
};

} // namespace netlab::dns
