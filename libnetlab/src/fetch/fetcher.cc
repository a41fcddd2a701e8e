#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "checksum_file.h"
#include "download.h"
#include "messages.h"
#include "netlab/encoding.h"
#include "netlab/json.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "netlab/url.h"
#include "registry_client.h"
#include "unpack_file.h"

namespace netlab::fetch {

namespace {

constexpr auto progress_every = std::chrono::seconds(10);
constexpr auto show_every = std::chrono::seconds(1);

// One file and how far it is in the attempt under way.
struct job {
  explicit job(wanted_file w) : file(std::move(w)) { state.name = file.name; }

  wanted_file file;
  file_state state;
  std::optional<file_record> record; // of the copy in place

  // Of the attempt under way.
  std::string url;
  std::optional<checksum> expected; // of the file itself
  std::vector<oci_layer> layers;    // still to look into, the uppermost first
  std::optional<oci_reference> image;
  std::optional<oci_layer> layer;
  bool archive = false;
  std::unique_ptr<download> transfer;
  // What the attempt brought; kept until all of the set have theirs.
  bool unchanged = false;
  std::string ready; // path of the verified part
  file_record news;
  duration elapsed{}; // of the transfer that brought it
  std::uint64_t transferred = 0;
  boot_time told{};
  std::uint64_t told_bytes = 0, shown_bytes = 0;
};

// Files that are put in place together, and their attempts.
struct batch {
  std::vector<std::shared_ptr<job>> jobs;
  std::size_t open = 0; // jobs of the attempt that have not ended
  std::optional<error> failure;
  unsigned failures = 0; // in a row
  timer next;
};

std::string read_boot_id(files& disk) {
  auto text = disk.read("/proc/sys/kernel/random/boot_id", 128);
  return text ? std::string(trim(*text)) : std::string();
}

std::int64_t seconds_of(wall_time t) {
  return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 1024 || name.front() == '/' || name.starts_with(".netlab-")) return false;
  for (auto part : split(name, '/'))
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
  return std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_http(std::string_view url) { return url.starts_with("http://") || url.starts_with("https://"); }

} // namespace

std::string_view to_string(file_phase phase) {
  switch (phase) {
  case file_phase::waiting: return "waiting";
  case file_phase::fetching: return "fetching";
  case file_phase::ready: return "ready";
  case file_phase::failed: return "failed";
  }
  return "waiting";
}

std::string file_state::words() const {
  auto amount = [&] {
    if (size == 0) return bytes == 0 ? std::string("begins") : format_size(bytes) + " so far";
    return std::to_string(bytes * 100 / size) + " % of " + format_size(size);
  };
  switch (phase) {
  case file_phase::waiting: return "waits for its turn";
  case file_phase::fetching: return amount();
  case file_phase::ready: return "ready";
  case file_phase::failed: return failure + (next_attempt.empty() ? "" : "; next attempt at " + next_attempt);
  }
  return {};
}

result<void> check(const wanted_file& file) {
  if (!is_name(file.name))
    return fail(errc::invalid,
                "\"" + printable(file.name) + "\" cannot be a file's name in the assets folder", "name");
  if (file.factory) {
    if (!is_http(file.factory->factory))
      return fail(errc::invalid, "\"" + printable(file.factory->factory) + "\" is no http or https address",
                  "factory");
    return {};
  }
  if (is_oci_url(file.url)) {
    auto parsed = parse_oci_url(file.url);
    if (!parsed) return fail(errc::invalid, parsed.error().message, "url");
  } else if (!is_http(file.url) || host_of(file.url).empty()) {
    return fail(errc::invalid,
                "\"" + shown_url(file.url) +
                    "\" cannot be fetched: http://, https:// and oci:// addresses can",
                "url");
  }
  if (!file.checksums.empty() && !is_http(file.checksums))
    return fail(errc::invalid, "\"" + shown_url(file.checksums) + "\" is no http or https address",
                "checksums");
  return {};
}

struct fetcher::impl : std::enable_shared_from_this<fetcher::impl> {
  impl(const runtime& w, fetch_options o, std::function<void(const file_state&)> fn)
      : world(w), options(std::move(o)), on_change(std::move(fn)), kept(world.files, options.folder),
        registries(world, options) {}

