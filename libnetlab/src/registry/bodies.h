#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fill.h"
#include "netlab/http_server.h"
#include "netlab/task.h"
#include "window.h"

namespace netlab::registry {

// A blob as it comes, for one reply.
class fill_body final : public http_body {
public:
  fill_body(std::shared_ptr<fill> of, fill::reader mine)
      : fill_(std::move(of)), size_(fill_->size().value_or(unknown)), mine_(mine) {}
  std::uint64_t size() const override { return size_; }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) override {
    return fill_->read(mine_, offset, most, std::move(ready));
  }

private:
  std::shared_ptr<fill> fill_;
  std::uint64_t size_;
  fill::reader mine_; // whoever joined leaves, too
};

// A blob that goes straight from the upstream to one client, because there is no room for it here. The whole
// is compared with its digest before its last bytes leave; a part that the client asked for cannot be.
class straight_body final : public http_body, public std::enable_shared_from_this<straight_body> {
public:
  straight_body(const runtime& world, upstream& from, std::string repository, std::string digest,
                std::optional<std::uint64_t> size);
  std::uint64_t size() const override { return size_.value_or(unknown); }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) override;

private:
  void ask(std::uint64_t offset);
  task<bool> fetch(std::uint64_t offset);
  void tell();

  const runtime& world_;
  upstream& from_;
  std::string repository_, digest_;
  std::optional<std::uint64_t> size_; // as it was announced
  window window_;
  std::optional<hasher> sum_; // of a whole
  bool asked_ = false, right_ = false;
  std::optional<error> failure_;
  std::shared_ptr<exchange_control> control_ = std::make_shared<exchange_control>();
  std::function<void()> ready_;
  task_run<bool> run_;
};

} // namespace netlab::registry
