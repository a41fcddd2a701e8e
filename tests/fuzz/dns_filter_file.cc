// Damaged compiled files: opened or refused, asked without reading outside of the mapping, and found damaged
// by their checksums. The header is sealed again, so that what stands behind it is reached.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "dns/filter_format.h"
#include "netlab/dns_filter_compiler.h"
#include "netlab/dns_name.h"
#include "netlab/simulation.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

// A folder of this run's own, removed at its end.
struct scratch {
  std::string path = (std::filesystem::temp_directory_path() / "netlab-fuzz-XXXXXX").string();
  scratch() {
    if (!mkdtemp(path.data())) std::abort();
  }
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

const std::string& folder() {
  static const scratch made;
  return made.path;
}

void put(const std::string& path, byte_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void ask(const std::string& path) {
  auto opened = open_filter(path);
  if (!opened) {
    if (opened.error().message.empty()) std::abort();
    return;
  }
  for (const char* text : {"ads.example.org", "a.b.c.d.tracker.net", "x", "ad7.evil.test"}) {
    auto n = *name::parse(text);
    auto v = (*opened)->match(n.wire(), all_lists);
    (void)(*opened)->list_name(v.list);
    (void)(*opened)->explain(n.wire(), all_lists);
  }
  (void)(*opened)->verify();
}

// A good file, whose names are the input's lines.
byte_vector compiled(byte_view text) {
  seeded_random random(1);
  filter_source source;
  source.name = "list";
  source.text = std::string(as_text(text)) + "\n||example.org^\n@@tracker.net\n/^ad[0-9]\\./\n";
  compile_options options;
  options.path = folder() + "/good";
  if (!compile_filter({source}, options, random)) return {};
  std::ifstream in(options.path, std::ios::binary);
  return byte_vector(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto path = folder() + "/damaged";
  put(path, {data, size});
  ask(path);

  static const byte_vector good = compiled({});
  if (good.empty()) std::abort();
  // The input as (place, octet) pairs over a good file, once as it is and once with its header sealed again.
  auto bad = good;
  for (std::size_t i = 0; i + 2 < size && i < 96; i += 3)
    bad[(std::size_t{data[i]} << 8 | data[i + 1]) % bad.size()] = data[i + 2];
  put(path, bad);
  ask(path);
  filter_header header;
  std::memcpy(&header, bad.data(), sizeof header);
  header.magic = filter_magic;
  header.version = filter_version;
  header.byte_order = filter_byte_order;
  header.file_size = bad.size();
  if (header.tail_at < bad.size())
    header.tail_digest = sha256_of(byte_view(bad).subspan(
        header.tail_at, std::min<std::uint64_t>(header.tail_size, bad.size() - header.tail_at)));
  header.header_digest = digest_of(header);
  std::memcpy(bad.data(), &header, sizeof header);
  put(path, bad);
  ask(path);
  return 0;
}
