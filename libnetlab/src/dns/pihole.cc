#include "netlab/dns_pihole.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

constexpr std::size_t largest_file = 16u << 20;
using group_set = std::set<std::int64_t>;

// gravity.db, read only. The file may be anybody's: no triggers or functions of its schema run.
class gravity {
public:
  static result<gravity> open(const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return system_fail(errno, path, "dns.pihole");
    sqlite3* raw = nullptr;
    int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    gravity out(raw);
    if (code != SQLITE_OK) return fail(errc::invalid, path + ": " + sqlite3_errstr(code), "dns.pihole");
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_limit(raw, SQLITE_LIMIT_LENGTH, 1 << 20);
    sqlite3_busy_timeout(raw, 2000);
    return out;
  }

  // Calls `row` for each row of a query.
  result<void> each(const char* query, const std::function<void(sqlite3_stmt*)>& row) {
    sqlite3_stmt* raw = nullptr;
    int code = sqlite3_prepare_v2(db_.get(), query, -1, &raw, nullptr);
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
      code = sqlite3_step(raw);
      if (code == SQLITE_DONE) return {};
      if (code == SQLITE_ROW) row(raw);
    }
    return fail(errc::invalid, std::string("gravity.db: ") + sqlite3_errmsg(db_.get()), "dns.pihole");
  }

private:
  explicit gravity(sqlite3* db) : db_(db, sqlite3_close) {}
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> db_;
};

std::string text_at(sqlite3_stmt* row, int column) {
  const auto* text = sqlite3_column_text(row, column);
  return text ? std::string(reinterpret_cast<const char*>(text),
                            static_cast<std::size_t>(sqlite3_column_bytes(row, column)))
              : std::string();
}

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string out;
  char piece[65536];
  while (out.size() < largest_file && (in.read(piece, sizeof piece), in.gcount() > 0))
    out.append(piece, static_cast<std::size_t>(in.gcount()));
  return out;
}

template<class F>
void each_line(const std::string& text, F fn) {
  for (auto line : split(text, '\n')) fn(line);
}

void add_host_line(std::string_view line, pihole_setup& out) {
  auto words = std::string(trim(line.substr(0, line.find('#'))));
  std::replace(words.begin(), words.end(), '\t', ' ');
  std::optional<ip_address> address;
  for (auto word : split(words, ' ')) {
    if (word.empty()) continue;
    if (address) {
      out.hosts.emplace_back(*address, std::string(word));
      continue;
    }
    auto parsed = ip_address::parse(word);
    if (!parsed) {
      out.warnings.push_back("a local record is left out: \"" + printable(line) + "\"");
      return;
    }
    address = *parsed;
  }
}

// "alias[,alias…],target" with an optional TTL at the end.
void add_cname_line(std::string_view line, pihole_setup& out) {
  auto parts = split(line, ',');
  if (parts.size() > 2 && !parts.back().empty() &&
      std::all_of(parts.back().begin(), parts.back().end(), [](char c) { return c >= '0' && c <= '9'; }))
    parts.pop_back();
  for (std::size_t i = 0; i + 1 < parts.size(); ++i)
    out.cnames.emplace_back(std::string(trim(parts[i])), std::string(trim(parts.back())));
}

class reader {
public:
  explicit reader(gravity& db) : db_(db) {}

  result<pihole_setup> read() {
    for (auto step :
         {&reader::read_groups, &reader::read_adlists, &reader::read_domains, &reader::read_clients})
      if (auto done = (this->*step)(); !done) return tl::unexpected(done.error());
    return std::move(out_);
  }

private:
  result<std::map<std::int64_t, group_set>> members(const char* query) {
    std::map<std::int64_t, group_set> out;
    auto done = db_.each(query, [&](sqlite3_stmt* row) {
      auto group = sqlite3_column_int64(row, 1);
      if (names_.count(group) > 0) out[sqlite3_column_int64(row, 0)].insert(group);
    });
    if (!done) return tl::unexpected(done.error());
    return out;
  }

