#include "dns/why.h"

#include <nlohmann/json.hpp>

#include "netlab/text.h"

namespace netlab::lua {

namespace {

class explanation {
public:
  explanation(const dns_facts& f, const dns::name& qname, std::uint16_t type,
              const std::optional<ip_address>& client)
      : f_(f), qname_(qname.lower()), target_(qname_), type_(type), client_(client) {}

  json tell() {
    out_ = {{"name", qname_.to_string()}, {"type", dns::type_name(type_)}};
    if (client_) out_["client"] = client_->to_string();
    policy_ = policy();
    out_["group"] = policy_ < f_.groups.size() ? f_.groups[policy_] : std::string("everybody");
    out_["outcome"] = "";
    out_["because"] = "";
    out_["steps"] = json::array();
    decide();
    out_["steps"] = std::move(steps_);
    return std::move(out_);
  }

private:
  void say(const std::string& text) { steps_.push_back(printable(text)); }
  void end(const std::string& outcome, const std::string& because) {
    out_["outcome"] = outcome;
    out_["because"] = printable(because);
    say(because);
  }

  std::size_t policy() const {
    if (client_)
      for (const auto& [network, index] : f_.valid.client_policies)
        if (network.contains(*client_)) return index;
    return 0;
  }

  bool may_ask() const {
    if (!client_ || f_.engine.clients.empty()) return true;
    for (const auto& n : f_.engine.clients)
      if (n.contains(*client_)) return true;
    return false;
  }

  void decide() {
    if (!may_ask())
      return end("refused", client_->to_string() + " is not among `clients`, so that it is refused");
    if (f_.hooked)
      say("the recipe's on_query is asked first; what follows holds when it passes the question on");
    if (local()) return;
    const auto& rules = f_.valid.policies[policy_ < f_.valid.policies.size() ? policy_ : 0];
    bool allowed = false;
    if (f_.overlays.paused()) say("blocking is paused: lists and safe search do not count");
    if (blocked(qname_, rules, "", allowed)) return;
    if (rules.safe != dns::safe_search::off)
      if (auto safe = dns::safe_search_target(qname_.wire(), rules.safe); !safe.empty()) {
        target_ = *dns::name::parse(safe);
        say("safe search: the answer is that of " + std::string(safe));
      }
    const auto* way = f_.valid.routes ? &f_.valid.routes->find(target_) : nullptr;
    std::uint8_t group = way ? way->group : std::uint8_t{0};
    json upstreams = json::array();
    std::string texts;
    if (group < f_.engine.groups.size())
      for (const auto& u : f_.engine.groups[group].members) {
        upstreams.push_back(u.text);
        texts += (texts.empty() ? "" : ", ") + u.text;
      }
    out_["upstreams"] = std::move(upstreams);
    std::string zone =
        way && !way->zone.is_root() && group != 0 ? " (for " + way->zone.to_string() + ")" : "";
    if (auto kept = f_.kept(qname_, type_, group, rules.safe)) {
      out_["kept"] = {{"rcode", dns::rcode_name(kept->rcode)}, {"seconds_left", kept->seconds_left}};
      if (!allowed)
        for (const auto& alias : kept->aliases)
          if (blocked(alias, rules, qname_.to_string() + " leads to ", allowed)) return;
      if (kept->seconds_left > 0)
        return end("cached", "an answer of " + texts + zone + " is kept for " +
                                 std::to_string(kept->seconds_left) +
                                 " s more: " + dns::rcode_name(kept->rcode));
      say("an answer past its time is kept, for when no upstream answers: " + dns::rcode_name(kept->rcode));
    }
    end("forwarded", "not kept, so that " + texts + zone + " is asked");
  }

