#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "filter_output.h"
#include "netlab/result.h"

namespace netlab::dns {

// What one list says of one name, to be joined with what others say.
enum class rule_kind : std::uint8_t { block, block_subtree, allow, allow_subtree };
struct rule_record {
  std::uint64_t hash = 0;
  std::uint8_t list = 0;
  rule_kind kind = rule_kind::block;
};

// Records sorted roughly, by the top bits of their hashes: each partition has a small buffer, and full ones
// go to a file without a name. Memory: 512 KiB whatever the number of records. One thread.
class record_partitions {
public:
  static constexpr unsigned bits = 7;
  static constexpr unsigned count = 1u << bits;

  // Spills beside `target` when it must.
  explicit record_partitions(std::string target);
  ~record_partitions();
  record_partitions(const record_partitions&) = delete;
  record_partitions& operator=(const record_partitions&) = delete;

  result<void> add(const rule_record& record);
  std::uint64_t records() const { return records_; }
  std::uint64_t records_in(unsigned partition) const;
  // The records of one partition, unsorted; may be asked again.
  result<void> load(unsigned partition, std::vector<rule_record>& out) const;

private:
  static constexpr std::size_t record_size = 10;
  static constexpr std::size_t block_records = 409;
  static constexpr std::size_t block_size = 4096; // 409 records of 10 octets

  struct partition {
    std::size_t used = 0;              // records in its buffer
    std::vector<std::uint32_t> blocks; // its blocks in the file, by number
  };
  std::uint8_t* buffer(unsigned p) const { return memory_ + p * block_size; }
  result<void> spill(unsigned p);

  std::string target_;
  std::uint8_t* memory_ = nullptr; // mapped, so that it goes back to the system whole
  std::vector<partition> partitions_;
  std::optional<output_file> file_;
  std::uint32_t next_block_ = 0;
  std::uint64_t records_ = 0;
};

} // namespace netlab::dns