  runtime world;
  fetch_options options;
  std::function<void(const file_state&)> on_change;
  records kept;
  registry_client registries;
  std::string boot_id;
  std::vector<std::unique_ptr<batch>> batches;
  std::map<std::string, batch*> by_set;
  std::set<std::string> names;
  // Transfers wait here for their turn.
  std::deque<std::function<void()>> queue;
  std::size_t running = 0;
  std::vector<std::unique_ptr<http_exchange>> exchanges; // of lists and schematics
  // Who waits for one schematic's id, by what is posted to whom.
  std::map<std::string, std::vector<std::function<void(result<std::string>)>>> schematics;
  timer tick;

  // --- telling ---

  void show(job& j) {
    world.scheduler.post([weak = weak_from_this(), state = j.state] {
      if (auto self = weak.lock(); self && self->on_change) self->on_change(state);
    });
  }

  void tell_progress() {
    auto now = world.clock.now();
    bool any = false;
    for (auto& b : batches) {
      for (auto& j : b->jobs) {
        if (j->state.phase != file_phase::fetching) continue;
        any = true;
        if (std::exchange(j->shown_bytes, j->state.bytes) != j->state.bytes) show(*j);
        if (now - j->told < progress_every) continue;
        auto seconds = std::chrono::duration<double>(now - j->told).count();
        auto rate = static_cast<double>(j->state.bytes - std::min(j->told_bytes, j->state.bytes)) / seconds;
        world.log(msg_progress, j->file.name + ": " + j->state.words(),
                  {{"file", j->file.name},
                   {"bytes", std::to_string(j->state.bytes)},
                   {"size", std::to_string(j->state.size)},
                   {"rate", format_size(static_cast<std::uint64_t>(rate)) + "/s"}});
        j->told = now;
        j->told_bytes = j->state.bytes;
      }
    }
    if (!any) tick.cancel();
  }

  // --- the beginning ---

  void start() {
    boot_id = read_boot_id(world.files);
    for (auto& b : batches) {
      for (auto& j : b->jobs) look_at_copy(*j);
      auto wait = until_due(*b);
      if (wait <= duration::zero())
        attempt(*b);
      else
        again(*b, wait);
    }
  }

  // What the folder has: whether it may be served is decided before anybody asks the source.
  void look_at_copy(job& j) {
    auto path = kept.place(j.file.name);
    j.record = kept.read_file(j.file.name);
    auto info = world.files.info(path);
    if (!info || info->folder) {
      j.record.reset();
      return show(j);
    }
    bool same = j.record && j.record->size == info->size && j.record->modified == info->modified;
    if (!same) j.record.reset();
    j.state.usable = true;
    if (j.record) j.state.digest = j.record->sha256.to_string();
    if (j.file.expected && !(j.record && j.record->proves(*j.file.expected))) {
      auto found = checksum_of_file(path, j.file.expected->algorithm);
      j.state.usable = found && *found == *j.file.expected;
      if (found && !j.state.usable)
        world.log(msg_local_wrong,
                  j.file.name + ": expected " + j.file.expected->to_string() +
                      ", the file in the folder has " + found->to_string(),
                  {{"file", j.file.name}});
      if (j.state.usable && !j.record) {
        file_record adopted;
        adopted.url = url_of_record(j);
        adopted.size = info->size;
        adopted.modified = info->modified;
        adopted.checked = seconds_of(world.clock.wall());
        if (j.file.expected->algorithm == digest_algorithm::sha512) adopted.sha512 = *found;
        auto first = j.file.expected->algorithm == digest_algorithm::sha256
                         ? found
                         : checksum_of_file(path, digest_algorithm::sha256);
        if (first) {
          adopted.sha256 = *first;
          j.record = adopted;
          (void)kept.write_file(j.file.name, adopted);
        }
      }
      j.state.digest = j.state.usable ? found->to_string() : std::string();
    }
    if (is_final(j)) j.state.phase = file_phase::ready;
    show(j);
  }

  // Its source has nothing newer to give: the recipe says which bytes, or the address does.
  bool is_final(const job& j) const {
    if (!j.state.usable) return false;
    if (j.file.expected) return true;
    if (!j.record || j.record->url != url_of_record(j)) return false;
    if (j.file.factory) return true; // a model never changes
    return is_oci_url(j.file.url) && j.file.url.find("@sha") != std::string::npos;
  }

  static std::string url_of_record(const job& j) {
    if (!j.file.factory) return j.file.url;
    const auto& m = *j.file.factory;
    return m.factory + " " + (m.id.empty() ? m.schematic : m.id) + " " + m.version + " " + j.file.url;
  }