  result<void> read_groups() {
    return db_.each("SELECT id, name FROM \"group\" WHERE enabled = 1",
                    [&](sqlite3_stmt* row) { names_[sqlite3_column_int64(row, 0)] = text_at(row, 1); });
  }

  // Gives the list that comes next to groups.
  result<void> add_list(list_source list, const group_set& groups) {
    if (out_.lists.size() == 64)
      return fail(errc::limit, "this Pi-hole has more than 64 lists; join some of them", "dns.pihole");
    auto bit = list_mask{1} << out_.lists.size();
    for (auto g : groups) masks_[g] |= bit;
    if (groups.count(0) > 0) out_.everybody |= bit;
    out_.lists.push_back(std::move(list));
    return {};
  }

  result<void> read_adlists() {
    auto groups = members("SELECT adlist_id, group_id FROM adlist_by_group");
    if (!groups) return tl::unexpected(groups.error());
    std::vector<std::pair<list_source, group_set>> found;
    auto row = [&](sqlite3_stmt* r) {
      list_source list;
      list.name = text_at(r, 1);
      list.allow = sqlite3_column_int64(r, 2) == 1;
      if (list.name.starts_with("file://"))
        list.path = list.name.substr(7);
      else
        list.url = list.name;
      found.emplace_back(std::move(list), (*groups)[sqlite3_column_int64(r, 0)]);
    };
    // Version 5 knows no lists that allow.
    auto done = db_.each("SELECT id, address, type FROM adlist WHERE enabled = 1 ORDER BY id", row);
    if (!done) done = db_.each("SELECT id, address, 0 FROM adlist WHERE enabled = 1 ORDER BY id", row);
    if (!done) return done;
    std::set<std::string> names;
    for (auto& [list, of] : found) {
      if (!names.insert(list.name).second) list.name += list.allow ? " (allowed)" : " (again)";
      if (auto added = add_list(std::move(list), of); !added) return added;
    }
    return {};
  }

  // One list for all domains of one kind that belong to the same groups.
  result<void> read_domains() {
    auto groups = members("SELECT domainlist_id, group_id FROM domainlist_by_group");
    if (!groups) return tl::unexpected(groups.error());
    std::map<std::pair<bool, group_set>, std::string> texts;
    auto done = db_.each(
        "SELECT id, type, domain FROM domainlist WHERE enabled = 1 ORDER BY id", [&](sqlite3_stmt* r) {
          auto type = sqlite3_column_int64(r, 1);
          auto domain = text_at(r, 2);
          if (type < 0 || type > 3 || domain.find_first_of("\r\n") != std::string::npos) return;
          auto& text = texts[{type == 0 || type == 2, (*groups)[sqlite3_column_int64(r, 0)]}];
          text += type < 2 ? "|" + domain + "^\n" : "/" + domain + "/\n";
        });
    if (!done) return done;
    for (auto& [key, text] : texts) {
      const auto& [allow, of] = key;
      list_source list;
      list.allow = allow;
      list.text = std::move(text);
      list.name = std::string("Pi-hole: ") + (allow ? "allowed" : "denied") + " for " + names_of(of);
      if (auto added = add_list(std::move(list), of); !added) return added;
    }
    return {};
  }

