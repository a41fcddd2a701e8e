#include "filter_partitions.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace netlab::dns {

record_partitions::record_partitions(std::string target) : target_(std::move(target)), partitions_(count) {
  void* memory =
      mmap(nullptr, count * block_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::uint8_t*>(memory);
}

record_partitions::~record_partitions() { munmap(memory_, count * block_size); }

result<void> record_partitions::spill(unsigned p) {
  if (!file_) {
    auto made = output_file::create_nameless(target_);
    if (!made) return tl::unexpected(made.error());
    file_.emplace(std::move(*made));
  }
  auto wrote = file_->write(std::uint64_t{next_block_} * block_size, {buffer(p), block_size});
  if (!wrote) return wrote;
  partitions_[p].blocks.push_back(next_block_++);
  partitions_[p].used = 0;
  return {};
}

result<void> record_partitions::add(const rule_record& record) {
  auto p = static_cast<unsigned>(record.hash >> (64 - bits));
  auto& mine = partitions_[p];
  if (mine.used == block_records)
    if (auto spilled = spill(p); !spilled) return spilled;
  auto* at = buffer(p) + mine.used * record_size;
  std::memcpy(at, &record.hash, 8);
  at[8] = record.list;
  at[9] = static_cast<std::uint8_t>(record.kind);
  ++mine.used;
  ++records_;
  return {};
}

std::uint64_t record_partitions::records_in(unsigned p) const {
  return partitions_[p].blocks.size() * block_records + partitions_[p].used;
}

result<void> record_partitions::load(unsigned p, std::vector<rule_record>& out) const {
  out.clear();
  out.reserve(records_in(p));
  auto take = [&](const std::uint8_t* block, std::size_t records) {
    for (std::size_t i = 0; i < records; ++i, block += record_size) {
      rule_record r;
      std::memcpy(&r.hash, block, 8);
      r.list = block[8];
      r.kind = static_cast<rule_kind>(block[9]);
      out.push_back(r);
    }
  };
  std::uint8_t block[block_size];
  for (auto number : partitions_[p].blocks) {
    if (auto got = file_->read(std::uint64_t{number} * block_size, block); !got) return got;
    take(block, block_records);
  }
  take(buffer(p), partitions_[p].used);
  return {};
}

} // namespace netlab::dns
