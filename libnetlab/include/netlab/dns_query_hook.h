#pragma once
#include <functional>
#include <vector>

#include "netlab/dns_message.h"
#include "netlab/dns_name.h"
#include "netlab/ip.h"
#include "netlab/result.h"

namespace netlab::dns {

struct hook_question {
  name qname; // lower case
  std::uint16_t type = 0;
  ip_address client;
  bool stream = false; // by TCP, TLS or HTTPS
};

// What a program decides about a query before anything else does.
struct hook_answer {
  enum class kind : std::uint8_t {
    pass,    // as if there were no hook
    answer,  // `code` and `records`, which may be none
    rewrite, // what `target` has, behind a CNAME
  } what = kind::pass;
  std::uint16_t code = 0; // of `rcode`
  std::vector<record> records;
  name target;
};

// Decides about queries, for servers that are given one.
class query_hook {
public:
  virtual ~query_hook() = default;
  // Called on a worker's thread. `reply` may run once, on any thread, now or later; an answer that comes
  // after the server's deadline is not used. False: too many wait already, and `reply` will not run.
  virtual bool ask(const hook_question& question, std::function<void(result<hook_answer>)> reply) = 0;
};

} // namespace netlab::dns
