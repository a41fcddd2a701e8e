#include "records.h"

#include <nlohmann/json.hpp>

#include "netlab/json.h"

namespace netlab::fetch {

namespace {

constexpr std::size_t record_limit = 64u << 10;
constexpr std::string_view own_folder = "/.netlab-fetch";

std::string text_of(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

template<class T>
T number_of(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<T>() : T{};
}

std::optional<json> read_object(files& disk, const std::string& path) {
  auto text = disk.read(path, record_limit);
  if (!text) return std::nullopt;
  auto parsed = parse_json(*text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  return std::move(*parsed);
}

} // namespace

std::string companion_key(std::string_view name) {
  return to_hex(byte_view(sha256_of(as_bytes(name))).first(12));
}

bool file_record::proves(const checksum& wanted) const {
  return wanted == sha256 || (sha512 && wanted == *sha512);
}

std::string records::companion(std::string_view name, std::string_view ending) const {
  return folder_ + std::string(own_folder) + "/" + companion_key(name) + std::string(ending);
}

result<void> records::make_folder() { return disk_.make_folders(folder_ + std::string(own_folder), 0750); }

std::optional<file_record> records::read_file(std::string_view name) {
  auto read = read_object(disk_, companion(name, ".json"));
  if (!read) return std::nullopt;
  file_record out;
  out.url = text_of(*read, "url");
  out.of = {text_of(*read, "etag"), text_of(*read, "last_modified")};
  out.size = number_of<std::uint64_t>(*read, "size");
  out.modified = number_of<std::int64_t>(*read, "modified");
  out.checked = number_of<std::int64_t>(*read, "checked");
  auto sum = checksum::parse(text_of(*read, "sha256"));
  if (!sum) return std::nullopt;
  out.sha256 = *sum;
  if (auto other = checksum::parse(text_of(*read, "sha512"))) out.sha512 = *other;
  return out;
}

result<void> records::write_file(std::string_view name, const file_record& r) {
  json out = {{"name", name},         {"url", r.url},
              {"etag", r.of.etag},    {"last_modified", r.of.last_modified},
              {"size", r.size},       {"modified", r.modified},
              {"checked", r.checked}, {"sha256", r.sha256.hex}};
  if (r.sha512) out["sha512"] = r.sha512->hex;
  return disk_.write(companion(name, ".json"), out.dump(1, ' ', false, json::error_handler_t::replace), 0640);
}

std::optional<part_record> records::read_part(std::string_view name) {
  auto read = read_object(disk_, companion(name, ".part.json"));
  if (!read) return std::nullopt;
  return part_record{text_of(*read, "url"),
                     {text_of(*read, "etag"), text_of(*read, "last_modified")},
                     text_of(*read, "boot_id")};
}

result<void> records::write_part(std::string_view name, const part_record& r) {
  json out = {{"name", name},
              {"url", r.url},
              {"etag", r.of.etag},
              {"last_modified", r.of.last_modified},
              {"boot_id", r.boot_id}};
  return disk_.write(companion(name, ".part.json"), out.dump(1, ' ', false, json::error_handler_t::replace),
                     0640);
}

void records::drop_part(std::string_view name) {
  for (auto ending : {".part", ".part.json", ".unpacked"}) (void)disk_.remove(companion(name, ending));
}

std::string records::read_schematic(const std::string& key) {
  auto read = read_object(disk_, companion("schematic " + key, ".json"));
  return read ? text_of(*read, "id") : std::string();
}

void records::write_schematic(const std::string& key, const std::string& id) {
  json out = {{"schematic", key}, {"id", id}};
  (void)disk_.write(companion("schematic " + key, ".json"),
                    out.dump(1, ' ', false, json::error_handler_t::replace), 0640);
}

} // namespace netlab::fetch
