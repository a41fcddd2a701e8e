#include "netlab/dns_filter_lists.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "filter_download.h"
#include "filter_messages.h"
#include "filter_refresh.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

using namespace std::chrono_literals;

constexpr duration gather_changes = 1s; // an editor writes a file in several steps
constexpr duration compile_retry = 5min;
constexpr duration hand_over = 250ms; // workers take a new filter within a turn of their loops

void lower_priority() {
  setpriority(PRIO_PROCESS, 0, 19); // of this thread alone, on Linux
  constexpr int who_process = 1, class_idle = 3 << 13;
  syscall(SYS_ioprio_set, who_process, 0, class_idle);
}

// Sixteen octets that were drawn on the loop's thread, for the compiler's.
class drawn_seed final : public random_source {
public:
  explicit drawn_seed(random_source& from) { from.fill(octets_); }
  void fill(byte_span out) override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = octets_[i % octets_.size()];
  }

private:
  std::array<std::uint8_t, 16> octets_;
};

std::int64_t seconds_of(wall_time t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

} // namespace

result<void> check(const filter_lists_config& config) {
  if (config.lists.size() > 64)
    return fail(errc::invalid,
                "there are " + std::to_string(config.lists.size()) + " lists, and 64 are possible");
  std::set<std::string> names;
  for (const auto& l : config.lists) {
    if (!names.insert(l.name).second)
      return fail(errc::invalid, "two lists have the name \"" + printable(l.name) + "\"");
    if (!l.url.empty() + !l.path.empty() + !l.text.empty() > 1)
      return fail(errc::invalid,
                  "\"" + printable(l.name) + "\": only one of url, path and rules is possible");
    if (l.refresh.value_or(config.refresh) < 1min)
      return fail(errc::invalid, "\"" + printable(l.name) + "\": a refresh sooner than \"1m\" is not polite");
  }
  return {};
}

struct filter_lists::impl {
  impl(runtime& w, filter_lists_config c, on_filter_fn fn)
      : world(w), config(std::move(c)), on_filter(std::move(fn)), lists(config.lists.size()) {
    for (std::size_t i = 0; i < lists.size(); ++i) {
      lists[i].key = list_key(config.lists[i].url);
      lists[i].stored.url = config.lists[i].url;
    }
    if (!config.run_aside)
      config.run_aside = [this](std::function<void()> job) {
        if (thread.joinable()) thread.join(); // the one before has said its last word
        thread = std::thread([job = std::move(job)] {
          lower_priority();
          job();
        });
      };
  }

  ~impl() {
    *alive = false;
    stop = true;
    exchange.reset();
    if (incoming) incoming->discard(); // whoever else still holds it
    if (thread.joinable()) thread.join();
  }

  // --- what is known of each list
  struct list_state {
    std::string key;
    stored_list stored; // of a URL
    bool have_copy = false;
    std::string identity; // of what would be compiled now
    std::string trouble;
    unsigned failures = 0;
    boot_time next{};
    std::optional<list_report> report;
  };

  std::string copy_path(const list_state& l) const { return config.folder + "/" + l.key + ".list"; }
  std::string compiled_path() const { return config.folder + "/lists.compiled"; }
  std::string state_path() const { return config.folder + "/lists.json"; }
  log_fields fields(std::size_t i) const {
    return {{"server", config.server}, {"list", config.lists[i].name}};
  }

  void start() {
    if (auto made = world.files.make_folders(config.folder); !made) {
      world.log(msg_compile_failed, made.error().message, {{"server", config.server}});
      work = world.scheduler.after(compile_retry, [this] { start(); });
      return;
    }
    std::map<std::string, stored_list> known;
    if (auto text = world.files.read(state_path())) known = stored_lists(*text);
    auto now = world.clock.now();
    for (std::size_t i = 0; i < lists.size(); ++i) {
      auto& l = lists[i];
      if (config.lists[i].url.empty()) continue;
      if (auto found = known.find(l.key); found != known.end()) l.stored = found->second;
      l.have_copy = !l.stored.sha256.empty() && world.files.info(copy_path(l)).has_value();
      l.next =
          now + wait_at_start(l.stored, l.have_copy, refresh_of(i), world.clock.wall(), world.random.u32());
    }
    identify();
    open_compiled();
    watch_files();
    // What is answered first must not wait for what is checked.
    work = world.scheduler.after(0s, [this] { pump(); });
  }

