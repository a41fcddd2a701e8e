#include "netlab/fetch.h"

namespace netlab::fetch {

void library::expect(const std::string& name) {
  auto& e = entries_[name];
  e.state.name = name;
  e.progress.words = e.state.words();
}

void library::update(const file_state& state) {
  auto& e = entries_[state.name];
  e.state = state;
  e.progress.usable = state.usable;
  e.progress.failing = !state.usable && state.phase == file_phase::failed;
  e.progress.words = state.words();
  if (!state.usable) return;
  auto waits = std::move(e.waits);
  e.waits.clear();
  for (auto& [id, w] : waits) {
    w.deadline.cancel();
    w.fn({});
  }
}

const asset_progress* library::find(std::string_view name) const {
  auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.progress;
}

void library::wait(const std::string& name, duration limit, std::function<void(result<void>)> fn) {
  auto found = entries_.find(name);
  auto id = ++last_wait_;
  // What is no longer waited for, or needs no wait, is answered on the next turn as well.
  if (found == entries_.end() || found->second.progress.usable) {
    scheduler_.post([alive = std::weak_ptr(alive_), fn = std::move(fn)] {
      if (!alive.expired()) fn({});
    });
    return;
  }
  auto& w = found->second.waits[id];
  w.fn = std::move(fn);
  w.deadline = scheduler_.after(limit, [this, name, id] { answer(name, id); });
}

void library::answer(const std::string& name, std::uint64_t id) {
  auto& e = entries_.at(name);
  auto waiting = e.waits.extract(id);
  if (waiting.empty()) return;
  waiting.mapped().fn(fail(errc::busy, name + " is not here yet: " + e.progress.words, "fetch.wait"));
}

std::vector<file_state> library::states() const {
  std::vector<file_state> out;
  for (const auto& [name, e] : entries_) out.push_back(e.state);
  return out;
}

} // namespace netlab::fetch