  // Lists and an operator's rules about one name.
  bool blocked(const dns::name& n, const dns::policy& rules, const std::string& prefix, bool& allowed) {
    json told = json::array();
    if (f_.filter)
      for (const auto& r : f_.filter->explain(n.wire(), rules.lists)) {
        told.push_back({{"name", n.to_string()},
                        {"list", printable(f_.filter->list_name(r.list))},
                        {"rule", printable(r.rule)},
                        {"action", r.action == dns::filter_action::allow ? "allow" : "block"}});
        if (told.size() == 20) break;
      }
    if (!told.empty() || !out_.contains("rules")) out_["rules"] = told;
    if (f_.overlays.paused()) return false;
    dns::overlaid_filter by_hand(nullptr, f_.overlays.current());
    if (auto rule = by_hand.deciding(n)) {
      bool allows = rule->second == dns::filter_action::allow;
      std::string who;
      for (const auto& o : f_.overlays.current())
        if (o.what != dns::overlay::kind::pause && o.target == rule->first)
          who = o.origin + ", " + format_time(o.made, false);
      auto text = prefix + rule->first.to_string() + (allows ? " is allowed" : " is blocked") +
                  " by an operator (" + who + ")";
      if (!allows) {
        end("blocked", text);
        return true;
      }
      allowed = true;
      say(text + ", whatever lists say");
      return false;
    }
    if (!rules.filter) return false;
    auto v = rules.filter->match(n.wire(), rules.lists);
    std::string rule;
    for (const auto& each : told)
      if (rule.empty() && (each["action"] == "allow") == (v.action == dns::filter_action::allow))
        rule = each["rule"].get<std::string>();
    if (v.action == dns::filter_action::allow) {
      allowed = true;
      say(prefix + "\"" + rule + "\" of " + rules.filter->list_name(v.list) + " excepts it from every list");
    }
    if (v.action != dns::filter_action::block) return false;
    end("blocked", prefix + "\"" + rule + "\" of " + rules.filter->list_name(v.list) + " blocks it");
    return true;
  }

  // Records, leases, special names. True when they answer.
  bool local() {
    auto current = qname_;
    for (int step = 0; step <= 8; ++step) {
      const auto* fixed = f_.valid.fixed ? f_.valid.fixed->find(current) : nullptr;
      const auto* dynamic = f_.valid.dynamic ? f_.valid.dynamic->find(current) : nullptr;
      bool wild = false;
      if (!fixed && !dynamic && f_.valid.fixed) {
        fixed = f_.valid.fixed->find_wildcard(current);
        wild = fixed != nullptr;
      }
      if (!fixed && !dynamic) return unknown_here(current, step);
      std::string data;
      const dns::local_record* alias = nullptr;
      for (const auto* table : {fixed, dynamic}) {
        if (!table || !data.empty()) continue;
        for (const auto& r : *table) {
          if (r.type == type_) data += (data.empty() ? "" : ", ") + dns::rdata_text(r.type, r.data);
          if (r.type == dns::rtype::cname && !alias) alias = &r;
        }
      }
      auto from = f_.origin(current) + (wild ? ", a wildcard" : "");
      if (!data.empty()) {
        end("local", current.to_string() + " is " + from + ": " + data);
        return true;
      }
      if (!alias) {
        end("local", current.to_string() + " is " + from + ", which has no " + dns::type_name(type_) +
                         " record: the answer is empty");
        return true;
      }
      auto next = dns::name::from_wire(alias->data)->lower();
      say(current.to_string() + " is " + from + ": another name for " + next.to_string());
      current = next;
    }
    end("failed", "the recipe's CNAMEs go in a circle");
    return true;
  }

  bool unknown_here(const dns::name& current, int step) {
    const auto* way = f_.valid.routes ? &f_.valid.routes->find(current) : nullptr;
    if (!way || way->kind == dns::route_kind::forward) {
      bool address = type_ == dns::rtype::a || type_ == dns::rtype::aaaa;
      if (current.labels() == 1 && address && !f_.engine.domain.is_root()) {
        end("local", "a name without a dot that nobody here has does not exist outside either: NXDOMAIN");
        return true;
      }
      if (step > 0) target_ = current;
      return false;
    }
    auto zone = way->zone.to_string();
    if (way->kind == dns::route_kind::local)
      end("local", current == way->zone ? zone + " is ours, and has no such record"
                                        : zone + " is ours, and has no such name: NXDOMAIN");
    else if (way->kind == dns::route_kind::nodata)
      end("local", zone + " is a special name that is answered empty");
    else
      end("local", zone + " is a special name that does not exist here: NXDOMAIN");
    return true;
  }

  const dns_facts& f_;
  dns::name qname_, target_;
  std::uint16_t type_;
  std::optional<ip_address> client_;
  std::size_t policy_ = 0;
  json out_, steps_ = json::array();
};

} // namespace

json explain_question(const dns_facts& facts, const dns::name& qname, std::uint16_t type,
                      const std::optional<ip_address>& client) {
  return explanation(facts, qname, type, client).tell();
}

} // namespace netlab::lua
