#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "boots_table.h"
#include "command_line.h"
#include "instance.h"
#include "netlab/units.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

volatile std::sig_atomic_t interrupted = 0;

// The terminal as a screen of its own, without echo and line editing; as it was when this is dropped.
class full_screen {
public:
  full_screen() {
    ::tcgetattr(0, &before_);
    auto raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(0, TCSANOW, &raw);
    struct sigaction act {};
    act.sa_handler = [](int) { interrupted = 1; };
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &act, nullptr);
    std::fputs("\x1b[?1049h\x1b[?25l", stdout);
  }
  ~full_screen() {
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    ::tcsetattr(0, TCSANOW, &before_);
  }
  full_screen(const full_screen&) = delete;
  full_screen& operator=(const full_screen&) = delete;

  // The text from the upper left corner, cut to what the terminal shows.
  void draw(const std::string& text) {
    winsize size{};
    if (::ioctl(1, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) size = {24, 80, 0, 0};
    std::string out = "\x1b[H";
    std::size_t rows = 0, column = 0;
    for (std::size_t i = 0; i < text.size() && rows < size.ws_row; ++i) {
      char c = text[i];
      if (c == '\n') {
        out += "\x1b[K";
        if (++rows < size.ws_row) out += "\r\n";
        column = 0;
      } else if (c == '\x1b') { // colours take no room
        auto end = text.find('m', i);
        out += text.substr(i, end - i + 1);
        i = end;
      } else if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) { // the rest of a character that was counted
        if (column <= size.ws_col) out += c;
      } else if (++column <= size.ws_col) {
        out += c;
      }
    }
    out += "\x1b[J";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }

  // Waits; false when somebody wants to leave.
  bool wait(int milliseconds) {
    pollfd keys{0, POLLIN, 0};
    int n = ::poll(&keys, 1, milliseconds);
    if (interrupted) return false;
    if (n <= 0) return true;
    char key = 0;
    return ::read(0, &key, 1) == 1 && key != 'q' && key != 'Q';
  }

private:
  termios before_{};
};

using sums = std::map<std::string, double>; // counters by name, all labels together

sums sums_of(const json& status) {
  sums out;
  for (const auto& c : status["counters"]) out[c["name"].get<std::string>()] += c["value"].get<double>();
  return out;
}

// Not below zero: a run that began anew counts from there.
double grown(const sums& before, const sums& now, const std::string& name) {
  auto a = before.find(name), b = now.find(name);
  if (b == now.end()) return 0;
  return std::max(0.0, b->second - (a == before.end() ? 0 : a->second));
}

// A number of things a second.
std::string rate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value > 0 && value < 10 ? "%.1f" : "%.0f", value);
  return text;
}

struct work {
  const char* name;
  const char* what; // one of it a request
  const char* requests;
  const char* bytes; // may be null
};
constexpr std::array<work, 5> all_work{{
    {"dhcp", "packets", "netlab_dhcp_packets_total", nullptr},
    {"tftp", "requests", "netlab_tftp_requests_total", "netlab_tftp_sent_bytes_total"},
    {"http", "requests", "netlab_http_requests_total", "netlab_http_response_bytes_total"},
    {"dns", "questions", "netlab_dns_queries_total", nullptr},
    {"registry", "requests", "netlab_registry_requests_total", "netlab_registry_sent_bytes_total"},
}};

// What each protocol did since the last frame and since the start; protocols that the recipe has none of are
// no row.
table work_rows(const sums& before, const sums& now, double seconds) {
  table out{{"protocol", "", "a second", "bytes a second", "since the start"}};
  for (const auto& w : all_work) {
    auto total = now.find(w.requests);
    if (total == now.end()) continue;
    auto each = [&](double d) { return seconds > 0 ? d / seconds : 0; };
    std::string bytes;
    if (w.bytes) bytes = format_size(static_cast<std::uint64_t>(each(grown(before, now, w.bytes))));
    out.push_back({w.name, w.what, rate(each(grown(before, now, w.requests))), bytes, rate(total->second)});
  }
  return out;
}

