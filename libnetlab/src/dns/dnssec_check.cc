#include "dnssec_check.h"

#include <algorithm>

#include "wire.h"

namespace netlab::dns {

namespace {

constexpr unsigned most_chain_steps = 16;

class reply_check {
public:
  reply_check(const message& reply, std::uint16_t type, const trust_store& trust, const name& limit,
              boot_time now, wall_time wall)
      : reply_(reply), type_(type), trust_(trust), limit_(limit), now_(now), wall_(wall) {}

  // First where everything lies, then the signatures: none is looked at before all keys are known.
  validation run(const name& qname) {
    walk(qname);
    if (stopped()) return std::move(out_);
    looking_ = false;
    out_ = {};
    walk(qname);
    return std::move(out_);
  }

private:
  using place = trust_store::place;

  void walk(const name& qname) {
    out_.is = validation::state::secure;
    auto current = qname;
    for (unsigned step = 0; step <= most_chain_steps; ++step) {
      if (auto set = find_set(reply_.answers, current, type_); !set.empty()) return check(set);
      auto alias = find_set(reply_.answers, current, rtype::cname);
      if (alias.empty()) return check_absence(current);
      std::size_t at = 0;
      name target;
      if (!name_reader::read(alias.records[0]->data, at, target))
        return bogus(ede::dnssec_bogus, "a CNAME is malformed");
      if (!made_by_dname(alias, target)) check(alias);
      if (stopped()) return;
      current = target;
    }
    bogus(ede::dnssec_bogus, "the chain of CNAMEs is too long");
  }

  bool stopped() const {
    return out_.is == validation::state::bogus || out_.is == validation::state::unknown;
  }
  void bogus(std::uint16_t extended, std::string why) {
    out_.is = validation::state::bogus;
    out_.extended = extended;
    out_.why = std::move(why);
  }

  // False when there is nothing more to be checked about what lies there.
  bool lies_in_secure_zone(const place& at) {
    switch (at.is) {
    case place::state::secure: return true;
    case place::state::insecure: out_.is = validation::state::insecure; return false;
    case place::state::unknown:
      out_.is = validation::state::unknown;
      out_.need = at.need;
      return false;
    case place::state::bogus: bogus(at.extended, at.why); return false;
    }
    return false;
  }
  // DS records lie on the parent's side.
  static name side_of(const name& n, std::uint16_t type) { return type == rtype::ds ? n.parent() : n; }

  static const name* signer_of(const signed_set& set) {
    for (const auto& s : set.signatures)
      if (side_of(set.owner, set.type).is_within(s.signer)) return &s.signer;
    return nullptr;
  }

  void check(const signed_set& set) {
    const auto* signer = signer_of(set);
    auto at = trust_.find(signer ? *signer : side_of(set.owner, set.type), limit_, now_);
    if (!lies_in_secure_zone(at)) return;
    if (!signer || at.zone != *signer) {
      auto trouble = describe(signature_state::missing, set, at.zone);
      bogus(trouble.extended, std::move(trouble.why));
      return;
    }
    if (looking_) return;
    const rr_signature* by = nullptr;
    auto state = check_signatures(set, at.zone, *at.keys, wall_, work_, out_.ttl, &by);
    if (state != signature_state::good) {
      auto trouble = describe(state, set, at.zone);
      bogus(trouble.extended, std::move(trouble.why));
      return;
    }
    if (!is_expanded(set, *by)) return;
    // It stands for a wildcard: nothing closer may exist (RFC 4035 §5.3.4).
    auto absent = read_denial(reply_, at.zone, *at.keys, wall_, work_, out_.ttl);
    take(absent.no_closer(set.owner, by->labels), set.owner);
  }

  void take(denial::proof found, const name& n) {
    switch (found) {
    case denial::proof::proven: return;
    case denial::proof::opted_out:
    case denial::proof::too_much: out_.is = validation::state::insecure; return;
    case denial::proof::none:
      bogus(ede::nsec_missing, "nothing proves what " + n.to_string() + " does not have");
      return;
    }
  }

  void check_absence(const name& n) {
    const name* signer = nullptr;
    std::vector<signed_set> sets;
    for (auto type : {rtype::nsec, rtype::nsec3})
      for (auto& set : find_sets(reply_.authorities, type)) sets.push_back(std::move(set));
    for (const auto& set : sets)
      for (const auto& s : set.signatures)
        if (!signer && side_of(n, type_).is_within(s.signer)) signer = &s.signer;
    auto at = trust_.find(signer ? *signer : side_of(n, type_), limit_, now_);
    if (!lies_in_secure_zone(at)) return;
    if (!signer || at.zone != *signer) {
      bogus(ede::nsec_missing, "nothing proves that " + n.to_string() + " has no " + type_name(type_));
      return;
    }
    if (looking_) return;
    auto absent = read_denial(reply_, at.zone, *at.keys, wall_, work_, out_.ttl);
    auto soa = find_sets(reply_.authorities, rtype::soa);
    for (const auto& set : soa)
      if (n.is_within(set.owner)) {
        auto state = check_signatures(set, at.zone, *at.keys, wall_, work_, out_.ttl);
        if (state == signature_state::good) continue;
        auto trouble = describe(state, set, at.zone);
        bogus(trouble.extended, std::move(trouble.why));
        return;
      }
    take(reply_.rcode == rcode::name_error ? absent.no_name(n) : absent.no_data(n, type_), n);
  }

  // An alias that a server made of a DNAME has no signature; the DNAME has (RFC 6672 §5.3.1).
  bool made_by_dname(const signed_set& alias, const name& target) {
    if (!alias.signatures.empty()) return false;
    for (const auto& set : find_sets(reply_.answers, rtype::dname)) {
      if (!alias.owner.is_within(set.owner) || alias.owner == set.owner) continue;
      std::size_t at = 0;
      name to;
      if (set.records.size() != 1 || !name_reader::read(set.records[0]->data, at, to)) continue;
      // The labels below the DNAME, put on its target.
      auto wire = alias.owner.wire();
      auto kept = wire.size() - set.owner.size();
      byte_vector whole(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(kept));
      whole.insert(whole.end(), to.wire().begin(), to.wire().end());
      auto made = name::from_wire(whole);
      if (!made || *made != target) continue;
      check(set);
      return true;
    }
    return false;
  }

  const message& reply_;
  std::uint16_t type_;
  const trust_store& trust_;
  const name& limit_;
  boot_time now_;
  wall_time wall_;
  proof_work work_;
  bool looking_ = true;
  validation out_;
};

} // namespace

validation validate(const message& reply, const name& qname, std::uint16_t type, const trust_store& trust,
                    const name& limit, boot_time now, wall_time wall) {
  return reply_check(reply, type, trust, limit, now, wall).run(qname);
}

} // namespace netlab::dns
