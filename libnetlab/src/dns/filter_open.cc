#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "filter_format.h"
#include "filter_hash.h"
#include "filter_tail.h"
#include "netlab/dns_name.h"

namespace netlab::dns {

namespace {

tl::unexpected<error> damaged(const std::string& path, const std::string& why) {
  return fail(errc::invalid, path + ": " + why, "dns.filter");
}

// A mapping and its file, which verify() reads.
struct mapped_file {
  int fd = -1;
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  mapped_file() = default;
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file() {
    if (data) munmap(const_cast<std::uint8_t*>(data), size);
    if (fd >= 0) close(fd);
  }
};

std::uint16_t first_list(list_mask lists) { return static_cast<std::uint16_t>(std::countr_zero(lists)); }

// Whether `[at, at + size)` lies in a file of `whole` octets behind the header.
bool within(std::uint64_t at, std::uint64_t size, std::uint64_t whole) {
  return at >= table_at && at % 8 == 0 && at <= whole && size <= whole - at;
}

class mapped_filter final : public compiled_filter {
public:
  mapped_filter(const filter_header& header, filter_tail tail, const filter_limits& limits)
      : header_(header), lists_(std::move(tail.lists)), regexes_(std::move(tail.regexes), limits) {}

  void attach() {
    table_ = reinterpret_cast<const std::uint64_t*>(file.data + table_at);
    classes_ = reinterpret_cast<const rule_class*>(file.data + header_.tail_at);
  }

  void expect(byte_view wire) const noexcept override {
    probes p;
    (void)p.find(*this, wire);
  }

  verdict match(byte_view wire, list_mask lists) const noexcept override {
    probes p;
    if (lists == 0 || !p.find(*this, wire)) return {};
    list_mask block = 0;
    // The nearest rule first: it is the one to name.
    for (unsigned i = p.count; i-- > 0;) {
      const auto* c = find_class(p.hash[i]);
      if (!c) continue;
      bool whole = i + 1 == p.count && p.last_is_whole;
      if (auto allow = (c->allow_subtree | (whole ? c->allow : 0)) & lists)
        return {filter_action::allow, first_list(allow)};
      if (block == 0) block = (c->block_subtree | (whole ? c->block : 0)) & lists;
    }
    verdict out;
    if (block != 0) out = {filter_action::block, first_list(block)};
    auto wanted = regexes_.allowing_lists() | (block != 0 ? 0 : regexes_.blocking_lists());
    if ((wanted & lists) == 0) return out;
    return match_regexes(wire, lists, out);
  }

  std::string list_name(std::uint16_t list) const override {
    return list < lists_.size() ? lists_[list].name : std::string();
  }
  std::uint64_t rules() const override { return header_.rules; }
  std::uint64_t names() const override { return header_.names; }
  std::uint64_t bytes() const override { return header_.file_size; }
  wall_time created() const override { return wall_time(std::chrono::seconds(header_.created)); }
  const sha256_digest& inputs() const override { return header_.inputs; }
  const std::vector<filter_list_info>& lists() const override { return lists_; }
  std::vector<matching_rule> explain(byte_view wire, list_mask lists) const override;
  result<void> verify() const override;
  void warm() const override;

  mapped_file file;

private:
  // The hashes of those suffixes of a name that some rule may name, shortest first.
  struct probes {
    std::uint64_t hash[127];
    std::uint8_t start[127];
    unsigned count = 0;
    bool last_is_whole = false;

    bool find(const mapped_filter& in, byte_view wire) {
      label_starts labels;
      if (!labels.find(wire)) return false;
      suffix_hash h(in.header_.seed.data());
      for (unsigned i = labels.count; i-- > 0;) {
        auto at = labels.at[i];
        h.add(wire.subspan(at, wire[at] + std::size_t{1}));
        auto depth = depth_bit(labels.count - i);
        auto kinds = in.header_.subtree_depths | (i == 0 ? in.header_.exact_depths : 0);
        if ((kinds & depth) == 0) continue;
        hash[count] = h.value();
        start[count] = at;
        // The lines are asked for together: a probe waits for memory, not for the one before it.
        __builtin_prefetch(in.table_ + home_bucket(hash[count], in.header_.home_buckets) * bucket_entries);
        ++count;
        last_is_whole = i == 0;
      }
      return true;
    }
  };

