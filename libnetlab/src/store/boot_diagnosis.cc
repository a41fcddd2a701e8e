#include "netlab/boot_diagnosis.h"

#include <algorithm>

#include "messages.h"
#include "netlab/nodes.h"
#include "netlab/text.h"

namespace netlab {

namespace {

using namespace std::chrono_literals;

// What the rules ask about a boot, worked out once.
struct facts {
  const boot_record& boot;
  const boot_evidence& evidence;
  const boot_step& last;
  boot_stage at;       // the last step's stage
  bool loader = false; // a boot file arrived whole
  bool kernel = false; // a kernel or UKI arrived whole
  std::string refused; // why nothing is served, empty when something is

  bool after(boot_stage stage) const { return boot.furthest >= stage; }
  // What runs is no firmware any more: it asks DHCP by itself, and fetches no boot file.
  bool system() const { return kernel || after(boot_stage::config); }
  bool netboots() const {
    return !boot.architecture.empty() || !evidence.boot_file.empty() || loader || after(boot_stage::tftp);
  }
};

// A machine that is refused its boot gets an address all the same: its DHCP exchange goes on after the
// refusal.
std::string refusal(const boot_record& boot) {
  int exchanges = 0;
  for (auto step = boot.steps.rbegin(); step != boot.steps.rend(); ++step) {
    auto stage = step->event.stage;
    if (stage == boot_stage::refused)
      return printable(step->event.detail.empty() ? std::string(to_string(stage)) : step->event.detail);
    if (stage > boot_stage::ack || (stage == boot_stage::discover && ++exchanges > 1)) break;
  }
  return {};
}

bool is_transfer(boot_stage s) { return s >= boot_stage::tftp && s <= boot_stage::config; }

std::string detail(const facts& f) {
  return f.last.event.detail.empty() ? std::string(to_string(f.at)) : printable(f.last.event.detail);
}
std::string file(const facts& f) {
  return f.evidence.boot_file.empty() ? "its boot file" : printable(f.evidence.boot_file);
}
std::string others(const facts& f) {
  std::string out;
  for (const auto& s : f.evidence.other_servers) {
    if (!out.empty()) out += ", ";
    out += s.what.empty() ? "DHCP" : printable(s.what);
    out += " server " + s.address.to_string();
  }
  return out;
}
bool other_won(const facts& f) {
  return std::any_of(f.evidence.other_servers.begin(), f.evidence.other_servers.end(),
                     [](const auto& s) { return s.won; });
}

// Applies when the boot has been silent for `patience` and `applies` says so; the first that does is
// the diagnosis, so what explains itself comes before what is inferred from silence. `cause` continues
// "NODE …".
struct rule {
  const message* what;
  duration patience;
  bool (*applies)(const facts&);
  std::string (*cause)(const facts&);
};

const rule rules[] = {
    // What came after, such as a refusal of the firmware's next way to boot, follows from it.
    {&messages::boot_program_returned, 0s, [](const facts& f) { return f.boot.returned.has_value(); },
     [](const facts& f) {
       const auto& r = *f.boot.returned;
       auto out = "fetched " + printable(r.program) + " whole, and " + format_elapsed(r.after) +
                  " later its firmware asked to boot again: it refused the program, or the program gave up";
       if (r.times > 1) out += " (" + std::to_string(r.times) + " times)";
       return out;
     }},
    {&messages::boot_refused, 0s, [](const facts& f) { return !f.refused.empty(); },
     [](const facts& f) { return "was refused: " + f.refused; }},
    {&messages::boot_other_offer_won, 0s,
     [](const facts& f) { return !f.after(boot_stage::ack) && other_won(f); },
     [](const facts& f) { return "took the offer of another server; seen here: " + others(f); }},
    {&messages::boot_nak, 5s, [](const facts& f) { return f.at == boot_stage::nak; },
     [](const facts& f) { return "was told NAK and did not start over: " + detail(f); }},
    {&messages::boot_upstream_down, 5s,
     [](const facts& f) { return f.after(boot_stage::ack) && !f.evidence.upstream.empty(); },
     [](const facts& f) {
       return "waits for something from " + printable(f.evidence.upstream) + ", which does not answer";
     }},
    {&messages::boot_transfer_aborted, 10s,
     [](const facts& f) { return is_transfer(f.at) && !f.last.event.done; },
     [](const facts& f) {
       std::string out = "did not finish: " + detail(f);
       if (f.last.repeats > 1) out += " (" + std::to_string(f.last.repeats) + " times)";
       return out;
     }},
    {&messages::boot_error_reported, 5s, [](const facts& f) { return !f.last.event.message_id.empty(); },
     [](const facts& f) { return "failed with " + f.last.event.message_id + ": " + detail(f); }},
    // A system that runs asks DHCP by itself: no rule about firmware applies from the kernel on.
    {&messages::boot_kernel_silent, 180s,
     [](const facts& f) { return f.kernel && !f.after(boot_stage::config); },
     [](const facts& f) -> std::string {
       if (f.at == boot_stage::ack)
         return "runs its kernel and has an address, but never asked for its config: the kernel was not told "
                "where it is, or the name or address in its URL cannot be reached";
       return "fetched its kernel and has been silent since: it panicked, hangs, or has no network driver";
     }},
    {&messages::boot_config_not_ready, 10min,
     [](const facts& f) { return f.boot.furthest == boot_stage::config; },
     [](const facts&) { return std::string("fetched its config and has not become ready"); }},
    {&messages::boot_images_not_ready, 15min,
     [](const facts& f) { return f.boot.furthest == boot_stage::image; },
     [](const facts& f) { return "pulled images (" + detail(f) + ") and has not become ready"; }},
    {&messages::boot_no_offer, 5s,
     [](const facts& f) { return f.at == boot_stage::discover && !f.after(boot_stage::config); },
     [](const facts& f) {
       auto out = "asks for an address (" + std::to_string(f.last.repeats) + " times) and we made no offer";
       if (auto seen = others(f); !seen.empty()) out += "; seen here: " + seen;
       return out;
     }},
    {&messages::boot_no_address, 10s,
     [](const facts& f) {
       return f.at == boot_stage::offer && f.last.event.proxied && !f.after(boot_stage::ack);
     },
     [](const facts& f) {
       auto out = "got our proxy's boot offer (" + detail(f) + ") and took no address of another server";
       auto seen = others(f);
       return out + (seen.empty() ? "; none was seen here" : "; seen here: " + seen);
     }},
    {&messages::boot_other_offer_won, 5s,
     [](const facts& f) { return f.at == boot_stage::offer && !f.evidence.other_servers.empty(); },
     [](const facts& f) {
       return "did not take our offer (" + detail(f) + ") and likely took another's; seen here: " + others(f);
     }},
    {&messages::boot_offer_ignored, 10s, [](const facts& f) { return f.at == boot_stage::offer; },
     [](const facts& f) {
       auto out = "got an offer (" + detail(f) + ") and never asked for it";
       if (f.last.repeats > 1) out += ", " + std::to_string(f.last.repeats) + " times";
       return out;
     }},
    {&messages::boot_proxy_not_asked, 10s,
     [](const facts& f) {
       return f.at == boot_stage::ack && f.last.event.overheard && f.netboots() && !f.loader && !f.system();
     },
     [](const facts& f) {
       return "has its address (" + detail(f) + ") and came neither to port 4011 nor for " + file(f);
     }},
    // iPXE's or the next loader's own DHCP round.
    {&messages::boot_file_not_fetched, 10s,
     [](const facts& f) { return f.at == boot_stage::ack && f.loader && !f.system(); },
     [](const facts& f) {
       return "runs its boot loader and has an address, but never asked for " + file(f);
     }},
    {&messages::boot_no_boot_file, 10s,
     [](const facts& f) {
       return f.at == boot_stage::ack && f.netboots() && !f.system() && !f.evidence.boot_file_offered;
     },
     [](const facts& f) {
       auto arch = f.boot.architecture.empty() ? "" : " (" + printable(f.boot.architecture) + ")";
       return "has its address, but no profile or boot file matched it" + arch;
     }},
    {&messages::boot_other_server_file, 10s,
     [](const facts& f) {
       return f.at == boot_stage::ack && f.netboots() && !f.system() && !f.evidence.other_servers.empty();
     },
     [](const facts& f) {
       return "has its address and never asked us for " + file(f) + "; seen here: " + others(f);
     }},
    {&messages::boot_file_not_fetched, 10s,
     [](const facts& f) { return f.at == boot_stage::ack && f.netboots() && !f.system(); },
     [](const facts& f) {
       auto out = "has its address and never asked for " + file(f);
       if (f.evidence.reached_us)
         out += ", though it reaches this machine: its firmware does not want the file, or a proxy answers";
       else if (!f.evidence.local)
         out += ", nor sent anything else: a firewall here, or a next-server that it cannot reach";
       return out;
     }},
    {&messages::boot_file_not_run, 30s,
     [](const facts& f) { return f.at == boot_stage::tftp || f.at == boot_stage::http; },
     [](const facts& f) { return "fetched its boot loader (" + detail(f) + ") and nothing came after it"; }},
    {&messages::boot_script_no_kernel, 30s, [](const facts& f) { return f.at == boot_stage::script; },
     [](const facts& f) { return "read its boot script (" + detail(f) + ") and fetched no kernel"; }},
    {&messages::boot_kernel_silent, 180s, [](const facts& f) { return f.at == boot_stage::initrd; },
     [](const facts&) { return std::string("fetched its initrd and has been silent since"); }},
};

} // namespace

std::optional<diagnosis> diagnose(const boot_record& boot, const boot_evidence& evidence) {
  if (boot.steps.empty() || boot.ready()) return {};
  facts f{boot, evidence, boot.steps.back(), boot.steps.back().event.stage};
  for (const auto& step : boot.steps) {
    if (!step.event.done) continue;
    auto stage = step.event.stage;
    if (stage == boot_stage::tftp || stage == boot_stage::http) f.loader = true;
    if (stage == boot_stage::kernel || stage == boot_stage::uki) f.kernel = true;
  }
  f.refused = refusal(boot);
  for (const auto& r : rules) {
    if (boot.idle < r.patience || !r.applies(f)) continue;
    diagnosis out;
    out.what = r.what;
    out.cause = printable(boot.label) + " " + r.cause(f) + ".";
    if (r.patience > duration{}) out.cause += " Silent for " + format_elapsed(boot.idle) + ".";
    out.remedy = r.what->remedy;
    return out;
  }
  return {};
}

} // namespace netlab
