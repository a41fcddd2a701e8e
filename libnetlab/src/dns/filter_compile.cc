#include <algorithm>
#include <bit>
#include <deque>
#include <new>
#include <unordered_map>

#include "filter_format.h"
#include "filter_hash.h"
#include "filter_output.h"
#include "filter_partitions.h"
#include "filter_reader.h"
#include "filter_tail.h"

namespace netlab::dns {

namespace {

// The rules of all lists on their way into the partitions.
class collector final : public rule_sink {
public:
  collector(const compile_options& options, const std::uint8_t* seed)
      : limits_(options.limits), seed_(seed), records_(options.path) {}

  void on_name(byte_view wire, bool allow, bool subtree) override {
    if (failed_) return;
    if (records_.records() >= limits_.rules) {
      failed_ = error{errc::limit, "the lists have more than " + std::to_string(limits_.rules) + " rules",
                      "dns.filter"};
      return;
    }
    label_starts labels;
    if (!labels.find(wire)) return;
    suffix_hash hash(seed_);
    for (unsigned i = labels.count; i-- > 0;)
      hash.add(wire.subspan(labels.at[i], wire[labels.at[i]] + std::size_t{1}));
    (subtree ? subtree_depths : exact_depths) |= depth_bit(labels.count);
    auto kind = allow     ? subtree ? rule_kind::allow_subtree : rule_kind::allow
                : subtree ? rule_kind::block_subtree
                          : rule_kind::block;
    if (auto added = records_.add({hash.value(), list, kind}); !added) failed_ = added.error();
  }

  const char* on_regex(std::string_view pattern, bool allow) override {
    if (regexes.size() >= limits_.regexes) return "there are too many expressions";
    if (const char* why = regex_problem(pattern, limits_)) return why;
    regexes.push_back({std::string(pattern), list, allow});
    return nullptr;
  }

  const std::optional<error>& failed() const { return failed_; }
  const record_partitions& records() const { return records_; }

  std::uint8_t list = 0; // whose rules are coming
  std::vector<regex_rule> regexes;
  std::uint64_t exact_depths = 0, subtree_depths = 0;

private:
  const filter_limits& limits_;
  const std::uint8_t* seed_;
  record_partitions records_;
  std::optional<error> failed_;
};

struct class_hash {
  std::size_t operator()(const rule_class& c) const {
    std::uint64_t h = c.block * 0x9e3779b97f4a7c15ull;
    h = (h ^ std::rotl(c.block_subtree, 17)) * 0xff51afd7ed558ccdull;
    h = (h ^ std::rotl(c.allow, 31)) * 0xc4ceb9fe1a85ec53ull;
    return (h ^ std::rotl(c.allow_subtree, 47) ^ h >> 29) * 0x9e3779b97f4a7c15ull;
  }
};

// The few combinations of lists that names have, numbered.
class class_table {
public:
  class_table() { all_.push_back({}); }
  std::uint64_t number(const rule_class& c) {
    // Neighbours in a list often say the same.
    if (!all_.empty() && last_ < all_.size() && all_[last_] == c) return last_;
    auto [at, is_new] = numbers_.try_emplace(c, all_.size());
    if (is_new) all_.push_back(c);
    return last_ = at->second;
  }
  const std::vector<rule_class>& all() const { return all_; }

private:
  std::vector<rule_class> all_;
  std::unordered_map<rule_class, std::uint64_t, class_hash> numbers_;
  std::uint64_t last_ = 0;
};

void join(rule_class& into, const rule_record& r) {
  auto bit = std::uint64_t{1} << r.list;
  switch (r.kind) {
  case rule_kind::block: into.block |= bit; return;
  case rule_kind::block_subtree: into.block_subtree |= bit; return;
  case rule_kind::allow: into.allow |= bit; return;
  case rule_kind::allow_subtree: into.allow_subtree |= bit; return;
  }
}

void sort_records(std::vector<rule_record>& records) {
  std::sort(records.begin(), records.end(),
            [](const rule_record& a, const rule_record& b) { return a.hash < b.hash; });
}

// How many names there will be, to choose the size of the index: hashes are even, so that one partition
// tells of the others.
result<std::uint64_t> estimate_names(const record_partitions& records, std::vector<rule_record>& room) {
  if (records.records() < 65536) return records.records();
  if (auto loaded = records.load(0, room); !loaded) return tl::unexpected(loaded.error());
  sort_records(room);
  std::uint64_t distinct = 0;
  for (std::size_t i = 0; i < room.size(); ++i) distinct += i == 0 || room[i].hash != room[i - 1].hash;
  return distinct * record_partitions::count;
}

struct too_many_classes {};

// Fills buckets one after the other with entries that come in the order of their hashes.
class table_writer {
public:
  table_writer(output_file& file, std::uint64_t home_buckets)
      : out_(file, table_at), home_buckets_(home_buckets) {}