  // How long until some file of the set must be asked for.
  duration until_due(const batch& b) const {
    auto wait = duration::max();
    for (const auto& j : b.jobs) {
      if (is_final(*j)) continue;
      if (!j->state.usable || !j->record || j->record->url != url_of_record(*j)) return duration::zero();
      auto since = std::chrono::seconds(seconds_of(world.clock.wall()) - j->record->checked);
      // A clock that was set back makes it due.
      if (since < std::chrono::seconds(0) || since >= options.refresh) return duration::zero();
      j->state.phase = file_phase::ready;
      wait = std::min<duration>(wait, options.refresh - since);
    }
    return wait;
  }

  void again(batch& b, duration wait) {
    for (auto& j : b.jobs)
      if (j->state.usable && j->state.phase == file_phase::waiting) {
        j->state.phase = file_phase::ready;
        show(*j);
      }
    if (wait == duration::max()) return;
    b.next = world.scheduler.after(wait, [this, &b] { attempt(b); });
  }

  // --- one attempt ---

  void attempt(batch& b) {
    b.next.cancel();
    b.failure.reset();
    b.open = 0;
    std::vector<std::shared_ptr<job>> due;
    for (auto& j : b.jobs) {
      if (is_final(*j)) continue;
      j->unchanged = false;
      j->state.failure.clear();
      if (!j->state.usable) j->state.phase = file_phase::waiting;
      due.push_back(j);
    }
    b.open = due.size();
    if (due.empty()) return;
    if (auto made = kept.make_folder(); !made) {
      for (auto& j : due) fail_job(b, j, made.error());
      return;
    }
    for (auto& j : due) resolve(b, j);
  }

  void fail_job(batch& b, const std::shared_ptr<job>& j, error why) {
    j->transfer.reset();
    j->state.failure = why.message;
    j->state.phase = file_phase::failed;
    if (!b.failure || why.op == "fetch.checksum") b.failure = why;
    report(*j, why);
    job_ended(b);
  }

  void job_ended(batch& b) {
    if (--b.open > 0) return;
    // Not in the middle of a transfer's own callback.
    world.scheduler.post([weak = weak_from_this(), &b] {
      if (auto self = weak.lock()) self->attempt_ended(b);
    });
  }

  void report(const job& j, const error& why) {
    const auto& what = why.op == "fetch.checksum"                                    ? msg_wrong_checksum
                       : why.op == "part.room"                                       ? msg_no_room
                       : why.code == errc::not_found && why.op.starts_with("fetch.") ? msg_not_offered
                                                                                     : msg_failed;
    auto source = j.file.factory ? j.file.factory->factory : shown_url(j.file.url);
    world.log(what, j.file.name + ": " + why.message,
              {{"file", j.file.name},
               {"source", source},
               {"copy", j.state.usable ? "the one that is there is served on" : "none"}});
  }

  void attempt_ended(batch& b) {
    if (!b.failure) {
      for (auto& j : b.jobs)
        if (!put_in_place(b, *j)) break;
    }
    if (!b.failure) {
      b.failures = 0;
      return again(b, until_due(b));
    }
    ++b.failures;
    auto wait = options.first_retry;
    for (unsigned i = 1; i < b.failures && wait < options.last_retry; ++i) wait *= 2;
    wait = std::min(wait, options.last_retry);
    // Wrong bytes seldom become right within seconds, and each try costs the whole transfer.
    if (b.failure->op == "fetch.checksum")
      wait = std::min(std::max(wait, options.first_retry * 6), options.last_retry);
    auto next = format_time(world.clock.wall() + wait, false);
    for (auto& j : b.jobs) {
      if (is_final(*j)) continue;
      j->state.phase = j->state.usable ? file_phase::ready : file_phase::failed;
      if (j->state.failure.empty()) j->state.failure = b.failure->message;
      j->state.next_attempt = next;
      show(*j);
    }
    b.next = world.scheduler.after(wait, [this, &b] { attempt(b); });
  }

  // --- where the bytes are ---

