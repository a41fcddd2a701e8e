#pragma once
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <string>

namespace netlab::test {

// Writes tar archives, good ones and bad ones.
class tar_archive {
public:
  tar_archive& file(const std::string& name, const std::string& body) { return entry(name, body, '0', {}); }
  tar_archive& link(const std::string& name, const std::string& to) { return entry(name, {}, '2', to); }
  tar_archive& gnu_long(const std::string& name, const std::string& body) {
    entry("././@LongLink", name + '\0', 'L', {});
    return entry(name.substr(0, 99), body, '0', {});
  }
  tar_archive& pax(const std::string& name, const std::string& body) {
    std::string record = " path=" + name + "\n";
    auto length = record.size() + 2;
    raw_pax(std::to_string(length) + record);
    return entry("short", body, '0', {});
  }
  tar_archive& raw_pax(const std::string& text) { return entry("pax", text, 'x', {}); }
  // A header whose size field is `octal`, without a body.
  tar_archive& sized(const std::string& name, const std::string& octal) {
    entry(name, {}, '0', {});
    auto at = bytes_.size() - 512;
    bytes_.replace(at + 124, 11, octal);
    seal(at);
    return *this;
  }
  std::string bytes() const { return bytes_ + std::string(1024, '\0'); }

private:
  tar_archive& entry(const std::string& name, const std::string& body, char type, const std::string& link) {
    auto at = bytes_.size();
    std::string header(512, '\0');
    header.replace(0, name.size(), name);
    header.replace(100, 7, "0000644");
    char size[12];
    std::snprintf(size, sizeof size, "%011zo", body.size());
    header.replace(124, 11, size);
    header[156] = type;
    header.replace(157, link.size(), link);
    header.replace(257, 8, std::string("ustar\00000", 8));
    bytes_ += header + body + std::string((512 - body.size() % 512) % 512, '\0');
    seal(at);
    return *this;
  }
  void seal(std::size_t at) {
    bytes_.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes_[at + i]);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    bytes_.replace(at + 148, 7, std::string(text) + '\0');
  }
  std::string bytes_;
};

inline std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

} // namespace netlab::test
