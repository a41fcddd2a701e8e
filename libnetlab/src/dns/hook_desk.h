#pragma once
#include <functional>
#include <map>
#include <memory>

#include "netlab/dns_server.h"

namespace netlab::dns {

// Where a server's queries wait for its hook: each goes on with the hook's answer, or by the default when
// none comes in time. Owned by the server; used on its loop's thread.
class hook_desk {
public:
  // `deliver` sends what comes later; `after` runs when the engine may have something to do.
  hook_desk(runtime& world, engine& resolver, const server_config& config,
            std::function<void(const late_reply&)> deliver, std::function<void()> after);
  ~hook_desk() { self_.reset(); }

  // As engine::handle.
  std::size_t handle(const request& from, boot_time now, byte_span out);
  // The engine's answers to the questions that a hook's rewriting led to bear this mark.
  static constexpr std::uint64_t token_mark = std::uint64_t{1} << 61;
  void on_rewritten(const late_reply& reply);
  std::size_t waiting() const { return asked_.size() + rewriting_.size(); }

private:
  struct parked {
    byte_vector bytes;
    endpoint client;
    ip_address local;
    std::uint32_t interface = 0;
    bool stream = false;
    std::uint64_t token = 0;
    hook_question asked;
    name target; // of a rewriting
    boot_time until{};
  };
  request request_of(const parked& p) const;
  void decide(std::uint64_t id, result<hook_answer> answer);
  void go_on(const parked& p, const hook_answer& answer);
  void rewrite(parked p, const name& target);
  hook_answer fallback() const;
  void complain(const std::string& why);
  void arm();

  runtime& world_;
  engine& resolver_;
  const server_config& config_;
  std::function<void(const late_reply&)> deliver_;
  std::function<void()> after_;
  std::map<std::uint64_t, parked> asked_; // by number, which is by deadline
  std::map<std::uint64_t, parked> rewriting_;
  std::uint64_t next_ = 1;
  timer alarm_;
  boot_time say_again_{};
  counter &asked_total_, &late_total_;
  std::shared_ptr<hook_desk*> self_ = std::make_shared<hook_desk*>(this);
};

} // namespace netlab::dns