  void resolve(batch& b, const std::shared_ptr<job>& j) {
    if (!j->ready.empty()) return job_ended(b); // an earlier attempt brought it; others of the set failed
    j->expected = j->file.expected;
    j->archive = false;
    if (j->file.factory) return resolve_model(b, j);
    if (is_oci_url(j->file.url)) return resolve_image(b, j);
    j->url = j->file.url;
    if (j->file.checksums.empty()) return line_up(b, j);
    ask(j->file.checksums, 4u << 20, [this, &b, j](result<std::string> list) {
      if (!list) return fail_job(b, j, list.error());
      auto path = j->url.substr(0, j->url.find_first_of("?#"));
      auto found = find_checksum(*list, path);
      if (!found)
        return fail_job(b, j,
                        {found.error().code, shown_url(j->file.checksums) + ": " + found.error().message,
                         found.error().op});
      j->expected = *found;
      // The list says that the copy in place is what the source has: nothing is to be fetched.
      if (j->state.usable && j->record && j->record->url == j->file.url && j->record->proves(*found)) {
        j->unchanged = true;
        j->news = *j->record;
        return job_ended(b);
      }
      line_up(b, j);
    });
  }

  void resolve_model(batch& b, const std::shared_ptr<job>& j) {
    const auto& m = *j->file.factory;
    auto found = [this, &b, j](result<std::string> id) {
      if (!id) return fail_job(b, j, id.error());
      j->url =
          j->file.factory->factory + "/image/" + *id + "/" + j->file.factory->version + "/" + j->file.url;
      line_up(b, j);
    };
    if (!m.id.empty()) return found(m.id);
    auto key = m.factory + " " + m.schematic;
    if (auto known = kept.read_schematic(key); !known.empty()) return found(known);
    auto& waiting = schematics[key];
    waiting.push_back(found);
    if (waiting.size() > 1) return;
    http_request q;
    q.method = "POST";
    q.url = m.factory + "/schematics";
    q.body = m.schematic;
    q.headers = {{"Content-Type", "application/json"}};
    q.body_limit = 1u << 20;
    q.verify = options.verify;
    q.ca_file = options.ca_file;
    send(std::move(q), [this, key, factory = m.factory](result<http_response> got) {
      auto id = read_id(factory, std::move(got));
      if (id) kept.write_schematic(key, *id);
      auto all = std::move(schematics[key]);
      schematics.erase(key);
      for (auto& fn : all) fn(id);
    });
  }

  static result<std::string> read_id(const std::string& factory, result<http_response> got) {
    if (!got) return tl::unexpected(got.error());
    auto body = printable(got->body.substr(0, 300));
    if (got->status == 400 || got->status == 422)
      return fail(errc::not_found, "the factory refuses the schematic: " + body, "fetch.schematic");
    if (got->status != 200 && got->status != 201)
      return fail(errc::refused,
                  factory + " answers " + std::to_string(got->status) + " to a schematic: " + body,
                  "fetch.schematic");
    auto parsed = parse_json(got->body);
    std::string id;
    if (parsed && parsed->is_object())
      if (auto found = parsed->find("id"); found != parsed->end() && found->is_string())
        id = found->get<std::string>();
    if (id.size() != 64 || id.find_first_not_of("0123456789abcdef") != std::string::npos)
      return fail(errc::protocol, factory + " answers a schematic without an id: " + body, "fetch.schematic");
    return id;
  }

  void resolve_image(batch& b, const std::shared_ptr<job>& j) {
    auto of = parse_oci_url(j->file.url);
    if (!of) return fail_job(b, j, of.error());
    j->image = *of;
    registries.layers(*of, j->file.arch, [this, &b, j](result<std::vector<oci_layer>> layers) {
      if (!layers) return fail_job(b, j, layers.error());
      const auto& file = j->image->file;
      for (const auto& l : *layers)
        if (l.title == file || (file.find('/') == std::string::npos && l.title.ends_with("/" + file))) {
          j->layers = {l};
          return next_layer(b, j);
        }
      std::string titles;
      j->layers.clear();
      for (auto l = layers->rbegin(); l != layers->rend(); ++l) {
        if (!l->title.empty())
          titles += (titles.empty() ? "" : ", ") + printable(l->title);
        else if (l->archive)
          j->layers.push_back(*l);
      }
      if (j->layers.empty())
        return fail_job(b, j,
                        {errc::not_found,
                         "the artifact has no file " + printable(file) + " (it has " +
                             (titles.empty() ? "no named layers and no tar" : titles) + ")",
                         "fetch.oci"});
      next_layer(b, j);
    });
  }

  // The uppermost layer that has not been looked into yet.
  void next_layer(batch& b, const std::shared_ptr<job>& j) {
    j->layer = j->layers.front();
    j->layers.erase(j->layers.begin());
    j->archive = j->layer->title.empty();
    j->url = registry_client::blob_url(*j->image, j->layer->digest);
    // The same layer as last time: its file is in place.
    if (j->state.usable && j->record && j->record->url == j->file.url &&
        j->record->of.etag == "\"" + j->layer->digest.to_string() + "\"") {
      j->unchanged = true;
      j->news = *j->record;
      return job_ended(b);
    }
    line_up(b, j);
  }