  // Null, or what the lists say of the name with this hash. The numbers come from a disk: a wrong one may
  // give a wrong answer, but not a read outside of the file.
  const rule_class* find_class(std::uint64_t hash) const {
    auto bucket = home_bucket(hash, header_.home_buckets);
    auto end = std::min(header_.buckets, bucket + header_.longest_run);
    auto bits = header_.class_bits;
    for (; bucket < end; ++bucket) {
      const auto* entry = table_ + bucket * bucket_entries;
      for (std::size_t i = 0; i < bucket_entries; ++i) {
        // Equal but for the class: the difference lies in the class's bits.
        if (((entry[i] ^ hash << bits) >> bits) != 0) continue;
        auto number = entry[i] & ~(~std::uint64_t{0} << bits);
        if (number == 0) continue; // an empty place
        return number < header_.classes ? classes_ + number : nullptr;
      }
      if (entry[bucket_entries - 1] == 0) return nullptr;
    }
    return nullptr;
  }

  verdict match_regexes(byte_view wire, list_mask lists, verdict so_far) const noexcept {
    char text[256];
    auto name = dotted(wire, text);
    try {
      regexes_.match(name, lists, [&](const regex_rule& r) {
        if (r.allow)
          so_far = {filter_action::allow, r.list};
        else if (so_far.action == filter_action::none)
          so_far = {filter_action::block, r.list};
      });
    } catch (const std::bad_alloc&) {
      // Without memory the expressions do not count; the names do.
    }
    return so_far;
  }

  static std::string_view dotted(byte_view wire, char* out) {
    std::size_t size = 0;
    for (std::size_t at = 0; at < wire.size() && wire[at] != 0;) {
      if (size > 0) out[size++] = '.';
      auto length = wire[at++];
      std::memcpy(out + size, wire.data() + at, length);
      size += length;
      at += length;
    }
    return {out, size};
  }