  result<void> read_clients() {
    auto groups = members("SELECT client_id, group_id FROM client_by_group");
    if (!groups) return tl::unexpected(groups.error());
    std::map<group_set, std::vector<group_member>> by_groups;
    auto done = db_.each("SELECT id, ip FROM client ORDER BY id", [&](sqlite3_stmt* r) {
      auto text = text_at(r, 1);
      std::optional<group_member> member;
      if (text.find('/') != std::string::npos) {
        if (auto network = cidr::parse(text)) member = cidr{network->network(), network->prefix};
      } else if (auto address = ip_address::parse(text)) {
        member = cidr{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)};
      } else if (auto mac = mac_address::parse(text)) {
        member = *mac;
      } else if (!text.empty() && text.front() != ':') {
        member = text.substr(0, text.find('.'));
      }
      if (member)
        by_groups[(*groups)[sqlite3_column_int64(r, 0)]].push_back(*member);
      else
        out_.warnings.push_back("the client \"" + printable(text) +
                                "\" is left out: it is an interface, or nothing");
    });
    if (!done) return done;
    for (auto& [of, clients] : by_groups) {
      filter_group g;
      g.name = names_of(of);
      g.members = std::move(clients);
      g.lists = 0;
      for (auto id : of) g.lists |= masks_[id];
      out_.groups.push_back(std::move(g));
    }
    if (out_.groups.size() > filter_groups::most)
      return fail(errc::limit, "the clients of this Pi-hole are in more than 31 combinations of groups",
                  "dns.pihole");
    return {};
  }

  std::string names_of(const group_set& of) const {
    std::string out;
    for (auto id : of) out += (out.empty() ? "" : " + ") + names_.at(id);
    return out.empty() ? "nobody" : out;
  }

  gravity& db_;
  pihole_setup out_;
  std::map<std::int64_t, std::string> names_; // of enabled groups
  std::map<std::int64_t, list_mask> masks_;
};

} // namespace

void read_pihole_toml(std::string_view text, pihole_setup& out) {
  std::string section, key;
  bool in_list = false;
  for (auto line : split(text, '\n')) {
    line = trim(line);
    if (!in_list) {
      if (line.empty() || line.front() == '#') continue;
      if (line.front() == '[') {
        section = std::string(trim(line.substr(1, line.find(']') - 1)));
        continue;
      }
      auto equals = line.find('=');
      if (equals == std::string_view::npos) continue;
      key = std::string(trim(line.substr(0, equals)));
      line = trim(line.substr(equals + 1));
      if (line.empty() || line.front() != '[') continue;
      line.remove_prefix(1);
      in_list = true;
    }
    // Strings up to the bracket that ends the list; a "#" outside of them begins a comment.
    for (std::size_t i = 0; i < line.size() && in_list; ++i) {
      if (line[i] == '#') break;
      if (line[i] == ']') in_list = false;
      if (line[i] != '"' && line[i] != '\'') continue;
      auto end = line.find(line[i], i + 1);
      if (end == std::string_view::npos) break;
      auto item = line.substr(i + 1, end - i - 1);
      i = end;
      if (section != "dns") continue;
      if (key == "hosts") add_host_line(item, out);
      if (key == "cnameRecords") add_cname_line(item, out);
      if (key == "upstreams") out.upstreams.emplace_back(item);
    }
  }
}

result<pihole_setup> read_pihole(const std::string& folder) {
  auto db = gravity::open(join_path(folder, "gravity.db"));
  if (!db) return tl::unexpected(db.error());
  auto out = reader(*db).read();
  if (!out) return out;
  for (const char* hosts : {"custom.list", "hosts/custom.list"})
    each_line(read_whole(join_path(folder, hosts)),
              [&](std::string_view line) { add_host_line(line, *out); });
  read_pihole_toml(read_whole(join_path(folder, "pihole.toml")), *out);
  for (const char* cnames : {"05-pihole-custom-cname.conf", "../dnsmasq.d/05-pihole-custom-cname.conf"})
    each_line(read_whole(join_path(folder, cnames)), [&](std::string_view line) {
      if (line.starts_with("cname=")) add_cname_line(trim(line.substr(6)), *out);
    });
  // Version 6 keeps a copy of what version 5 had.
  auto once = [](auto& list) {
    auto seen = list;
    seen.clear();
    for (auto& each : list)
      if (std::find(seen.begin(), seen.end(), each) == seen.end()) seen.push_back(each);
    list = std::move(seen);
  };
  once(out->hosts);
  once(out->cnames);
  return out;
}

} // namespace netlab::dns