  void ask(const std::string& url, std::size_t limit, std::function<void(result<std::string>)> done) {
    http_request q;
    q.url = url;
    q.body_limit = limit;
    q.verify = options.verify;
    q.ca_file = options.ca_file;
    q.headers = own_credentials(url);
    send(std::move(q), [url, done = std::move(done)](result<http_response> got) {
      if (!got) return done(tl::unexpected(got.error()));
      if (got->status != 200)
        return done(
            fail(errc::refused, shown_url(url) + " answers " + std::to_string(got->status), "fetch.ask"));
      done(std::move(got->body));
    });
  }

  void send(http_request q, std::function<void(result<http_response>)> done) {
    exchanges.push_back(nullptr);
    auto id = ++last_exchange;
    ids.push_back(id);
    auto exchange =
        world.http.send(std::move(q), [this, id, done = std::move(done)](result<http_response> got) {
          auto at = std::find(ids.begin(), ids.end(), id) - ids.begin();
          auto finished = std::move(exchanges[static_cast<std::size_t>(at)]);
          exchanges.erase(exchanges.begin() + at);
          ids.erase(ids.begin() + at);
          done(std::move(got));
        });
    exchanges.back() = std::move(exchange);
  }
  std::vector<std::uint64_t> ids;
  std::uint64_t last_exchange = 0;

  http_headers own_credentials(const std::string& url) const {
    auto found = options.credentials.find(std::string(host_of(url)));
    if (found == options.credentials.end()) return {};
    return {{"Authorization", "Basic " + base64(found->second.username + ":" + found->second.password)}};
  }

  // --- the bytes ---

  void line_up(batch& b, const std::shared_ptr<job>& j) {
    queue.push_back([this, &b, j] { transfer(b, j); });
    next_in_line();
  }

  void next_in_line() {
    while (running < options.concurrency && !queue.empty()) {
      auto fn = std::move(queue.front());
      queue.pop_front();
      ++running;
      fn();
    }
  }