  duration refresh_of(std::size_t i) const { return config.lists[i].refresh.value_or(config.refresh); }

  // Notes what each list is by now. True when something differs from before.
  bool identify() {
    bool changed = false;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      auto& l = lists[i];
      const auto& c = config.lists[i];
      std::string now;
      if (!c.url.empty()) {
        now = l.have_copy ? l.stored.sha256 : "none";
      } else if (!c.path.empty()) {
        auto info = world.files.info(c.path);
        now = info ? std::to_string(info->size) + ":" + std::to_string(info->modified) : "missing";
        if (!info && l.identity != now)
          world.log(msg_list_missing, "list " + printable(c.name) + ": " + info.error().message, fields(i));
        l.trouble = info ? "" : info.error().message;
      } else {
        now = list_key(c.text);
      }
      changed = changed || now != l.identity;
      l.identity = now;
    }
    return changed;
  }

  sha256_digest inputs() const {
    sha256 hash;
    auto add = [&](std::string_view text) {
      hash.update(as_bytes(std::to_string(text.size()) + ":"));
      hash.update(as_bytes(text));
    };
    for (std::size_t i = 0; i < lists.size(); ++i) {
      const auto& c = config.lists[i];
      add(c.name);
      add(c.url + c.path);
      add((c.allow ? "allow" : "block") + std::string(c.subdomains ? "+" : ""));
      add(lists[i].identity);
    }
    return hash.finish();
  }

  void open_compiled() {
    auto opened = open_filter(compiled_path(), config.limits);
    dirty = true;
    if (!opened) {
      if (opened.error().code != errc::not_found)
        world.log(msg_filter_damaged, opened.error().message, {{"server", config.server}});
      return;
    }
    // Groups number the lists: a file of other lists would block for the wrong people.
    const auto& its = (*opened)->lists();
    bool same = its.size() == lists.size();
    for (std::size_t i = 0; same && i < lists.size(); ++i)
      same = its[i].name == config.lists[i].name && its[i].allow == config.lists[i].allow;
    if (!same) return;
    dirty = (*opened)->inputs() != inputs();
    compiled = *opened;
    unverified = !dirty;
    on_filter(compiled);
  }

  void watch_files() {
    std::set<std::string> folders;
    for (const auto& l : config.lists)
      if (!l.path.empty()) folders.insert(join_path(l.path, ".."));
    for (const auto& folder : folders) {
      // The folder, because editors put a new file in the old one's place.
      auto watching = world.files.watch(folder, [this] {
        if (gather) return;
        gather = world.scheduler.after(gather_changes, [this] {
          gather = {};
          if (!identify()) return;
          dirty = true;
          pump();
        });
      });
      if (watching) watches.push_back(std::move(*watching));
    }
  }

  // --- one thing at a time
  void pump() {
    if (busy) return;
    auto now = world.clock.now();
    auto due = lists.size();
    boot_time next = boot_time::max();
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (config.lists[i].url.empty()) continue;
      if (lists[i].next <= now && due == lists.size()) due = i;
      next = std::min(next, lists[i].next);
    }
    if (dirty && now < compile_not_before) next = std::min(next, compile_not_before);
    // With nothing to answer from, what there is comes first; otherwise one compilation for all downloads.
    bool may_compile = dirty && now >= compile_not_before;
    if (may_compile && (due == lists.size() || (!compiled && has_content()))) return compile();
    if (due < lists.size()) return download(due);
    if (unverified && now >= verify_not_before) return verify();
    if (unverified) next = std::min(next, verify_not_before);
    if (next == boot_time::max()) return;
    work = world.scheduler.after(std::max<duration>(next - now, 1ms), [this] { pump(); });
  }

  bool has_content() const {
    for (std::size_t i = 0; i < lists.size(); ++i)
      if (config.lists[i].url.empty() ? lists[i].identity != "missing" : lists[i].have_copy) return true;
    return false;
  }

  // Runs `job` aside and `done` with its result back on the loop, when this object is still there.
  template<class Job, class Done>
  void aside(Job job, Done done) {
    using value = std::invoke_result_t<Job>;
    busy = true;
    config.run_aside([this, job = std::move(job), done = std::move(done), alive = alive,
                      &back = world.scheduler]() mutable {
      auto result = std::make_shared<value>(job());
      back.post([this, result, done = std::move(done), alive]() mutable {
        if (!*alive) return;
        busy = false;
        done(std::move(*result));
      });
    });
  }

  // --- downloads
  void download(std::size_t i) {
    auto& l = lists[i];
    auto file = std::make_shared<download_file>(config.folder + "/" + l.key + ".part");
    if (auto opened = file->open(); !opened) return failed(i, opened.error().message);
    busy = true;
    incoming = file;
    auto request = list_request(l.stored, l.have_copy, config.ca_file);
    // Bytes go to the disk as they come: a list may be larger than what we want to remember.
    request.on_body = [file, limit = config.limits.bytes](byte_view bytes) { file->write(bytes, limit); };
    exchange = world.http.send(std::move(request), [this, i, file](result<http_response> response) {
      busy = false;
      incoming.reset();
      // The exchange is dropped after its own callback.
      ended = std::move(exchange);
      auto written = file->finish();
      if (!response) return failed(i, response.error().message);
      if (response->status == 304 && lists[i].have_copy) return settled(i);
      if (auto fit = judge_response(*response); !fit.good) return refused(i, fit.why);
      if (!written)
        return written.error().code == errc::limit ? refused(i, written.error().message)
                                                   : failed(i, written.error().message);
      inspect(i, file, *response);
    });
    if (!exchange) {
      busy = false;
      failed(i, "no request can be sent");
    }
  }

  void inspect(std::size_t i, std::shared_ptr<download_file> file, const http_response& response) {
    filter_source source;
    source.name = config.lists[i].name;
    source.path = file->path();
    auto etag = std::string(response.header("etag"));
    auto modified = std::string(response.header("last-modified"));
    aside([source, limits = config.limits] { return inspect_list(source, limits); },
          [this, i, file, etag, modified](result<list_report> report) {
            auto& l = lists[i];
            if (!report) return failed(i, report.error().message);
            if (auto fit = judge_list(*report, l.stored, l.have_copy); !fit.good) return refused(i, fit.why);
            auto digest = to_hex(report->digest);
            bool same = l.have_copy && digest == l.stored.sha256;
            l.stored.etag = etag;
            l.stored.last_modified = modified;
            if (same) return settled(i);
            l.report = std::move(*report);
            keep(i, file, digest);
          });
  }

  void keep(std::size_t i, std::shared_ptr<download_file> file, const std::string& digest) {
    aside([from = file->path(), to = copy_path(lists[i])] { return download_file::keep(from, to); },
          [this, i, file, digest](result<void> kept) {
            if (!kept) return failed(i, kept.error().message);
            file->kept();
            auto& l = lists[i];
            const auto& r = *l.report;
            l.stored.sha256 = l.identity = digest;
            l.stored.format = r.format;
            l.stored.rules = r.rules;
            l.stored.unsupported = r.unsupported;
            l.stored.malformed = r.malformed;
            l.stored.changed = seconds_of(world.clock.wall());
            l.have_copy = true;
            dirty = true;
            world.log(msg_list_updated,
                      "list " + printable(config.lists[i].name) + ": " + std::to_string(r.rules) +
                          " rules (" + r.format + ", " + format_size(r.bytes) + ")",
                      fields(i));
            tell_refused_lines(i, r);
            settled(i);
          });
  }

  void settled(std::size_t i) {
    auto& l = lists[i];
    l.failures = 0;
    l.trouble.clear();
    l.stored.checked = seconds_of(world.clock.wall());
    l.next = world.clock.now() + wait_after_success(refresh_of(i), world.random.u32());
    save();
    again();
  }

  void failed(std::size_t i, const std::string& why) {
    auto wait = wait_after_failure(lists[i].failures + 1, world.random.u32());
    give_up(i, msg_list_unreachable, why, wait);
  }
  // The server is there and will say the same in a minute.
  void refused(std::size_t i, const std::string& why) {
    give_up(i, msg_list_kept, why, wait_after_bad_list(refresh_of(i), world.random.u32()));
  }

  void give_up(std::size_t i, const netlab::message& m, const std::string& why, duration wait) {
    auto& l = lists[i];
    ++l.failures;
    // The same trouble every hour is one line.
    if (l.trouble != why)
      world.log(m,
                "list " + printable(config.lists[i].name) + ": " + why +
                    (l.have_copy ? "; the version of before is used" : "; there is no version of it yet"),
                fields(i));
    l.trouble = why;
    l.next = world.clock.now() + wait;
    save();
    again();
  }

  void save() {
    std::map<std::string, stored_list> out;
    for (std::size_t i = 0; i < lists.size(); ++i)
      if (!config.lists[i].url.empty()) out[lists[i].key] = lists[i].stored;
    if (auto written = world.files.write(state_path(), to_json(out).dump(1) + "\n"); !written)
      world.log.write(log_level::warn, written.error().message, {{"server", config.server}});
  }

  // Never inside a callback of the exchange or of a job: both end first.
  void again() {
    work = world.scheduler.after(0s, [this] {
      ended.reset();
      pump();
    });
  }

  // --- compiling
  std::vector<filter_source> sources() const {
    std::vector<filter_source> out;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      const auto& c = config.lists[i];
      filter_source s;
      s.name = c.name;
      s.allow = c.allow;
      s.subdomains = c.subdomains;
      if (!c.url.empty())
        s.path = lists[i].have_copy ? copy_path(lists[i]) : "";
      else if (!c.path.empty())
        s.path = lists[i].identity == "missing" ? "" : c.path;
      else
        s.text = c.text;
      out.push_back(std::move(s));
    }
    return out;
  }

  struct outcome {
    compile_report report;
    std::shared_ptr<const compiled_filter> filter;
  };

  void compile() {
    if (lists.empty()) {
      dirty = false;
      return;
    }
    compile_options options;
    options.path = compiled_path();
    options.inputs = inputs();
    options.now = world.clock.wall();
    options.limits = config.limits;
    options.stop = &stop;
    dirty = unverified = false;
    auto began = world.clock.now();
    aside(
        [sources = sources(), options, seed = drawn_seed(world.random)]() mutable -> result<outcome> {
          auto report = compile_filter(sources, options, seed);
          if (!report) return tl::unexpected(report.error());
          auto opened = open_filter(options.path, options.limits);
          if (!opened) return tl::unexpected(opened.error());
          return outcome{std::move(*report), std::move(*opened)};
        },
        [this, began](result<outcome> made) {
          if (!made) {
            dirty = true;
            compile_not_before = world.clock.now() + compile_retry;
            world.log(msg_compile_failed, made.error().message, {{"server", config.server}});
            return again();
          }
          for (std::size_t i = 0; i < lists.size(); ++i) take_report(i, std::move(made->report.lists[i]));
          world.log(msg_lists_compiled,
                    std::to_string(made->report.names) + " names and " +
                        std::to_string(made->report.regexes) + " expressions in " +
                        format_size(made->report.bytes) + ", " + format_elapsed(world.clock.now() - began),
                    {{"server", config.server}});
          use(std::move(made->filter));
          // The compiler leaves nothing in the page cache, so that two files are never there together. Once
          // everybody has let go of the old one, the new one is read whole: checked, and in memory.
          unverified = true;
          verify_not_before = world.clock.now() + hand_over;
          again();
        });
  }

  void take_report(std::size_t i, list_report report) {
    bool fresh = !lists[i].report || lists[i].report->digest != report.digest;
    if (fresh && config.lists[i].url.empty()) {
      tell_refused_lines(i, report);
      if (!report.refused.empty()) {
        lists[i].trouble = report.refused;
        world.log(msg_list_missing, "list " + printable(config.lists[i].name) + ": " + report.refused,
                  fields(i));
      }
    }
    lists[i].report = std::move(report);
  }

  void tell_refused_lines(std::size_t i, const list_report& r) {
    if (r.malformed + r.unsupported == 0) return;
    const auto& c = config.lists[i];
    std::string text = "list " + printable(c.name) + ": " + std::to_string(r.malformed) +
                       " lines are wrong, " + std::to_string(r.unsupported) + " are not for DNS";
    for (const auto& line : r.first)
      text += "; " + (c.path.empty() ? std::string("line ") : c.path + ":") + std::to_string(line.number) +
              " \"" + line.text + "\": " + line.why;
    world.log(msg_lines_refused, text, fields(i));
  }

  void use(std::shared_ptr<const compiled_filter> fresh) {
    compiled = std::move(fresh);
    on_filter(compiled);
  }

  // A file is believed when it is opened and read whole afterwards.
  void verify() {
    unverified = false;
    aside(
        [filter = compiled] {
          filter->warm();
          return filter->verify();
        },
        [this](result<void> sound) {
          if (!sound) {
            world.log(msg_filter_damaged, sound.error().message, {{"server", config.server}});
            dirty = true;
          }
          again();
        });
  }

  runtime& world;
  filter_lists_config config;
  on_filter_fn on_filter;
  std::vector<list_state> lists;
  std::shared_ptr<const compiled_filter> compiled; // what was handed out last
  bool dirty = false;                              // what was handed out is not what the lists are
  bool unverified = false;                         // nobody has read the whole file yet
  bool busy = false;
  boot_time compile_not_before{}, verify_not_before{};
  std::atomic<bool> stop = false;
  std::shared_ptr<std::atomic<bool>> alive = std::make_shared<std::atomic<bool>>(true);
  std::thread thread;
  std::unique_ptr<http_exchange> exchange, ended;
  std::shared_ptr<download_file> incoming; // what the exchange writes
  timer work, gather;
  std::vector<std::shared_ptr<void>> watches;
};

