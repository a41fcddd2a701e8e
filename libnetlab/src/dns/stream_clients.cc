#include "stream_clients.h"

#include <algorithm>
#include <vector>

namespace netlab::dns {

namespace {

constexpr std::size_t max_pipelined = 64;      // unanswered queries of one connection
constexpr std::size_t max_queued = 256u << 10; // bytes of answers that the client does not fetch
constexpr duration sweep_every = std::chrono::seconds(2);

} // namespace

stream_clients::stream_clients(const netlab::clock& clock, netlab::scheduler& scheduler, limits most,
                               handle_fn handle, std::function<void()> after)
    : clock_(clock), scheduler_(scheduler), most_(most), handle_(std::move(handle)),
      after_(std::move(after)) {}
stream_clients::~stream_clients() { alive_.reset(); }

void stream_clients::accept(std::unique_ptr<netlab::stream> s) {
  auto peer = s->peer().address;
  auto& mine = per_client_[peer];
  if (open_.size() >= most_.streams || mine >= most_.per_client) {
    if (mine == 0) per_client_.erase(peer);
    ++turned_away_;
    return;
  }
  ++mine;
  auto id = next_++;
  auto& c = open_[id];
  c.used = clock_.now();
  c.stream = std::move(s);
  c.stream->on_data([this, id](byte_view bytes) { on_data(id, bytes); });
  c.stream->on_end([this, id](std::optional<error>) { drop(id); });
  c.stream->on_drained([this, id] { work(id); });
  if (!sweeper_) sweeper_ = scheduler_.after(sweep_every, [this] { sweep(); });
}

void stream_clients::on_data(std::uint64_t id, byte_view bytes) {
  auto found = open_.find(id);
  if (found == open_.end()) return;
  found->second.frames.add(bytes);
  work(id);
}

void stream_clients::work(std::uint64_t id) {
  if (buffer_.empty()) buffer_.resize(max_message);
  std::weak_ptr<int> alive = alive_;
  for (;;) {
    auto found = open_.find(id);
    if (found == open_.end()) break;
    auto& c = found->second;
    bool busy = c.waiting >= max_pipelined || c.stream->queued() > max_queued;
    if (busy != c.paused) {
      c.paused = busy;
      busy ? c.stream->pause() : c.stream->resume();
    }
    if (busy) break;
    auto frame = c.frames.next();
    if (c.frames.broken()) {
      drop(id);
      break;
    }
    if (frame.empty()) break;
    c.used = clock_.now();
    ++c.waiting;
    auto size = handle_(id, c.stream->peer(), frame, buffer_);
    if (size == 0) {
      // No header, or an answer sent as a query: it gets nothing, and the connection is of no use.
      if (frame.size() < header_size || (frame[2] & 0x80) != 0) {
        drop(id);
        break;
      }
      continue;
    }
    --c.waiting;
    c.stream->write(framed(byte_view(buffer_).first(size)));
  }
  after_();
}

void stream_clients::reply(std::uint64_t stream, byte_view message) {
  auto found = open_.find(stream);
  if (found == open_.end()) return; // it did not wait
  auto& c = found->second;
  if (c.waiting > 0) --c.waiting;
  c.used = clock_.now();
  c.stream->write(framed(message)); // work() goes on when this has left
}

void stream_clients::drop(std::uint64_t id) {
  auto found = open_.find(id);
  if (found == open_.end()) return;
  auto peer = found->second.stream->peer().address;
  if (auto mine = per_client_.find(peer); mine != per_client_.end() && --mine->second == 0)
    per_client_.erase(mine);
  // It may be running one of its callbacks: it goes on the loop's next turn.
  scheduler_.post([gone = std::shared_ptr<netlab::stream>(std::move(found->second.stream))] {});
  open_.erase(found);
}

void stream_clients::sweep() {
  auto now = clock_.now();
  std::vector<std::uint64_t> idle;
  for (const auto& [id, c] : open_)
    if (c.waiting == 0 && now - c.used > most_.idle) idle.push_back(id);
  for (auto id : idle) drop(id);
  sweeper_ = open_.empty() ? timer() : scheduler_.after(sweep_every, [this] { sweep(); });
}

} // namespace netlab::dns
