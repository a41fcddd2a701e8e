#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "host/object.h"
#include "netlab/dns_query_hook.h"
#include "netlab/units.h"

namespace netlab::lua {

// A recipe's on_query, asked by the workers of one server: their questions wait in a bounded queue for the
// control loop, where each becomes a task of its own. Made and destroyed on the control loop, after the
// workers that ask.
class dns_lua_hook final : public dns::query_hook {
public:
  // `domain` completes bare names in answers.
  dns_lua_hook(host& h, shared_reference fn, std::string name, dns::name domain, duration limit);
  bool ask(const dns::hook_question& question, std::function<void(result<dns::hook_answer>)> reply) override;

private:
  void begin(const dns::hook_question& question, const std::function<void(result<dns::hook_answer>)>& reply);

  host& host_;
  shared_reference fn_;
  std::string name_;
  dns::name domain_;
  duration limit_;
  std::shared_ptr<std::atomic<int>> waiting_ = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<dns_lua_hook*> self_ = std::make_shared<dns_lua_hook*>(this);
};

// What a handler's first returned value decides about a question.
result<dns::hook_answer> read_hook_answer(lua_State* L, int index, const dns::hook_question& question,
                                          const dns::name& domain, duration& delay);

} // namespace netlab::lua
