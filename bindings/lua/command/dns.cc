#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "instance.h"
#include "netlab/dns_message.h"
#include "netlab/dns_query_log.h"
#include "netlab/dns_statistics.h"
#include "netlab/text.h"
#include "netlab/units.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

constexpr std::uint64_t tail_bytes = 256u << 10; // of a log that are read for its last rows

// Who changes something, for status and the log of the instance.
std::string origin() {
  std::string who;
  if (const char* user = std::getenv("SUDO_USER"); user && *user)
    who = user;
  else if (const auto* entry = ::getpwuid(::getuid()))
    who = entry->pw_name;
  if (const char* terminal = ::ttyname(0)) who += std::string(" on ") + terminal;
  return printable(who.empty() ? "uid " + std::to_string(::getuid()) : who);
}

int told_error(const error& e) {
  std::fprintf(stderr, "netlab: %s\n", printable(e.message).c_str());
  return e.code == errc::unreachable ? unreachable : failed;
}

wall_time wall_now() { return std::chrono::time_point_cast<duration>(std::chrono::system_clock::now()); }

// The logs that the instance keeps, written up to now.
result<json> logs_of(const global_options& global, const std::string& server) {
  auto got = ask_instance(global, {{"verb", "dns.log"}, {"server", server}});
  if (!got) return got;
  json kept = json::array();
  for (auto& each : *got) {
    if (each["folder"].get<std::string>().empty()) continue;
    if (each.contains("trouble"))
      std::fprintf(stderr, "netlab: %s: the log is not written: %s\n", in_words(each["server"]).c_str(),
                   in_words(each["trouble"]).c_str());
    kept.push_back(std::move(each));
  }
  if (kept.empty())
    return fail(errc::not_found, "no DNS server of the recipe keeps a log: it needs netlab.state, and `log` "
                                 "must not be false");
  return kept;
}

std::string share(std::uint64_t part, std::uint64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%",
                whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0);
  return text;
}

table counted_rows(const std::string& head, const dns::frequent& f, std::size_t rows, std::uint64_t whole) {
  table out{{head, "queries", ""}};
  for (const auto& [key, count] : f.top(rows))
    out.push_back({printable(key), std::to_string(count), share(count, whole)});
  return out;
}

