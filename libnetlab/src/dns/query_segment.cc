#include "query_segment.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "netlab/text.h"
#include "sip_state.h"

namespace netlab::dns {

namespace {

constexpr std::uint8_t block_mark[8] = {'N', 'L', 'q', 'u', 'e', 'r', 'y', '1'};
constexpr std::uint8_t no_key[16] = {};

std::uint64_t checksum(segment_block::kind what, byte_view payload) {
  sip_state<1, 3> state(no_key);
  state.absorb(static_cast<std::uint64_t>(what) << 32 | payload.size());
  state.absorb(state.absorb_words(payload));
  return state.value();
}

} // namespace

void put_block_head(std::uint8_t* out, segment_block::kind what, byte_view payload) {
  auto kind = static_cast<std::uint32_t>(what);
  auto size = static_cast<std::uint32_t>(payload.size());
  auto sum = checksum(what, payload);
  std::memcpy(out, block_mark, 8);
  std::memcpy(out + 8, &kind, 4);
  std::memcpy(out + 12, &size, 4);
  std::memcpy(out + 16, &sum, 8);
}

std::optional<segment_block> next_block(byte_view segment, std::size_t& at, bool& skipped) {
  for (;;) {
    auto rest = segment.subspan(at);
    if (rest.size() < block_head_size) return std::nullopt;
    if (std::memcmp(rest.data(), block_mark, 8) == 0) {
      std::uint32_t kind, size;
      std::uint64_t sum;
      std::memcpy(&kind, rest.data() + 8, 4);
      std::memcpy(&size, rest.data() + 12, 4);
      std::memcpy(&sum, rest.data() + 16, 8);
      bool known = kind == 1 || kind == 2;
      if (known && size <= max_block && size <= rest.size() - block_head_size) {
        auto payload = rest.subspan(block_head_size, size);
        auto what = static_cast<segment_block::kind>(kind);
        if (checksum(what, payload) == sum) {
          at += block_head_size + size;
          return segment_block{what, payload};
        }
      } else if (known && size <= max_block && !skipped) {
        return std::nullopt; // its end is not written yet
      }
    }
    skipped = true;
    auto found = std::search(rest.begin() + 1, rest.end(), std::begin(block_mark), std::end(block_mark));
    at += static_cast<std::size_t>(found - rest.begin());
  }
}

std::string names_payload(const query_log_names& names) {
  // Lines: "L 0 name", "P 1 name", "U 0 1 name". A line break in a name would begin another line.
  std::string out;
  auto line = [&](const std::string& head, const std::string& text) {
    if (text.empty()) return;
    out += head + " " + printable(text) + "\n";
  };
  for (std::size_t i = 0; i < names.lists.size(); ++i) line("L " + std::to_string(i), names.lists[i]);
  for (std::size_t i = 0; i < names.policies.size(); ++i) line("P " + std::to_string(i), names.policies[i]);
  for (std::size_t g = 0; g < names.upstreams.size(); ++g)
    for (std::size_t i = 0; i < names.upstreams[g].size(); ++i)
      line("U " + std::to_string(g) + " " + std::to_string(i), names.upstreams[g][i]);
  if (out.size() > max_block) out.resize(out.rfind('\n', max_block - 1) + 1);
  return out;
}

query_log_names parse_names_payload(byte_view payload) {
  query_log_names out;
  for (auto line : split(as_text(payload), '\n')) {
    if (line.size() < 4 || line[1] != ' ') continue;
    char kind = line[0];
    line.remove_prefix(2);
    auto number = [&]() -> std::optional<std::size_t> {
      std::size_t value = 0;
      auto parsed = std::from_chars(line.data(), line.data() + line.size(), value);
      if (parsed.ec != std::errc() || value > 255 || parsed.ptr == line.data() + line.size()) return {};
      line.remove_prefix(static_cast<std::size_t>(parsed.ptr - line.data()) + 1);
      return value;
    };
    auto first = number();
    if (!first) continue;
    auto put = [&](std::vector<std::string>& into, std::size_t i) {
      if (into.size() <= i) into.resize(i + 1);
      into[i] = line;
    };
    if (kind == 'L') put(out.lists, *first);
    if (kind == 'P') put(out.policies, *first);
    if (kind != 'U') continue;
    auto second = number();
    if (!second) continue;
    if (out.upstreams.size() <= *first) out.upstreams.resize(*first + 1);
    put(out.upstreams[*first], *second);
  }
  return out;
}

bool for_rows(byte_view payload, const std::function<bool(const query_row&, const std::uint8_t*)>& fn) {
  while (payload.size() >= sizeof(query_row)) {
    query_row head;
    std::memcpy(&head, payload.data(), sizeof head);
    bool whole = head.size <= payload.size() && head.size == row_size(head.client_size, head.name_size) &&
                 (head.client_size == 0 || head.client_size == 4 || head.client_size == 16);
    if (!whole || !fn(head, payload.data())) return false;
    payload = payload.subspan(head.size);
  }
  return payload.empty();
}

std::string segment_name(std::uint64_t number) {
  char text[40];
  std::snprintf(text, sizeof text, "queries-%08llu.log", static_cast<unsigned long long>(number));
  return text;
}

result<std::vector<segment_file>> list_segments(const std::string& folder) {
  auto* opened = ::opendir(folder.c_str());
  if (!opened) return system_fail(errno, folder, "dns.log");
  std::vector<segment_file> out;
  while (const auto* entry = ::readdir(opened)) {
    std::string_view name = entry->d_name;
    constexpr std::string_view prefix = "queries-", suffix = ".log";
    if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size())
      continue;
    auto digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    segment_file f;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), f.number);
    struct stat info {};
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() ||
        ::stat((folder + "/" + std::string(name)).c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      continue;
    f.bytes = static_cast<std::uint64_t>(info.st_size);
    f.modified = info.st_mtime;
    out.push_back(f);
  }
  ::closedir(opened);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return out;
}

} // namespace netlab::dns
