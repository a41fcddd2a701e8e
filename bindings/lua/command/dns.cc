#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "command_line.h"
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

struct log_options {
  std::string server, since = "24h", client, name;
  std::size_t rows = 0;
  bool json = false, follow = false;
};

int top(const global_options& global, const log_options& wanted) {
  auto since = parse_duration(wanted.since);
  if (!since || *since <= duration{}) return usage_error("--since takes a time such as \"24h\"");
  auto rows = wanted.rows;
  auto logs = logs_of(global, wanted.server);
  if (!logs) return told_error(logs.error());
  for (const auto& log : *logs) {
    auto from = *since == duration::max() ? wall_time{} : wall_now() - *since;
    auto s = dns::read_statistics(log["folder"].get<std::string>(), from);
    if (!s) return told_error(s.error());
    if (wanted.json) {
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

bool is_wanted(const dns::logged_query& q, const std::optional<dns::name>& below, const std::string& client) {
  if (!client.empty() && q.client != client) return false;
  if (!below) return true;
  auto n = dns::name::parse(q.name);
  return n && n->is_within(*below);
}

int tail(const global_options& global, const log_options& wanted) {
  std::optional<dns::name> below;
  if (!wanted.name.empty()) {
    auto parsed = dns::name::parse(wanted.name);
    if (!parsed) return usage_error(parsed.error().message);
    below = *parsed;
  }
  auto logs = logs_of(global, wanted.server);
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
    if (wanted.json)
      std::printf("%s\n", row_json(q).dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    else
      print_row(global, q);
  };
  std::deque<dns::logged_query> last;
  // A filter may need more of the log than its end.
  auto begin = below || !wanted.client.empty()
                   ? result<dns::log_position>(dns::log_position{})
                   : dns::last_of_query_log(folder, tail_bytes + wanted.rows * 80);
  if (!begin) return told_error(begin.error());
  auto read = dns::read_query_log(folder, *begin, [&](const dns::logged_query& q) {
    if (!is_wanted(q, below, wanted.client)) return true;
    last.push_back(q);
    if (last.size() > wanted.rows) last.pop_front();
    return true;
  });
  if (!read) return told_error(read.error());
  for (const auto& q : last) show(q);
  if (read->damaged > 0)
    std::fprintf(stderr, "netlab: %llu damaged stretches of the log were skipped\n",
                 static_cast<unsigned long long>(read->damaged));
  auto at = read->end;
  while (wanted.follow) {
    std::fflush(stdout);
    ::usleep(500'000);
    if (auto flushed = ask_instance(global, {{"verb", "dns.log"}, {"server", log["server"]}}); !flushed)
      return told_error(flushed.error());
    auto more = dns::read_query_log(folder, at, [&](const dns::logged_query& q) {
      if (is_wanted(q, below, wanted.client)) show(q);
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

struct why_options {
  std::string name, type, client, server;
  bool json = false;
};

int why(const global_options& global, const why_options& wanted) {
  json request = {{"verb", "dns.why"}, {"name", wanted.name}};
  for (auto [key, text] :
       {std::pair{"type", &wanted.type}, {"client", &wanted.client}, {"server", &wanted.server}})
    if (!text->empty()) request[key] = *text;
  auto got = ask_instance(global, request);
  if (!got) return told_error(got.error());
  for (auto& told : *got) {
    auto folder = told["log"].get<std::string>();
    auto client = told.contains("client") ? told["client"].get<std::string>() : std::string();
    auto last = folder.empty() ? std::nullopt : last_asked(folder, told["name"], told["type"], client);
    if (wanted.json) {
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

// Of an overlay: what is changed, for how long, and where.
struct change_options {
  std::string name, time, server;
};

int change(const global_options& global, const std::string& verb, const change_options& wanted) {
  json request = {{"verb", "dns." + verb}, {"origin", origin()}};
  for (auto [key, text] :
       {std::pair{"name", &wanted.name}, {"for", &wanted.time}, {"server", &wanted.server}})
    if (!text->empty()) request[key] = *text;
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

void add_dns(command_line& all) {
  all.group("dns", "the DNS server of a running instance: its log, what it answers and why, what is blocked");
  auto server = [](CLI::App& c, std::string& to) {
    c.add_option("--server", to, "the name of one DNS server, where the recipe has several")
        ->option_text("NAME");
  };

  auto first = std::make_shared<log_options>();
  first->rows = 10;
  auto& top_command =
      all.add("dns top", "", "what is asked and blocked most, and by whom",
              [first](const global_options& global) { return top(global.for_output(), *first); });
  top_command.add_option("--since", first->since, "how far back (default: 24h)")->option_text("TIME");
  top_command.add_option("--rows", first->rows, "of each list (default: 10)")
      ->option_text("N")
      ->check(CLI::Range(1, 1000));
  server(top_command, first->server);
  top_command.add_flag("--json", first->json, "everything, for programs");

  auto last = std::make_shared<log_options>();
  last->rows = 20;
  auto& tail_command =
      all.add("dns tail", "[NAME]", "the query log, newest last; NAME: only it and what is below it",
              [last](const global_options& global) { return tail(global.for_output(), *last); });
  tail_command.add_option("NAME", last->name, "");
  tail_command.add_flag("-f,--follow", last->follow, "goes on with what is asked next");
  tail_command.add_option("--rows", last->rows, "to begin with (default: 20)")
      ->option_text("N")
      ->check(CLI::Range(1, 100000));
  tail_command.add_option("--client", last->client, "only what this address asked")->option_text("ADDRESS");
  server(tail_command, last->server);
  tail_command.add_flag("--json", last->json, "a line each, for programs");

  auto question = std::make_shared<why_options>();
  auto& why_command =
      all.add("dns why", "NAME", "how a name is answered: by which rule, group and upstream",
              [question](const global_options& global) { return why(global.for_output(), *question); });
  why_command.add_option("NAME", question->name, "")->required();
  why_command.add_option("--type", question->type, "record type (default: A)")->option_text("T");
  why_command.add_option("--client", question->client, "as this machine is answered")->option_text("ADDRESS");
  server(why_command, question->server);
  why_command.add_flag("--json", question->json, "everything, for programs");

  auto changed = std::make_shared<change_options>();
  auto add_change = [&](const std::string& verb, const std::string& operand,
                        const std::string& help) -> CLI::App& {
    auto& c = all.add("dns " + verb, operand, help, [verb, changed](const global_options& global) {
      return change(global.for_output(), verb, *changed);
    });
    server(c, changed->server);
    return c;
  };
  for (auto [verb, help] : {std::pair{"allow", "answers a name and what is below it, whatever the lists say"},
                            {"block", "blocks a name and what is below it"}}) {
    auto& c = add_change(verb, "NAME", help);
    c.add_option("NAME", changed->name, "")->required();
    c.add_option("--for", changed->time, "until then; unless given, until \"dns remove\"")
        ->option_text("TIME");
  }
  add_change("remove", "NAME", "takes back what allow or block changed")
      .add_option("NAME", changed->name, "")
      ->required();
  add_change("pause", "TIME", "blocks nothing for a while: netlab dns pause 5m")
      .add_option("TIME", changed->time, "")
      ->required();
  add_change("resume", "", "blocks again");
}

} // namespace netlab::lua::command