filter_lists::filter_lists(runtime& world, filter_lists_config config, on_filter_fn on_filter)
    : impl_(std::make_unique<impl>(world, std::move(config), std::move(on_filter))) {}
filter_lists::~filter_lists() = default;

void filter_lists::start() { impl_->start(); }

void filter_lists::refresh() {
  for (auto& l : impl_->lists) l.next = impl_->world.clock.now();
  impl_->again();
}

bool filter_lists::busy() const { return impl_->busy || impl_->dirty; }

std::vector<list_status> filter_lists::status() const {
  std::vector<list_status> out;
  for (std::size_t i = 0; i < impl_->lists.size(); ++i) {
    const auto& l = impl_->lists[i];
    const auto& c = impl_->config.lists[i];
    list_status s;
    s.name = c.name;
    s.allow = c.allow;
    s.trouble = l.trouble;
    if (!c.url.empty()) {
      auto at = [](std::int64_t seconds) -> std::optional<wall_time> {
        if (seconds == 0) return std::nullopt;
        return wall_time(std::chrono::seconds(seconds));
      };
      s.checked = at(l.stored.checked);
      s.changed = at(l.stored.changed);
      s.next = std::max<duration>(l.next - impl_->world.clock.now(), duration::zero());
      s.format = l.stored.format;
      s.rules = l.stored.rules;
      s.unsupported = l.stored.unsupported;
      s.malformed = l.stored.malformed;
    } else if (!l.report && impl_->compiled && i < impl_->compiled->lists().size()) {
      s.rules = impl_->compiled->lists()[i].rules;
    }
    if (l.report) {
      s.format = l.report->format;
      s.rules = l.report->rules;
      s.unsupported = l.report->unsupported;
      s.malformed = l.report->malformed;
      s.first = l.report->first;
    }
    out.push_back(std::move(s));
  }
  return out;
}

} // namespace netlab::dns