// Shares of the questions of the last frame.
std::string dns_words(const sums& before, const sums& now) {
  auto all = grown(before, now, "netlab_dns_queries_total");
  if (all <= 0) return {};
  auto share = [&](const char* name) { return rate(100 * grown(before, now, name) / all) + " %"; };
  return "dns answers: " + share("netlab_dns_cache_hits_total") + " from the cache, " +
         share("netlab_dns_local_total") + " own names, " + share("netlab_dns_blocked_total") + " blocked, " +
         share("netlab_dns_failures_total") + " failed\n\n";
}

std::string frame(const global_options& global, const json& status, const sums& before, double seconds) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  auto up =
      std::chrono::duration_cast<duration>(std::chrono::duration<double>(status["uptime"].get<double>()));
  std::fprintf(out, "%s, up %s\n\n", paint(global, "1", in_words(status["recipe"])).c_str(),
               format_elapsed(up).c_str());
  auto now = sums_of(status);
  print_table(out, global, "work", work_rows(before, now, seconds));
  std::fputs(dns_words(before, now).c_str(), out);
  print_table(out, global, "nodes", node_rows(status));
  print_stopped(out, global, status["boots"], {});
  std::fclose(out);
  std::string all(text, size);
  std::free(text);
  return all;
}

struct top_options {
  std::string interval = "2s";
  long frames = 0; // 0: nobody said
};

int top_screen(const global_options& given, const top_options& wanted) {
  auto global = given;
  bool terminal = ::isatty(0) == 1 && ::isatty(1) == 1;
  global.colour = global.colour && terminal;
  auto interval = parse_duration(wanted.interval);
  if (!interval || *interval < std::chrono::milliseconds(100) || *interval > std::chrono::hours(1))
    return usage_error("--interval takes a duration from 100ms to 1h, such as 2s");
  // A file or a pipe gets one frame unless more are asked for; a terminal gets them until somebody leaves.
  long frames = wanted.frames > 0 ? wanted.frames : terminal ? -1 : 1;

  std::optional<full_screen> screen;
  sums before;
  auto seen = std::chrono::steady_clock::now();
  auto milliseconds =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(*interval).count());
  for (long shown = 0;; ++shown) {
    auto status = ask_instance(global, {{"verb", "status"}});
    auto timeline = status ? ask_instance(global, {{"verb", "timeline"}}) : status;
    if (!timeline) {
      screen.reset();
      std::fprintf(stderr, "netlab: %s\n", timeline.error().message.c_str());
      return unreachable;
    }
    (*status)["boots"] = (*timeline)["boots"];
    auto now = std::chrono::steady_clock::now();
    // The first look has nothing to compare with: a screen shows it at once, a file gets the second.
    if (terminal || shown > 0) {
      auto text =
          frame(global, *status, before, shown > 0 ? std::chrono::duration<double>(now - seen).count() : 0);
      if (terminal && !screen) screen.emplace();
      if (screen)
        screen->draw(text);
      else
        std::fputs(text.c_str(), stdout);
      if (frames > 0 && shown + (terminal ? 1 : 0) >= frames) return ok;
    }
    before = sums_of(*status);
    seen = now;
    if (screen) {
      if (!screen->wait(milliseconds)) return ok;
    } else {
      ::poll(nullptr, 0, milliseconds);
    }
  }
}

} // namespace

void add_top(command_line& all) {
  auto wanted = std::make_shared<top_options>();
  auto& c =
      all.add("top", "",
              "a running instance as it works: what every service does a second, and the nodes; q or Ctrl-C "
              "ends it",
              [wanted](const global_options& global) { return top_screen(global, *wanted); });
  c.add_option("--interval", wanted->interval, "between two looks (default: 2s)")->option_text("TIME");
  c.add_option("--frames", wanted->frames, "ends after so many (default: 1 into a file or a pipe)")
      ->option_text("N")
      ->check(CLI::Range(1, 1'000'000));
}

} // namespace netlab::lua::command
