#include "boot/fetching.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "host/host.h"
#include "netlab/event_loop.h"
#include "netlab/http_client.h"

namespace netlab::lua {

struct fetching::own_thread {
  event_loop loop;
  std::unique_ptr<http_client> http = make_http_client(loop);
  std::unique_ptr<fetch::fetcher> fetcher;
  std::thread thread;

  ~own_thread() {
    loop.stop();
    if (thread.joinable()) thread.join();
  }
};

fetching::fetching(host& h) : library_(std::make_shared<fetch::library>(h.world().scheduler)) {}
fetching::~fetching() = default;

result<void> fetching::add(fetch::wanted_file file) {
  if (auto ok = fetch::check(file); !ok) return ok;
  for (const auto& other : files_)
    if (other.name == file.name) {
      if (other.url == file.url && other.arch == file.arch) return {};
      return fail(errc::conflict, "two files are called \"" + file.name + "\"");
    }
  library_->expect(file.name);
  files_.push_back(std::move(file));
  return {};
}

result<void> fetching::start(host& h, const std::string& folder) {
  if (files_.empty()) return {};
  settings.folder = folder;
  auto& control = h.world().scheduler;
  auto tell_here = [late = std::weak_ptr(library_)](const fetch::file_state& state) {
    if (auto library = late.lock()) library->update(state);
  };
  if (&h.bytes().scheduler == &control) {
    here_ = std::make_unique<fetch::fetcher>(h.world(), settings, tell_here);
    for (auto& file : files_) here_->add(file);
    here_->start();
    return {};
  }
  thread_ = std::make_unique<own_thread>();
  auto& l = thread_->loop;
  runtime world{l.clock(),     l.scheduler(),  l.random(),    l.net(),          l.files(),
                l.processes(), *thread_->http, h.world().log, h.world().metrics};
  thread_->fetcher =
      std::make_unique<fetch::fetcher>(world, settings, [&control, tell_here](const auto& state) {
        control.post([tell_here, state] { tell_here(state); });
      });
  for (auto& file : files_) thread_->fetcher->add(file);
  l.scheduler().post([f = thread_->fetcher.get()] { f->start(); });
  thread_->thread = std::thread([&l] { l.run(); });
  return {};
}

void fetching::stop(std::function<void()> done) {
  here_.reset();
  // The thread ends with us; a sync under way may take it a moment.
  if (thread_) thread_->loop.stop();
  done();
}

json fetching::status() const {
  json files = json::array();
  std::size_t ready = 0;
  auto states = library_->states();
  for (const auto& s : states) {
    ready += s.usable;
    json entry = {
        {"name", s.name}, {"state", to_string(s.phase)}, {"usable", s.usable}, {"words", s.words()}};
    if (s.phase == fetch::file_phase::fetching) {
      entry["bytes"] = s.bytes;
      entry["size"] = s.size;
    }
    if (!s.digest.empty()) entry["digest"] = s.digest;
    if (!s.failure.empty()) entry["failure"] = s.failure;
    if (!s.next_attempt.empty()) entry["next_attempt"] = s.next_attempt;
    files.push_back(std::move(entry));
  }
  return {{"ready", std::to_string(ready) + " of " + std::to_string(states.size()) + " files"},
          {"files", std::move(files)}};
}

} // namespace netlab::lua
