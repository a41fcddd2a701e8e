#include "host/messages.h"

#include <algorithm>

#include "netlab/aws.h"
#include "netlab/boot_service.h"
#include "netlab/dhcp_messages.h"
#include "netlab/dns_filter_lists.h"
#include "netlab/dns_operator_messages.h"
#include "netlab/dns_server.h"
#include "netlab/fetch.h"
#include "netlab/http_server.h"
#include "netlab/late_binding.h"
#include "netlab/registry.h"
#include "netlab/store_messages.h"
#include "netlab/tftp.h"

namespace netlab::lua {

namespace messages {
const message ready{"NL-HOST-001", log_level::info,
                    "Every service of the recipe is bound and answers; start() of the last one has returned.",
                    ""};
const message stopping{
    "NL-HOST-002", log_level::info,
    "netlab got SIGTERM or SIGINT, or was asked to stop. It takes no new work, finishes what is "
    "under way, stores its state and exits with 0.",
    ""};
const message drain_late{
    "NL-HOST-003", log_level::warn,
    "A service had work under way when netlab was asked to stop and did not finish within ten "
    "seconds. netlab exits without it.",
    "Nothing, unless it happens often: then look at the slow transfers in netlab status."};
const message start_failed{
    "NL-HOST-004", log_level::error,
    "A service could not be started, so none was: what had been bound is released again.",
    "The text names the recipe's line and the system's reason. For \"permission denied\" run "
    "netlab as root or give it CAP_NET_BIND_SERVICE, CAP_NET_RAW and CAP_NET_ADMIN; for "
    "\"address already in use\" stop the other program (ss -lntup shows it)."};
const message control_off{
    "NL-HOST-005", log_level::warn,
    "The control socket could not be made, so netlab status and the other commands cannot reach "
    "this instance. Everything else works.",
    "Make the state folder writable, or name another place with --control."};
const message address_awaited{
    "NL-HOST-006", log_level::warn,
    "A service listens on an address that this machine does not have yet, such as that of an interface that "
    "is attached late. It answers as soon as the address is there; everything else works.",
    "Nothing when the address comes later. Otherwise compare the recipe's address with those of `ip "
    "address`."};
const message reloading{
    "NL-HOST-007", log_level::info,
    "netlab was asked to read its recipe anew, by `netlab reload` or SIGHUP, and found no mistake in it. "
    "What is "
    "under way is finished, for at most ten seconds, and then the recipe starts in the same process.",
    ""};
const message reload_refused{
    "NL-HOST-008", log_level::error,
    "netlab was asked to read its recipe anew and found mistakes in it. Nothing changed: what ran goes on.",
    "Mend the lines that the text names; `netlab check` shows them all. Then reload again."};
const message off_in_vpc{
    "NL-HOST-020", log_level::warn,
    "A DHCP or TFTP server of the recipe stays off, because its network is part of an EC2 VPC. A VPC carries "
    "no "
    "broadcast and answers DHCP itself, so that neither could work; HTTP boot, DNS and registries do.",
    "Start instances from an iPXE image whose user data chains to http://THIS-MACHINE:8080/boot.ipxe. Where "
    "the "
    "network is none of Amazon's after all, write netlab.network { platform = \"metal\" }."};
const message recipe_failed{"NL-LUA-001", log_level::error,
                            "The recipe's top level raised an error, so there is nothing to run.",
                            "Go to the line that the text names."};
const message task_failed{
    "NL-LUA-002", log_level::error,
    "A handler or task of the recipe raised an error and ended. Services go on without it.",
    "Go to the line that the text names; a handler that may meet errors checks for nil, err."};
const message handler_stopped{
    "NL-LUA-003", log_level::error,
    "A handler or task computed past its time without waiting for anything, which holds up "
    "DHCP and every other service on the control loop. It was stopped where it was; services "
    "go on.",
    "Look for an endless loop at the line that the text names; long work calls netlab.sleep "
    "now and then, or runs in netlab.process.run."};
const message loop_stalled{
    "NL-LUA-004", log_level::warn,
    "A handler or task has held the control loop for more than its time. With --jit it cannot be "
    "stopped, only reported; without it, it sits in one long library call.",
    "Look at the handler that the text names; run without --jit to have endless loops stopped."};
const message main_failed{"NL-LUA-005", log_level::error, "netlab.main raised an error or returned one.",
                          "Go to the line that the text names."};
} // namespace messages

std::vector<const message*> all_messages() {
  using namespace messages;
  std::vector<const message*> out{&ready,       &stopping,        &drain_late,   &start_failed,
                                  &control_off, &address_awaited, &off_in_vpc,   &recipe_failed,
                                  &task_failed, &handler_stopped, &loop_stalled, &main_failed,
                                  &reloading,   &reload_refused};
  for (auto room :
       {netlab::aws::messages(), netlab::boot::messages(), netlab::dhcp::dhcp_messages(),
        netlab::dns::dns_messages(), netlab::dns::dns_filter_messages(), netlab::dns::dns_operator_messages(),
        netlab::fetch::messages(), netlab::http_messages(), netlab::net_messages(),
        netlab::registry::messages(), netlab::store_messages(), netlab::tftp::messages()})
    out.insert(out.end(), room.begin(), room.end());
  std::sort(out.begin(), out.end(), [](const message* a, const message* b) {
    return std::string_view(a->id) < std::string_view(b->id);
  });
  return out;
}

} // namespace netlab::lua
