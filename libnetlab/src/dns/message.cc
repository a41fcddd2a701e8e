#include "netlab/dns_message.h"

#include "message_writer.h"

namespace netlab::dns {

namespace {

constexpr std::size_t least_record = 11;  // root owner, type, class, TTL, empty RDATA
constexpr std::size_t least_question = 5; // root, type, class
constexpr std::size_t max_edns_options = 100;

tl::unexpected<error> bad(const char* why) { return fail(errc::protocol, why, "dns.decode"); }

bool read_options(byte_view data, std::vector<edns_option>& out) {
  byte_reader r(data);
  while (r.remaining() > 0) {
    edns_option o;
    o.code = r.u16();
    auto bytes = r.bytes(r.u16());
    if (r.failed() || out.size() == max_edns_options) return false;
    o.data.assign(bytes.begin(), bytes.end());
    out.push_back(std::move(o));
  }
  return true;
}

} // namespace

result<message> decode(byte_view bytes) {
  if (bytes.size() < header_size) return bad("the message is shorter than its header");
  if (bytes.size() > max_message) return bad("the message is longer than 65535 bytes");
  message out;
  out.id = get16(bytes.data());
  auto word = get16(bytes.data() + 2);
  out.flags = static_cast<std::uint16_t>(word & ~flag::rcode_mask);
  out.rcode = word & flag::rcode_mask;
  std::size_t counts[4];
  for (std::size_t i = 0; i < 4; ++i) counts[i] = get16(bytes.data() + 4 + 2 * i);
  std::size_t at = header_size;
  // Counts that cannot be true are refused before anything is reserved for them.
  if (counts[0] * least_question + (counts[1] + counts[2] + counts[3]) * least_record > bytes.size() - at)
    return bad("a count is larger than the message");
  for (std::size_t i = 0; i < counts[0]; ++i) {
    question q;
    if (!name_reader::read(bytes, at, q.qname)) return bad("the question's name is malformed");
    if (bytes.size() - at < 4) return bad("the question is cut off");
    q.type = get16(bytes.data() + at);
    q.klass = get16(bytes.data() + at + 2);
    at += 4;
    out.questions.push_back(q);
  }
  std::vector<record>* sections[] = {&out.answers, &out.authorities, &out.additionals};
  for (std::size_t s = 0; s < 3; ++s) {
    sections[s]->reserve(counts[s + 1]);
    for (std::size_t i = 0; i < counts[s + 1]; ++i) {
      record r;
      if (!name_reader::read(bytes, at, r.owner)) return bad("a record's name is malformed");
      if (bytes.size() - at < 10) return bad("a record is cut off");
      r.type = get16(bytes.data() + at);
      r.klass = get16(bytes.data() + at + 2);
      r.ttl = get32(bytes.data() + at + 4);
      std::size_t length = get16(bytes.data() + at + 8);
      at += 10;
      if (length > bytes.size() - at) return bad("a record is longer than the message");
      if (r.type == rtype::opt) {
        if (s != 2 || out.opt) return bad("a second or misplaced OPT record");
        if (!r.owner.is_root()) return bad("the OPT record's name is not the root");
        edns e;
        e.udp_size = r.klass;
        e.version = static_cast<std::uint8_t>(r.ttl >> 16);
        e.dnssec_ok = (r.ttl & 0x8000) != 0;
        if (!read_options(bytes.subspan(at, length), e.options)) return bad("an EDNS option is malformed");
        out.rcode = static_cast<std::uint16_t>(out.rcode | (r.ttl >> 24) << 4);
        out.opt = std::move(e);
      } else {
        if (!read_rdata(bytes, at, length, r.type, r.data)) return bad("a record's data is malformed");
        if (r.ttl > 0x7fffffff) r.ttl = 0; // RFC 2181 §8
        sections[s]->push_back(std::move(r));
      }
      at += length;
    }
  }
  if (at != bytes.size()) return bad("bytes follow the last record");
  return out;
}

byte_vector encode(const message& value, std::size_t limit) {
  byte_vector out(std::max(header_size, std::min(limit, max_message)));
  message_writer w(out);
  std::size_t opt_size = 0;
  if (value.opt) {
    opt_size = 11;
    for (const auto& o : value.opt->options) opt_size += 4 + o.data.size();
    w.keep_free(opt_size);
  }
  bool cut = false;
  for (const auto& q : value.questions) cut = cut || !w.question(q.qname, q.type, q.klass);
  using section = message_writer::section;
  for (const auto& r : value.answers) cut = cut || !w.add(section::answer, r);
  for (const auto& r : value.authorities) cut = cut || !w.add(section::authority, r);
  // The last section is a help, not a promise: what does not fit is left out without a word.
  bool full = cut;
  for (const auto& r : value.additionals) full = full || !w.add(section::additional, r);
  if (value.opt) w.opt(*value.opt, value.rcode);
  auto flags = static_cast<std::uint16_t>((value.flags & ~flag::rcode_mask) | (cut ? flag::tc : 0) |
                                          (value.rcode & flag::rcode_mask));
  out.resize(w.finish(value.id, flags));
  return out;
}

} // namespace netlab::dns
