#include "upstream_addresses.h"

#include <algorithm>

#include "messages.h"
#include "netlab/dns_name.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

constexpr duration bootstrap_retry = std::chrono::seconds(5);
// Names of big resolvers live for seconds, to steer who asks; somebody else's for days, past their moves.
constexpr duration least_kept = std::chrono::seconds(30), longest_kept = std::chrono::minutes(10);

} // namespace

result<host_question> bootstrap_question(const std::string& host, const std::vector<upstream>& resolvers) {
  auto parsed = name::parse(host);
  if (!parsed) return tl::unexpected(parsed.error());
  host_question out;
  out.name = parsed->to_string();
  for (const auto& r : resolvers) {
    if (is_encrypted(r.over) || !r.host.empty())
      return fail(errc::invalid, "\"" + r.text + "\": a bootstrap resolver is a plain one", "bootstrap");
    if (r.over != resolvers.front().over)
      return fail(errc::invalid,
                  "\"" + resolvers.front().text + "\" and \"" + r.text +
                      "\": bootstrap resolvers are all asked by UDP, or all by TCP",
                  "bootstrap");
    out.servers.push_back(r.address);
    out.by_tcp = r.over == transport::tcp;
  }
  if (out.servers.empty()) return fail(errc::invalid, "there is no bootstrap resolver", "bootstrap");
  return out;
}

upstream_addresses::upstream_addresses(runtime& world, std::string server,
                                       const std::vector<upstream_group>& groups,
                                       std::vector<upstream> resolvers, found_fn found)
    : world_(world), server_(std::move(server)), resolvers_(std::move(resolvers)), found_(std::move(found)) {
  for (const auto& g : groups)
    for (const auto& u : g.members) {
      bool known = u.host.empty() || std::any_of(all_.begin(), all_.end(),
                                                 [&](const named_upstream& n) { return n.host == u.host; });
      if (known) continue;
      all_.emplace_back();
      all_.back().host = u.host;
    }
  for (auto& n : all_) look_up(n);
}

void upstream_addresses::look_up(named_upstream& n) {
  auto question = bootstrap_question(n.host, resolvers_);
  if (!question) return on_answer(n, tl::unexpected(question.error()));
  n.lookup = world_.net.look_up(std::move(*question), [this, &n](result<host_addresses> got) {
    auto ended = std::move(n.lookup); // goes when its callback is through
    on_answer(n, got);
  });
}

void upstream_addresses::on_answer(named_upstream& n, const result<host_addresses>& got) {
  if (got) {
    n.missed = false;
    n.address = got->addresses.front();
    found_(n.host, n.address);
  } else if (!std::exchange(n.missed, true)) {
    auto meanwhile = n.address.is_unspecified() ? "" : "; " + n.address.to_string() + " is used on";
    world_.log(msg_bootstrap_failed, server_ + ": the address of an upstream could not be found: " +
                                         printable(got.error().message) + meanwhile);
  }
  auto pause = got ? std::clamp(got->ttl, least_kept, longest_kept) : bootstrap_retry;
  n.next = world_.scheduler.after(pause, [this, &n] { look_up(n); });
}

} // namespace netlab::dns
