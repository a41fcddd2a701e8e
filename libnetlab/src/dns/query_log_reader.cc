#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "netlab/dns_message.h"
#include "netlab/net.h"
#include "netlab/text.h"
#include "query_segment.h"

// Reading a query log: whoever may read the folder, with or without the server that writes it.

namespace netlab::dns {

namespace {

std::string client_text(byte_view bytes) {
  if (bytes.size() == 4) return ip_address::v4(bytes[0], bytes[1], bytes[2], bytes[3]).to_string();
  if (bytes.size() != 16) return {};
  std::array<std::uint8_t, 16> raw;
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return ip_address::v6(raw).to_string();
}

logged_query row_of(const query_row& head, const std::uint8_t* row, const query_log_names& names) {
  logged_query out;
  out.at = wall_time{duration{head.at}};
  out.took = std::chrono::microseconds(head.took);
  out.outcome = static_cast<query_outcome>(head.outcome);
  out.stream = head.stream != 0;
  out.type = head.type;
  out.rcode = head.rcode;
  if (auto n = name::from_wire(name_of(head, row))) out.name = n->to_string();
  out.client = client_text(client_of(head, row));
  auto named = [](const std::vector<std::string>& all, std::size_t i) {
    return i < all.size() ? all[i] : std::string();
  };
  if (head.list != no_list) out.list = named(names.lists, head.list);
  out.policy = named(names.policies, head.policy);
  if (head.upstream != no_upstream && head.group < names.upstreams.size())
    out.upstream = named(names.upstreams[head.group], head.upstream);
  return out;
}

result<std::string> read_segment(const std::string& path) {
  auto file = open_file::open(path);
  if (!file) return tl::unexpected(file.error());
  std::string out((*file)->size(), '\0');
  auto got = (*file)->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  if (!got) return tl::unexpected(got.error());
  out.resize(*got);
  return out;
}

} // namespace

result<log_reading> read_query_log(const std::string& folder, const log_position& from,
                                   const std::function<bool(const logged_query&)>& fn) {
  auto segments = list_segments(folder);
  if (!segments) return tl::unexpected(segments.error());
  log_reading out;
  out.end = from;
  for (const auto& s : *segments) {
    if (s.number < from.segment) continue;
    auto text = read_segment(folder + "/" + segment_name(s.number));
    if (!text) {
      if (text.error().code == errc::not_found) continue; // it has just gone, being the oldest
      return tl::unexpected(text.error());
    }
    auto bytes = as_bytes(*text);
    query_log_names names;
    std::size_t at = 0;
    auto begin = s.number == from.segment ? from.offset : 0;
    for (;;) {
      bool skipped = false;
      auto before = at;
      auto block = next_block(bytes, at, skipped);
      if (skipped && before >= begin) ++out.damaged;
      if (!block) break;
      if (block->what == segment_block::kind::names) {
        names = parse_names_payload(block->payload);
        continue;
      }
      if (before < begin) continue;
      bool stopped = false;
      for_rows(block->payload, [&](const query_row& head, const std::uint8_t* row) {
        stopped = !fn(row_of(head, row, names));
        return !stopped;
      });
      if (!stopped) continue;
      out.end = {s.number, at};
      return out;
    }
    out.end = {s.number, at};
  }
  return out;
}

result<log_position> last_of_query_log(const std::string& folder, std::uint64_t bytes) {
  auto segments = list_segments(folder);
  if (!segments) return tl::unexpected(segments.error());
  log_position out;
  for (auto s = segments->rbegin(); s != segments->rend(); ++s) {
    out = {s->number, s->bytes > bytes ? s->bytes - bytes : 0};
    if (s->bytes >= bytes) break;
    bytes -= s->bytes;
  }
  return out;
}

} // namespace netlab::dns