  void transfer_ended() {
    --running;
    world.scheduler.post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->next_in_line();
    });
  }

  void transfer(batch& b, const std::shared_ptr<job>& j) {
    download_request q;
    q.name = j->file.name;
    q.url = j->url;
    if (j->image) {
      q.headers = registries.blob_headers(*j->image);
      q.expected = j->layer->digest;
    } else {
      q.headers = j->file.factory ? http_headers{} : own_credentials(j->url);
      q.expected = j->expected;
      if (j->state.usable && j->record && j->record->url == url_of_record(*j)) q.have = j->record->of;
    }
    j->state.phase = file_phase::fetching;
    j->state.bytes = j->state.size = 0;
    j->state.next_attempt.clear();
    show(*j);
    download::events on;
    on.begun = [this, j](std::uint64_t from, std::uint64_t size) {
      j->state.bytes = from;
      j->state.size = size;
      j->told = world.clock.now();
      j->told_bytes = j->shown_bytes = from;
      show(*j);
      world.log(msg_begun,
                j->file.name +
                    (from ? " is fetched on from " + format_size(from) : std::string(" is fetched")) +
                    (size ? " of " + format_size(size) : std::string()),
                {{"file", j->file.name}, {"from", std::to_string(from)}, {"source", shown_url(j->url)}});
      if (!tick) tick = world.scheduler.every(show_every, [this] { tell_progress(); });
    };
    on.progress = [j](std::uint64_t bytes) { j->state.bytes = bytes; };
    on.done = [this, &b, j, begun = world.clock.now()](result<download_outcome> got) {
      transfer_ended();
      taken(b, j, std::move(got), world.clock.now() - begun);
    };
    j->transfer = std::make_unique<download>(world, kept, options, boot_id);
    j->transfer->start(std::move(q), std::move(on));
  }

  void taken(batch& b, const std::shared_ptr<job>& j, result<download_outcome> got, duration elapsed) {
    auto transfer = std::move(j->transfer); // it called us
    world.scheduler.post([held = std::shared_ptr<download>(std::move(transfer))] {});
    if (!got) return fail_job(b, j, got.error());
    if (got->unchanged) {
      j->unchanged = true;
      j->news = *j->record;
      j->news.of = got->of;
      return job_ended(b);
    }
    auto digests = got->digests;
    j->news = {};
    j->news.of = got->of;
    j->news.size = got->bytes;
    j->ready = got->path;
    if (j->image) {
      j->news.of = {"\"" + j->layer->digest.to_string() + "\"", {}};
      if (j->archive) {
        bool wide = j->expected && j->expected->algorithm == digest_algorithm::sha512;
        auto file =
            unpack_file(got->path, j->image->file, kept.unpacked_path(j->file.name), options.reserve, wide);
        j->ready.clear();
        if (!file) {
          bool missing = file.error().code == errc::not_found;
          kept.drop_part(j->file.name);
          if (missing && !j->layers.empty()) return next_layer(b, j);
          return fail_job(b, j, file.error());
        }
        digests = file->digests;
        j->news.size = file->bytes;
        j->ready = kept.unpacked_path(j->file.name);
      }
      // The recipe's checksum is of the file, whatever it travelled in.
      if (j->expected) {
        const auto& found = j->expected->algorithm == digest_algorithm::sha512 && digests.sha512
                                ? *digests.sha512
                                : digests.sha256;
        if (found != *j->expected) {
          j->ready.clear();
          kept.drop_part(j->file.name);
          return fail_job(
              b, j,
              {errc::conflict,
               "wrong checksum: expected " + j->expected->to_string() + ", found " + found.to_string(),
               "fetch.checksum"});
        }
      }
    }
    j->news.sha256 = digests.sha256;
    j->news.sha512 = digests.sha512;
    j->elapsed = elapsed;
    j->transferred = got->bytes;
    job_ended(b);
  }

  // --- the end ---

  bool put_in_place(batch& b, job& j) {
    if (is_final(j)) return true;
    auto path = kept.place(j.file.name);
    auto failed = [&](error why) {
      b.failure = why;
      report(j, why);
      return false;
    };
    if (!j.unchanged) {
      auto slash = path.rfind('/');
      auto folder = path.substr(0, slash);
      if (auto made = world.files.make_folders(folder); !made) return failed(made.error());
      if (::rename(j.ready.c_str(), path.c_str()) != 0)
        return failed(system_error(errno, path, "fetch.rename"));
      // The new name must survive power loss as well.
      int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd >= 0) {
        ::fsync(fd);
        ::close(fd);
      }
      kept.drop_part(j.file.name);
      j.ready.clear();
    }
    j.news.url = url_of_record(j);
    j.news.checked = seconds_of(world.clock.wall());
    if (auto info = world.files.info(path)) {
      j.news.size = info->size;
      j.news.modified = info->modified;
    }
    j.record = j.news;
    // Without the record the file is only asked for again after a restart.
    (void)kept.write_file(j.file.name, j.news);
    j.state.usable = true;
    j.state.phase = file_phase::ready;
    j.state.digest = j.news.sha256.to_string();
    j.state.failure.clear();
    j.state.next_attempt.clear();
    show(j);
    if (j.unchanged) return true;
    auto seconds = std::max(std::chrono::duration<double>(j.elapsed).count(), 0.001);
    world.log(
        msg_fetched,
        j.file.name + " is fetched: " + format_size(j.news.size) + " in " + format_elapsed(j.elapsed),
        {{"file", j.file.name},
         {"bytes", std::to_string(j.news.size)},
         {"sha256", j.news.sha256.hex},
         {"rate",
          format_size(static_cast<std::uint64_t>(static_cast<double>(j.transferred) / seconds)) + "/s"}});
    return true;
  }
};

fetcher::fetcher(const runtime& world, fetch_options options,
                 std::function<void(const file_state&)> on_change)
    : impl_(std::make_shared<impl>(world, std::move(options), std::move(on_change))) {}

fetcher::~fetcher() {
  // Posted functions and callbacks hold the implementation weakly, or belong to exchanges that end here.
  impl_->on_change = nullptr;
}

void fetcher::add(wanted_file file) {
  auto& f = *impl_;
  if (!f.names.insert(file.name).second) return;
  auto& known = f.by_set[file.set.empty() ? "\n" + file.name : file.set];
  if (!known) {
    f.batches.push_back(std::make_unique<batch>());
    known = f.batches.back().get();
  }
  known->jobs.push_back(std::make_shared<job>(std::move(file)));
}

void fetcher::start() { impl_->start(); }

} // namespace netlab::fetch