  result<void> add(std::uint64_t hash, std::uint64_t entry) {
    auto home = home_bucket(hash, home_buckets_);
    while (bucket_ < home)
      if (auto put = end_bucket(); !put) return put;
    waiting_.push_back({home, entry});
    return {};
  }
  result<void> finish(filter_header& header) {
    while (bucket_ < home_buckets_ || !waiting_.empty())
      if (auto put = end_bucket(); !put) return put;
    header.buckets = bucket_;
    header.longest_run = longest_run_;
    header.tail_at = out_.position();
    auto digest = out_.finish();
    if (!digest) return tl::unexpected(digest.error());
    header.table_digest = *digest;
    return {};
  }

private:
  struct waiting {
    std::uint64_t home, entry;
  };
  result<void> end_bucket() {
    std::uint64_t entries[bucket_entries] = {};
    for (std::size_t i = 0; i < bucket_entries && !waiting_.empty(); ++i) {
      longest_run_ = std::max(longest_run_, bucket_ - waiting_.front().home + 1);
      entries[i] = waiting_.front().entry;
      waiting_.pop_front();
    }
    ++bucket_;
    return out_.add({reinterpret_cast<const std::uint8_t*>(entries), sizeof entries});
  }
  section_writer out_;
  std::uint64_t home_buckets_, bucket_ = 0, longest_run_ = 1;
  std::deque<waiting> waiting_; // for the bucket at hand; those first that have waited longest
};

// Throws too_many_classes when class_bits do not do.
result<void> write_table(output_file& file, const record_partitions& records, std::vector<rule_record>& room,
                         const compile_options& options, filter_header& header, class_table& classes) {
  table_writer table(file, header.home_buckets);
  header.names = 0;
  for (unsigned p = 0; p < record_partitions::count; ++p) {
    if (options.stop && options.stop->load(std::memory_order_relaxed))
      return fail(errc::cancelled, "compiling the lists was given up", "dns.filter");
    if (auto loaded = records.load(p, room); !loaded) return loaded;
    sort_records(room);
    for (std::size_t i = 0; i < room.size();) {
      rule_class joined;
      auto hash = room[i].hash;
      for (; i < room.size() && room[i].hash == hash; ++i) join(joined, room[i]);
      auto number = classes.number(joined);
      if (number >> header.class_bits != 0) throw too_many_classes();
      if (++header.names > max_filter_names)
        return fail(errc::limit, "the lists have too many names", "dns.filter");
      if (auto put = table.add(hash, hash << header.class_bits | number); !put) return put;
    }
  }
  return table.finish(header);
}

result<void> write_file(output_file& file, const collector& rules, const filter_tail& tail,
                        const compile_options& options, filter_header& header) {
  std::vector<rule_record> room;
  auto estimate = estimate_names(rules.records(), room);
  if (!estimate) return tl::unexpected(estimate.error());
  header.home_buckets = *estimate * 5 / (4 * bucket_entries) + 1;
  // Most sets of lists have a few hundred combinations; more class bits cost bits of the hash.
  for (std::uint32_t class_bits : {16u, 20u, 24u}) {
    header.class_bits = class_bits;
    class_table classes;
    try {
      if (auto wrote = write_table(file, rules.records(), room, options, header, classes); !wrote)
        return wrote;
    } catch (const too_many_classes&) {
      continue;
    }
    section_writer out(file, header.tail_at);
    byte_view raw(reinterpret_cast<const std::uint8_t*>(classes.all().data()),
                  classes.all().size() * sizeof(rule_class));
    if (auto put = out.add(raw); !put) return put;
    if (auto put = out.add(write_tail(tail)); !put) return put;
    header.classes = static_cast<std::uint32_t>(classes.all().size());
    header.file_size = out.position();
    header.tail_size = header.file_size - header.tail_at;
    auto digest = out.finish();
    if (!digest) return tl::unexpected(digest.error());
    header.tail_digest = *digest;
    header.header_digest = digest_of(header);
    return file.write(0, {reinterpret_cast<const std::uint8_t*>(&header), sizeof header});
  }
  return fail(errc::limit, "the lists overlap in too many ways; give fewer lists", "dns.filter");
}

result<compile_report> compile(const std::vector<filter_source>& sources, const compile_options& options,
                               random_source& random) {
  if (sources.empty() || sources.size() > 64)
    return fail(errc::invalid, "a set has 1 to 64 lists, not " + std::to_string(sources.size()),
                "dns.filter");
  filter_header header;
  random.fill(header.seed);
  header.inputs = options.inputs;
  header.created = std::chrono::floor<std::chrono::seconds>(options.now).time_since_epoch().count();
  header.lists = static_cast<std::uint32_t>(sources.size());

  collector rules(options, header.seed.data());
  compile_report report;
  filter_tail tail;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    rules.list = static_cast<std::uint8_t>(i);
    auto read = read_list(sources[i], options.limits, rules, options.stop);
    if (!read) return tl::unexpected(read.error());
    if (rules.failed()) return tl::unexpected(*rules.failed());
    tail.lists.push_back({sources[i].name, sources[i].allow, read->rules});
    report.rules += read->rules;
    report.lists.push_back(std::move(*read));
  }
  tail.regexes = rules.regexes;
  header.rules = report.rules;
  header.regexes = static_cast<std::uint32_t>(tail.regexes.size());
  header.exact_depths = rules.exact_depths;
  header.subtree_depths = rules.subtree_depths;

  auto file = output_file::create(options.path);
  if (!file) return tl::unexpected(file.error());
  if (auto wrote = write_file(*file, rules, tail, options, header); !wrote)
    return tl::unexpected(wrote.error());
  if (auto put = file->put_in_place(); !put) return tl::unexpected(put.error());
  report.names = header.names;
  report.regexes = header.regexes;
  report.bytes = header.file_size;
  return report;
}

} // namespace

result<compile_report> compile_filter(const std::vector<filter_source>& sources,
                                      const compile_options& options, random_source& random) {
  try {
    return compile(sources, options, random);
  } catch (const std::bad_alloc&) {
    return fail(errc::limit, "there is not enough memory to compile the lists", "dns.filter");
  }
}

} // namespace netlab::dns
