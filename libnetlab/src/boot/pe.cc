#include <algorithm>
#include <limits>

#include "netlab/uki.h"

namespace netlab::boot {

namespace {

constexpr std::size_t section_header_size = 40;
constexpr std::uint32_t page = 4096;

template<class T>
T load(byte_view bytes, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | T{bytes[at + i]} << (8 * i));
  return value;
}

template<class T>
void store(std::string& bytes, std::size_t at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

bool power_of_two(std::uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

std::uint64_t align_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

tl::unexpected<error> broken(std::string why) {
  return fail(errc::invalid, "not a usable PE image: " + std::move(why), "boot.pe");
}

std::uint64_t length_of(const std::vector<file_piece>& pieces) {
  std::uint64_t total = 0;
  for (const auto& p : pieces) total += (p.file.empty() ? p.bytes.size() : p.length) + p.padding;
  return total;
}

} // namespace

cpu cpu_of_machine(std::uint16_t machine) {
  switch (machine) {
  case 0x014c: return cpu::i386;
  case 0x8664: return cpu::amd64;
  case 0x01c0:
  case 0x01c2:
  case 0x01c4: return cpu::arm;
  case 0xaa64: return cpu::arm64;
  case 0x5032: return cpu::riscv32;
  case 0x5064: return cpu::riscv64;
  case 0x5128: return cpu::riscv128;
  case 0x6232: return cpu::loong32;
  case 0x6264: return cpu::loong64;
  default: return cpu::unknown;
  }
}

result<pe_image> parse_pe(byte_view head, std::uint64_t file_size) {
  auto have = [&](std::uint64_t at, std::uint64_t count) {
    return at <= head.size() && count <= head.size() - at;
  };
  if (!have(0, 0x40) || head[0] != 'M' || head[1] != 'Z') return broken("it does not begin with MZ");
  std::uint64_t pe = load<std::uint32_t>(head, 0x3c);
  if (pe < 0x40 || !have(pe, 24)) return broken("its PE header lies outside the file's beginning");
  if (head[pe] != 'P' || head[pe + 1] != 'E' || head[pe + 2] != 0 || head[pe + 3] != 0)
    return broken("there is no PE signature");
  pe_image out;
  out.coff_offset = static_cast<std::uint32_t>(pe + 4);
  out.optional_offset = out.coff_offset + 20;
  out.machine = load<std::uint16_t>(head, out.coff_offset);
  auto count = load<std::uint16_t>(head, out.coff_offset + 2);
  auto optional_size = load<std::uint16_t>(head, out.coff_offset + 16);
  if (!have(out.optional_offset, optional_size) || optional_size < 96)
    return broken("its optional header is cut off");
  auto magic = load<std::uint16_t>(head, out.optional_offset);
  if (magic != 0x10b && magic != 0x20b) return broken("its optional header is neither PE32 nor PE32+");
  out.plus = magic == 0x20b;
  if (out.plus && optional_size < 112) return broken("its optional header is cut off");
  out.section_alignment = load<std::uint32_t>(head, out.optional_offset + 32);
  out.file_alignment = load<std::uint32_t>(head, out.optional_offset + 36);
  out.size_of_image = load<std::uint32_t>(head, out.optional_offset + 56);
  out.size_of_headers = load<std::uint32_t>(head, out.optional_offset + 60);
  if (!power_of_two(out.section_alignment) || !power_of_two(out.file_alignment) ||
      out.file_alignment > 65536 || out.section_alignment > (1u << 24))
    return broken("its alignments are impossible");
  out.table_offset = out.optional_offset + optional_size;
  if (!have(out.table_offset, std::uint64_t{count} * section_header_size))
    return broken("its section table is cut off");
  if (out.size_of_headers > file_size || out.size_of_headers < out.table_offset)
    return broken("its headers are larger than the file or smaller than their content");
  for (std::size_t i = 0; i < count; ++i) {
    auto at = out.table_offset + i * section_header_size;
    pe_section s;
    auto name = as_text(head.subspan(at, 8));
    s.name = name.substr(0, name.find('\0'));
    s.virtual_size = load<std::uint32_t>(head, at + 8);
    s.virtual_address = load<std::uint32_t>(head, at + 12);
    s.raw_size = load<std::uint32_t>(head, at + 16);
    s.raw_offset = load<std::uint32_t>(head, at + 20);
    s.characteristics = load<std::uint32_t>(head, at + 36);
    if (s.raw_size != 0 && std::uint64_t{s.raw_offset} + s.raw_size > file_size)
      return broken("section " + s.name + " reaches past the end of the file");
    if (std::uint64_t{s.virtual_address} + std::max(s.virtual_size, s.raw_size) >
        std::numeric_limits<std::uint32_t>::max())
      return broken("section " + s.name + " lies beyond 4 GiB");
    out.sections.push_back(std::move(s));
  }
  return out;
}

result<pe_plan> append_sections(byte_view image, const std::vector<new_section>& added) {
  auto parsed = parse_pe(image, image.size());
  if (!parsed) return tl::unexpected(parsed.error());
  const auto& pe = *parsed;
  if (pe.sections.empty()) return broken("it has no section");
  if (pe.sections.size() + added.size() > 96) return broken("it would have more than 96 sections");

  std::uint64_t table_end = pe.table_offset + (pe.sections.size() + added.size()) * section_header_size;
  std::uint64_t first_address = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t first_raw = image.size(), last_raw = pe.size_of_headers, last_address = pe.size_of_headers;
  for (const auto& s : pe.sections) {
    first_address = std::min<std::uint64_t>(first_address, s.virtual_address);
    if (s.raw_size != 0) {
      first_raw = std::min<std::uint64_t>(first_raw, s.raw_offset);
      last_raw = std::max(last_raw, std::uint64_t{s.raw_offset} + s.raw_size);
    }
    last_address =
        std::max(last_address, std::uint64_t{s.virtual_address} + std::max(s.virtual_size, s.raw_size));
    for (const auto& n : added)
      if (n.name == s.name) return fail(errc::exists, "the stub already has a section " + n.name, "boot.pe");
  }
  // What lies between the headers and the first section's bytes is unused, so the table may grow into it.
  std::uint64_t file_alignment = std::max<std::uint32_t>(pe.file_alignment, 512);
  std::uint64_t shift = 0;
  std::uint64_t headers = pe.size_of_headers;
  if (table_end > headers || headers > first_raw) {
    headers = std::max(headers, align_up(table_end, file_alignment));
    if (headers > first_raw) shift = align_up(headers - first_raw, file_alignment);
  }
  if (headers > first_address)
    return fail(errc::limit,
                "the stub's headers have no room for " + std::to_string(added.size()) + " more sections",
                "boot.pe");

  std::string head(as_text(image.first(std::min<std::uint64_t>(pe.table_offset, image.size()))));
  head.resize(headers, '\0');
  std::uint64_t initialized = load<std::uint32_t>(image, pe.optional_offset + 8);
  std::size_t at = pe.table_offset;
  for (std::size_t i = 0; i < pe.sections.size(); ++i, at += section_header_size) {
    auto old = pe.table_offset + i * section_header_size;
    head.replace(at, section_header_size, as_text(image.subspan(old, section_header_size)));
    if (pe.sections[i].raw_size != 0)
      store<std::uint32_t>(head, at + 20, static_cast<std::uint32_t>(pe.sections[i].raw_offset + shift));
  }

  pe_plan plan;
  plan.pieces.emplace_back(); // the head, once its fields are known
  // The stub's bytes from its first section on; symbols and signatures after the last section go.
  file_piece body;
  if (last_raw > first_raw) body.bytes = as_text(image.subspan(first_raw, last_raw - first_raw));
  std::uint64_t offset = std::max(first_raw + shift, headers) + body.bytes.size();
  head.resize(std::max(first_raw + shift, headers), '\0');
  body.padding = align_up(offset, file_alignment) - offset;
  offset += body.padding;
  plan.pieces.push_back(std::move(body));

  std::uint64_t alignment = std::max(pe.section_alignment, page);
  std::uint64_t address = align_up(last_address, alignment);
  for (const auto& n : added) {
    if (n.name.empty() || n.name.size() > 8) return broken("a section name has 1 to 8 bytes");
    auto length = length_of(n.content);
    auto raw = align_up(length, file_alignment);
    if (address + length > std::numeric_limits<std::int32_t>::max() ||
        offset + raw > std::numeric_limits<std::uint32_t>::max())
      return fail(errc::limit, "the image would be larger than a PE file can be", "boot.pe");
    head.replace(at, section_header_size, std::string(section_header_size, '\0'));
    head.replace(at, n.name.size(), n.name);
    store<std::uint32_t>(head, at + 8, static_cast<std::uint32_t>(length));
    store<std::uint32_t>(head, at + 12, static_cast<std::uint32_t>(address));
    store<std::uint32_t>(head, at + 16, static_cast<std::uint32_t>(raw));
    store<std::uint32_t>(head, at + 20, static_cast<std::uint32_t>(offset));
    // Contains code and may run, or initialised data; both readable (PE Format, "Section Flags").
    store<std::uint32_t>(head, at + 36, n.code ? 0x60000020u : 0x40000040u);
    at += section_header_size;
    if (!n.code) initialized += raw;
    for (const auto& piece : n.content) plan.pieces.push_back(piece);
    plan.pieces.back().padding += raw - length;
    offset += raw;
    address = align_up(address + std::max<std::uint64_t>(length, 1), alignment);
  }

  store<std::uint16_t>(head, pe.coff_offset + 2,
                       static_cast<std::uint16_t>(pe.sections.size() + added.size()));
  // The COFF symbol table was behind the last section and is gone.
  store<std::uint32_t>(head, pe.coff_offset + 8, 0);
  store<std::uint32_t>(head, pe.coff_offset + 12, 0);
  store<std::uint32_t>(head, pe.optional_offset + 8, static_cast<std::uint32_t>(initialized));
  store<std::uint32_t>(head, pe.optional_offset + 56, static_cast<std::uint32_t>(address));
  store<std::uint32_t>(head, pe.optional_offset + 60, static_cast<std::uint32_t>(headers));
  store<std::uint32_t>(head, pe.optional_offset + 64, 0);
  // Data directory 4, the certificate table: it signed what was.
  auto directories = pe.optional_offset + (pe.plus ? 112 : 96);
  auto count_at = directories - 4;
  if (load<std::uint32_t>(image, count_at) > 4 && directories + 5 * 8 <= pe.table_offset) {
    store<std::uint32_t>(head, directories + 4 * 8, 0);
    store<std::uint32_t>(head, directories + 4 * 8 + 4, 0);
  }
  plan.pieces.front().bytes = std::move(head);
  plan.size = offset;
  return plan;
}

} // namespace netlab::boot
