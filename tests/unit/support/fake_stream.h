#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "netlab/net.h"

namespace netlab::test {

// The far end of a stream in memory: what a test's client says and hears. Shared with the fake_stream,
// so that it tells what happened after the server let go of its end.
struct wire {
  std::function<void(byte_view)> on_data;
  std::function<void(std::optional<error>)> on_end;
  std::function<void()> on_drained;
  std::string heard;      // what the server sent and the client took
  bool finished = false;  // the server closed its direction
  bool destroyed = false; // the server dropped the stream
  bool paused = false;
  bool blocked = false; // the client takes nothing
  std::string waiting;  // queued while blocked

  void say(std::string_view bytes) {
    if (destroyed || !on_data) return;
    auto call = on_data;
    call(as_bytes(bytes));
  }
  void end(std::optional<error> why = {}) {
    if (destroyed || !on_end) return;
    auto call = std::move(on_end);
    on_end = nullptr;
    on_data = nullptr;
    on_drained = nullptr;
    call(std::move(why));
  }
  // Takes `bytes` of what waits, as a slow client does.
  void take(std::size_t bytes) {
    bytes = std::min(bytes, waiting.size());
    heard += waiting.substr(0, bytes);
    waiting.erase(0, bytes);
    if (waiting.empty() && on_drained && !destroyed) {
      auto call = on_drained;
      call();
    }
  }
  // Runs the end of the loop's turn until nothing is queued any more.
  void settle() {
    while (!blocked && !waiting.empty()) take(waiting.size());
  }
};

class fake_stream final : public stream {
public:
  fake_stream(std::shared_ptr<wire> end, endpoint peer, endpoint local)
      : wire_(std::move(end)), peer_(std::move(peer)), local_(std::move(local)) {}
  ~fake_stream() override { wire_->destroyed = true; }
  void on_data(std::function<void(byte_view)> fn) override { wire_->on_data = std::move(fn); }
  void on_end(std::function<void(std::optional<error>)> fn) override { wire_->on_end = std::move(fn); }
  void on_drained(std::function<void()> fn) override { wire_->on_drained = std::move(fn); }
  void write(std::string bytes) override { put(bytes); }
  void write_shared(std::shared_ptr<const std::string> bytes) override { put(*bytes); }
  void write_file(std::shared_ptr<open_file> file, std::uint64_t offset, std::uint64_t length) override {
    std::string out(length, '\0');
    auto got = file->read(offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    out.resize(got.value());
    put(out);
  }
  std::size_t queued() const override { return wire_->waiting.size(); }
  void pause() override { wire_->paused = true; }
  void resume() override { wire_->paused = false; }
  void finish() override { wire_->finished = true; }
  endpoint peer() const override { return peer_; }
  endpoint local() const override { return local_; }
  bool secure() const override { return false; }

private:
  void put(const std::string& bytes) {
    if (!wire_->finished) wire_->waiting += bytes;
  }
  std::shared_ptr<wire> wire_;
  endpoint peer_, local_;
};

} // namespace netlab::test
