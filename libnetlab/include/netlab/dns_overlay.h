#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dns_filter.h"
#include "netlab/dns_name.h"
#include "netlab/dns_names.h"
#include "netlab/result.h"

namespace netlab::dns {

// What an operator changed at run time: a name that is allowed or blocked with everything below it, or no
// blocking at all. It has an origin, and an end unless the operator wanted none.
struct overlay {
  enum class kind : std::uint8_t { allow, block, pause } what = kind::allow;
  name target;        // of allow and block
  std::string origin; // who, as the command told it
  wall_time made{};
  std::optional<wall_time> expires; // none: until it is taken back
};
std::string_view to_string(overlay::kind what); // "allow"

// The stored form: JSON, replaced whole. A record that is not understood is left out and counted.
std::string write_overlays(const std::vector<overlay>& all);
struct read_overlays_result {
  std::vector<overlay> all;
  std::size_t refused = 0;
};
result<read_overlays_result> read_overlays(std::string_view text);

// The numbers under which an operator's rules appear in verdicts, behind those of lists.
inline constexpr std::uint16_t operator_allow_list = 64, operator_block_list = 65;

// Lists with an operator's rules before them: the most specific of those decides; where none names a name,
// the lists do. Immutable; any thread.
class overlaid_filter final : public filter_set {
public:
  // `base` may be null.
  overlaid_filter(std::shared_ptr<const filter_set> base, const std::vector<overlay>& all);
  verdict match(byte_view wire, list_mask lists) const noexcept override;
  void expect(byte_view wire) const noexcept override {
    if (base_) base_->expect(wire);
  }
  std::string list_name(std::uint16_t list) const override;
  std::uint64_t rules() const override { return rules_.size() + (base_ ? base_->rules() : 0); }
  // The operator's rule that decides for a name, if any.
  std::optional<std::pair<name, filter_action>> deciding(const name& lower) const;

private:
  std::shared_ptr<const filter_set> base_;
  std::unordered_map<std::string, filter_action, wire_hash, std::equal_to<>> rules_; // by wire name
};

} // namespace netlab::dns
