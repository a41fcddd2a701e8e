// Replies of a hostile upstream through DNSSEC validation: signatures, keys, NSEC and NSEC3 records of any
// shape. The input is a message; its own DNSKEY and DS records make the trust that it is checked by.
#include <cstdlib>

#include "dns/dnssec_check.h"

using namespace netlab;
using namespace netlab::dns;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reply = decode(byte_view(data, size));
  if (!reply || reply->questions.empty()) return 0;
  const auto& asked = reply->questions[0];
  dnssec_settings settings;
  settings.validate = true;
  wall_time wall{std::chrono::seconds(1'790'000'000)};
  for (const auto* section : {&reply->answers, &reply->authorities})
    for (const auto& r : *section) {
      (void)rr_signature::read(r);
      if (r.type == rtype::dnskey && settings.anchors.size() < 8)
        settings.anchors.push_back({r.owner, key_tag(r.data), r.data.size() > 3 ? r.data[3] : std::uint8_t{0},
                                    2, key_digest(r.owner, r.data, 2)});
    }
  if (settings.anchors.empty()) settings.anchors = root_anchors();
  trust_store trust(settings);
  name limit;
  boot_time now{std::chrono::hours(1)};
  // Whatever is needed is answered with the same message: it must end all the same.
  for (int step = 0; step < 200; ++step) {
    auto v = validate(*reply, asked.qname.lower(), asked.type, trust, limit, now, wall);
    if (v.is != validation::state::unknown) break;
    trust.learn(v.need, step % 3 == 2 ? nullptr : &*reply, "none", limit, step % 2 == 0, now, wall);
    now += std::chrono::milliseconds(10);
  }
  // The proofs by themselves, as if their signatures were good.
  proof_work work;
  denial absent(asked.qname.parent(), work);
  for (const auto& r : reply->authorities)
    if (r.type == rtype::nsec || r.type == rtype::nsec3) absent.add(r);
  (void)absent.no_name(asked.qname);
  (void)absent.no_data(asked.qname, asked.type);
  (void)absent.no_closer(asked.qname, 1);
  (void)absent.at(asked.qname);
  return 0;
}