table counted_rows(const std::string& head, const std::map<std::string, std::uint64_t>& all,
                   std::uint64_t whole) {
  std::vector<std::pair<std::string, std::uint64_t>> sorted(all.begin(), all.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  table out{{head, "queries", ""}};
  for (const auto& [key, count] : sorted)
    out.push_back({printable(key), std::to_string(count), share(count, whole)});
  return out;
}

json as_json(const dns::frequent& f, std::size_t rows) {
  json out = json::array();
  for (const auto& [key, count] : f.top(rows)) out.push_back({{"name", key}, {"queries", count}});
  return out;
}

int top(const global_options& global, words w) {
  auto since_text = w.take_value("--since").value_or("24h");
  auto rows_text = w.take_value("--rows").value_or("10");
  auto server = w.take_value("--server").value_or("");
  bool json_wanted = w.take_switch("--json");
  if (auto extra = w.leftover({"--since", "--rows", "--server", "--json"}); !extra.empty())
    return usage_error(extra);
  auto since = parse_duration(since_text);
  if (!since || *since <= duration{}) return usage_error("--since takes a time such as \"24h\"");
  auto rows = static_cast<std::size_t>(std::strtoul(rows_text.c_str(), nullptr, 10));
  if (rows == 0 || rows > 1000) return usage_error("--rows takes a number from 1 to 1000");
  auto logs = logs_of(global, server);
  if (!logs) return told_error(logs.error());
  for (const auto& log : *logs) {
    auto from = *since == duration::max() ? wall_time{} : wall_now() - *since;
    auto s = dns::read_statistics(log["folder"].get<std::string>(), from);
    if (!s) return told_error(s.error());
    if (json_wanted) {
      json out = {{"server", log["server"]},  {"queries", s->queries},   {"blocked", s->blocked},
                  {"not_logged", s->dropped}, {"outcomes", s->outcomes}, {"lists", s->lists},
                  {"upstreams", s->upstreams}};
      out["names"] = as_json(s->names, rows);
      out["blocked_names"] = as_json(s->blocked_names, rows);
      out["clients"] = as_json(s->clients, rows);
      out["blocked_clients"] = as_json(s->blocked_clients, rows);
      std::printf("%s\n", out.dump(2, ' ', false, json::error_handler_t::replace).c_str());
      continue;
    }
    if (s->empty()) {
      std::printf("%s: nothing was asked since then\n", in_words(log["server"]).c_str());
      continue;
    }
    std::printf("%s since %s: %llu queries, %llu blocked (%s)\n\n", in_words(log["server"]).c_str(),
                format_time(std::max(s->from, from), false).c_str(),
                static_cast<unsigned long long>(s->queries), static_cast<unsigned long long>(s->blocked),
                share(s->blocked, s->queries).c_str());
    print_table(stdout, global, "answers", counted_rows("from", s->outcomes, s->queries));
    print_table(stdout, global, "names", counted_rows("name", s->names, rows, s->queries));
    print_table(stdout, global, "blocked", counted_rows("name", s->blocked_names, rows, s->blocked));
    print_table(stdout, global, "clients", counted_rows("client", s->clients, rows, s->queries));
    print_table(stdout, global, "blocked clients",
                counted_rows("client", s->blocked_clients, rows, s->blocked));
    print_table(stdout, global, "lists", counted_rows("list", s->lists, s->blocked));
    print_table(stdout, global, "upstreams", counted_rows("upstream", s->upstreams, s->queries));
    auto least = std::max({s->names.error(), s->blocked_names.error(), s->clients.error()});
    if (least > 0)
      std::printf("More different names were asked than are counted one by one: counts are too small by %llu "
                  "at most.\n",
                  static_cast<unsigned long long>(least));
    if (s->dropped > 0)
      std::printf("%llu queries are not in the log, and only in the first line.\n",
                  static_cast<unsigned long long>(s->dropped));
  }
  return ok;
}

json row_json(const dns::logged_query& q) {
  json out = {{"time", format_time(q.at)},
              {"client", q.client},
              {"name", q.name},
              {"type", dns::type_name(q.type)},
              {"answer", dns::to_string(q.outcome)},
              {"rcode", dns::rcode_name(q.rcode)},
              {"ms", static_cast<double>(q.took.count()) / 1e6},
              {"group", q.policy}};
  if (!q.list.empty()) out["list"] = q.list;
  if (!q.upstream.empty()) out["upstream"] = q.upstream;
  if (q.stream) out["stream"] = true;
  return out;
}

void print_row(const global_options& global, const dns::logged_query& q) {
  std::string about(dns::to_string(q.outcome));
  if (!q.list.empty()) about += " by " + printable(q.list);
  if (!q.upstream.empty()) about += " to " + printable(q.upstream);
  if (q.took > duration{}) about += ", " + format_elapsed(q.took);
  if (q.rcode != dns::rcode::no_error) about += ", " + dns::rcode_name(q.rcode);
  const char* colour = q.outcome == dns::query_outcome::blocked  ? "31"
                       : q.outcome == dns::query_outcome::failed ? "33"
                                                                 : "0";
  std::printf("%s  %-15s  %-5s %s  %s\n", format_time(q.at, false).c_str(),
              q.client.empty() ? "-" : q.client.c_str(), dns::type_name(q.type).c_str(),
              q.name.empty() ? "(hidden)" : printable(q.name).c_str(), paint(global, colour, about).c_str());
}

bool wanted(const dns::logged_query& q, const std::optional<dns::name>& below, const std::string& client) {
  if (!client.empty() && q.client != client) return false;
  if (!below) return true;
  auto n = dns::name::parse(q.name);
  return n && n->is_within(*below);
}

int tail(const global_options& global, words w) {
  auto rows_text = w.take_value("--rows").value_or("20");
  auto server = w.take_value("--server").value_or("");
  auto client = w.take_value("--client").value_or("");
  bool json_wanted = w.take_switch("--json");
  bool follow = w.take_switch("-f") || w.take_switch("--follow");
  auto name = w.take_next();
  if (auto extra = w.leftover({"--rows", "--server", "--client", "--json", "--follow"}); !extra.empty())
    return usage_error(extra);
  auto most = static_cast<std::size_t>(std::strtoul(rows_text.c_str(), nullptr, 10));
  if (most == 0 || most > 100000) return usage_error("--rows takes a number from 1 to 100000");
  std::optional<dns::name> below;
  if (name) {
    auto parsed = dns::name::parse(*name);
    if (!parsed) return usage_error(parsed.error().message);
    below = *parsed;
  }
  auto logs = logs_of(global, server);
  if (!logs) return told_error(logs.error());
  if (logs->size() > 1) {
    std::string names;
    for (const auto& l : *logs) names += (names.empty() ? "" : ", ") + in_words(l["server"]);
    return usage_error("several DNS servers keep a log: choose one with --server (" + names + ")");
  }
  const auto& log = (*logs)[0];
  if (log["privacy"] == "anonymous") {
    std::fprintf(stderr, "netlab: the log keeps no rows: its privacy is \"anonymous\"\n");
    return failed;
  }
  auto folder = log["folder"].get<std::string>();
  auto show = [&](const dns::logged_query& q) {
    if (json_wanted)
      std::printf("%s\n", row_json(q).dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    else
      print_row(global, q);
  };
  std::deque<dns::logged_query> last;
  // A filter may need more of the log than its end.
  auto begin = below || !client.empty() ? result<dns::log_position>(dns::log_position{})
                                        : dns::last_of_query_log(folder, tail_bytes + most * 80);
  if (!begin) return told_error(begin.error());
  auto read = dns::read_query_log(folder, *begin, [&](const dns::logged_query& q) {
    if (!wanted(q, below, client)) return true;
    last.push_back(q);
    if (last.size() > most) last.pop_front();
    return true;
  });
  if (!read) return told_error(read.error());
  for (const auto& q : last) show(q);
  if (read->damaged > 0)
    std::fprintf(stderr, "netlab: %llu damaged stretches of the log were skipped\n",
                 static_cast<unsigned long long>(read->damaged));
  auto at = read->end;
  while (follow) {
    std::fflush(stdout);
    ::usleep(500'000);
    if (auto flushed = ask_instance(global, {{"verb", "dns.log"}, {"server", log["server"]}}); !flushed)
      return told_error(flushed.error());
    auto more = dns::read_query_log(folder, at, [&](const dns::logged_query& q) {
      if (wanted(q, below, client)) show(q);
      return true;
    });
    if (!more) return told_error(more.error());
    at = more->end;
  }
  return ok;
}

// The last time that the name was asked, as the log tells.
std::optional<dns::logged_query> last_asked(const std::string& folder, const std::string& name,
                                            const std::string& type, const std::string& client) {
  std::optional<dns::logged_query> out;
  auto begin = dns::last_of_query_log(folder, 8u << 20);
  if (!begin) return out;
  (void)dns::read_query_log(folder, *begin, [&](const dns::logged_query& q) {
    if (iequals(q.name, name) && dns::type_name(q.type) == type && (client.empty() || q.client == client))
      out = q;
    return true;
  });
  return out;
}

int why(const global_options& global, words w) {
  json request = {{"verb", "dns.why"}};
  for (auto [option, key] : {std::pair{"--type", "type"}, {"--client", "client"}, {"--server", "server"}})
    if (auto text = w.take_value(option)) request[key] = *text;
  bool json_wanted = w.take_switch("--json");
  auto name = w.take_next();
  if (auto extra = w.leftover({"--type", "--client", "--server", "--json"}); !extra.empty())
    return usage_error(extra);
  if (!name) return usage_error("why what? netlab dns why NAME [--client ADDRESS] [--type T]");
  request["name"] = *name;
  auto got = ask_instance(global, request);
  if (!got) return told_error(got.error());
  for (auto& told : *got) {
    auto folder = told["log"].get<std::string>();
    auto client = told.contains("client") ? told["client"].get<std::string>() : std::string();
    auto last = folder.empty() ? std::nullopt : last_asked(folder, told["name"], told["type"], client);
    if (json_wanted) {
      if (last) told["last"] = row_json(*last);
      std::printf("%s\n", told.dump(2, ' ', false, json::error_handler_t::replace).c_str());
      continue;
    }
    std::printf(
        "%s %s%s: %s\n", in_words(told["name"]).c_str(), in_words(told["type"]).c_str(),
        (client.empty() ? " for everybody" : " for " + client + " (group " + in_words(told["group"]) + ")")
            .c_str(),
        paint(global, told["outcome"] == "blocked" ? "31" : "1", in_words(told["outcome"])).c_str());
    for (const auto& step : told["steps"]) std::printf("  - %s\n", in_words(step).c_str());
    if (told.contains("rules") && told["rules"].size() > 1) {
      std::printf("  rules that name it:\n");
      for (const auto& r : told["rules"])
        std::printf("    %s \"%s\" of %s\n", in_words(r["action"]).c_str(), in_words(r["rule"]).c_str(),
                    in_words(r["list"]).c_str());
    }
    if (last) {
      std::printf("  last asked:\n    ");
      print_row(global, *last);
    } else if (!folder.empty()) {
      std::printf("  the log does not tell of such a question\n");
    }
  }
  return ok;
}

int change(const global_options& global, const std::string& verb, words w) {
  json request = {{"verb", "dns." + verb}, {"origin", origin()}};
  if (auto text = w.take_value("--server")) request["server"] = *text;
  bool lasts = verb == "allow" || verb == "block";
  if (lasts)
    if (auto text = w.take_value("--for")) request["for"] = *text;
  auto word = w.take_next();
  if (auto extra = w.leftover({"--server", "--for"}); !extra.empty()) return usage_error(extra);
  if (verb == "pause") {
    if (!word) return usage_error("pause for how long? netlab dns pause 5m");
    request["for"] = *word;
  } else if (verb != "resume") {
    if (!word) return usage_error(verb + " what? netlab dns " + verb + " NAME");
    request["name"] = *word;
  } else if (word) {
    return usage_error("unexpected \"" + printable(*word) + "\"");
  }
  auto got = ask_instance(global, request);
  if (!got) return told_error(got.error());
  for (const auto& c : *got) {
    auto server = in_words(c["server"]);
    auto what = c["what"] == "pause"   ? std::string("blocking is paused")
                : c["what"] == "allow" ? in_words(c["name"]) + " and everything below it is allowed"
                                       : in_words(c["name"]) + " and everything below it is blocked";
    if (verb == "remove" || verb == "resume") {
      std::printf("%s: no more that %s\n", server.c_str(), what.c_str());
      continue;
    }
    std::printf("%s: %s until %s\n", server.c_str(), what.c_str(), in_words(c["until"]).c_str());
    if (!c.contains("left"))
      std::printf("This has no end, and netlab status shows it: \"netlab dns remove %s\" takes it back, "
                  "--for 1h gives "
                  "it one.\n",
                  in_words(c["name"]).c_str());
    if (c.contains("kept") && !c["kept"].get<bool>())
      std::printf("A restart forgets it: the recipe has no netlab.state.\n");
  }
  return ok;
}

} // namespace

int dns(const api&, const global_options& given, words w) {
  auto global = given;
  global.colour = global.colour && ::isatty(1) == 1;
  static constexpr std::string_view verbs[] = {"top",   "tail",   "why",   "allow",
                                               "block", "remove", "pause", "resume"};
  auto verb = w.take_next();
  if (!verb) return usage_error("dns what? netlab dns top, tail, why, allow, block, remove, pause or resume");
  if (*verb == "top") return top(global, std::move(w));
  if (*verb == "tail") return tail(global, std::move(w));
  if (*verb == "why") return why(global, std::move(w));
  for (auto each : verbs)
    if (*verb == each) return change(global, *verb, std::move(w));
  auto near = nearest_name(*verb, verbs);
  return usage_error("there is no \"dns " + printable(*verb) + "\"" +
                     (near ? " (did you mean \"" + std::string(*near) + "\"?)" : ""));
}

} // namespace netlab::lua::command