  filter_header header_;
  std::vector<filter_list_info> lists_;
  regex_rules regexes_;
  const std::uint64_t* table_ = nullptr;
  const rule_class* classes_ = nullptr;
};

std::vector<matching_rule> mapped_filter::explain(byte_view wire, list_mask lists) const {
  std::vector<matching_rule> out;
  probes p;
  if (!p.find(*this, wire)) return out;
  auto add = [&](list_mask of, filter_action action, const std::string& rule) {
    for (of &= lists; of != 0; of &= of - 1) out.push_back({first_list(of), action, rule});
  };
  for (unsigned i = p.count; i-- > 0;) {
    const auto* c = find_class(p.hash[i]);
    auto suffix = name::from_wire(wire.subspan(p.start[i]));
    if (!c || !suffix) continue;
    if (i + 1 == p.count && p.last_is_whole) {
      add(c->allow, filter_action::allow, suffix->to_string());
      add(c->block, filter_action::block, suffix->to_string());
    }
    add(c->allow_subtree, filter_action::allow, "*." + suffix->to_string());
    add(c->block_subtree, filter_action::block, "*." + suffix->to_string());
  }
  char text[256];
  regexes_.match(dotted(wire, text), lists, [&](const regex_rule& r) {
    out.push_back({r.list, r.allow ? filter_action::allow : filter_action::block, "/" + r.pattern + "/"});
  });
  std::stable_sort(out.begin(), out.end(), [](const matching_rule& a, const matching_rule& b) {
    return a.action == filter_action::allow && b.action != filter_action::allow;
  });
  return out;
}

result<void> mapped_filter::verify() const {
  byte_vector piece(64u << 10);
  sha256 hash;
  auto at = table_at, left = header_.buckets * bucket_size;
  while (left > 0) {
    auto n =
        pread(file.fd, piece.data(), std::min<std::uint64_t>(left, piece.size()), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_fail(n < 0 ? errno : EIO, "reading the compiled lists", "dns.filter");
    hash.update(byte_view(piece).first(static_cast<std::size_t>(n)));
    at += static_cast<std::uint64_t>(n);
    left -= static_cast<std::uint64_t>(n);
  }
  if (hash.finish() != header_.table_digest)
    return fail(errc::invalid, "the table of the compiled lists is damaged", "dns.filter");
  return {};
}

void mapped_filter::warm() const { madvise(const_cast<std::uint8_t*>(file.data), file.size, MADV_WILLNEED); }

result<void> check_header(const filter_header& h, std::uint64_t size, const std::string& path) {
  if (h.magic != filter_magic) return damaged(path, "it is no compiled list");
  if (h.version != filter_version || h.byte_order != filter_byte_order)
    return damaged(path, "it was compiled by another version or machine");
  if (digest_of(h) != h.header_digest) return damaged(path, "its header is damaged");
  // From here on only a file that was made to deceive can be wrong.
  if (h.file_size != size) return damaged(path, "it was cut short or added to");
  bool right = h.class_bits >= 8 && h.class_bits <= 32 && h.names <= max_filter_names &&
               h.buckets <= max_filter_names && h.home_buckets > 0 && h.home_buckets <= h.buckets &&
               within(table_at, h.buckets * bucket_size, size) && within(h.tail_at, h.tail_size, size) &&
               h.classes <= h.tail_size / sizeof(rule_class);
  if (!right) return damaged(path, "its header is damaged");
  return {};
}

result<std::shared_ptr<const compiled_filter>> open_mapped(const std::string& path,
                                                           const filter_limits& limits) {
  mapped_file file;
  file.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file.fd < 0) return system_fail(errno, path, "dns.filter");
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return system_fail(errno, path, "dns.filter");
  filter_header header;
  if (!S_ISREG(info.st_mode) || info.st_size < static_cast<off_t>(sizeof header))
    return damaged(path, "it is no compiled list");
  if (pread(file.fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header))
    return damaged(path, "its header cannot be read");
  if (auto ok = check_header(header, static_cast<std::uint64_t>(info.st_size), path); !ok)
    return tl::unexpected(ok.error());
  file.size = static_cast<std::size_t>(info.st_size);
  void* mapped = mmap(nullptr, file.size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (mapped == MAP_FAILED) return system_fail(errno, path, "dns.filter");
  file.data = static_cast<const std::uint8_t*>(mapped);

  byte_view tail_bytes(file.data + header.tail_at, header.tail_size);
  if (sha256_of(tail_bytes) != header.tail_digest) return damaged(path, "its tables are damaged");
  auto tail =
      read_tail(tail_bytes.subspan(header.classes * sizeof(rule_class)), header.lists, header.regexes);
  if (!tail) return damaged(path, tail.error().message);

  // Pages that were used once stay, where the system lets us have it: no answer waits for a slow card.
  mlock2(mapped, file.size, MLOCK_ONFAULT);
  auto out = std::make_shared<mapped_filter>(header, std::move(*tail), limits);
  std::swap(out->file.fd, file.fd);
  std::swap(out->file.data, file.data);
  std::swap(out->file.size, file.size);
  out->attach();
  return out;
}

} // namespace

result<std::shared_ptr<const compiled_filter>> open_filter(const std::string& path,
                                                           const filter_limits& limits) {
  try {
    return open_mapped(path, limits);
  } catch (const std::bad_alloc&) {
    return fail(errc::limit, path + ": there is not enough memory for its tables", "dns.filter");
  }
}

} // namespace netlab::dns
