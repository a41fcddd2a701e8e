#include "netlab/dns_operator_messages.h"

#include <array>

namespace netlab::dns {

constexpr netlab::message msg_log_stopped{
    "NL-DNS-150", log_level::warn,
    "The query log cannot be written: the disk is full, or its folder refuses. Queries are answered as "
    "before, and not logged; a write is tried again every minute.",
    "Make room, or give the log less of the disk (`log = { max_size = … }`)."};
constexpr netlab::message msg_log_goes_on{
    "NL-DNS-151", log_level::info, "The query log can be written again. Queries in between are not in it.",
    ""};
constexpr netlab::message msg_log_dropped{
    "NL-DNS-152", log_level::info,
    "More queries came than the log's thread could take over, so that some are not in the log. They were "
    "answered. Told once an hour at most; `netlab status` has the number.",
    "Nothing, if it was a burst; otherwise somebody asks very much: netlab dns top shows who."};
constexpr netlab::message msg_overlay_made{
    "NL-DNS-160", log_level::info,
    "An operator changed at run time what is blocked. The change is kept over restarts until it ends, and "
    "netlab status shows it.",
    "netlab dns remove NAME or netlab dns resume takes it back; what is meant to stay belongs into the "
    "recipe's lists."};
constexpr netlab::message msg_overlay_ended{
    "NL-DNS-161", log_level::info,
    "A change that an operator made at run time has ended, by its time or by hand. The recipe's lists "
    "decide again.",
    ""};
constexpr netlab::message msg_overlays_unread{
    "NL-DNS-162", log_level::warn,
    "What operators changed at run time was kept in a file that cannot be read, or holds records that are "
    "none. Those changes do not count any more.",
    "Make the changes again, with netlab dns allow, block or pause."};
constexpr netlab::message msg_overlays_unwritten{
    "NL-DNS-163", log_level::warn,
    "A change at run time counts, and could not be stored: a restart will forget it.",
    "The text has the reason: a full disk, a folder that cannot be written, or a recipe without "
    "netlab.state."};
constexpr netlab::message msg_zone_refused{
    "NL-DNS-170", log_level::error,
    "A zone file that changed has a mistake. The zone is answered as it was before the change.",
    "Correct the line that the text names; the file is read again when it changes."};
constexpr netlab::message msg_hook_failed{
    "NL-DNS-180", log_level::warn,
    "The recipe's on_query did not answer in time, failed, or returned what is no answer, or too many "
    "queries waited for it. The query was treated as `on_query_default` says. Told once a minute at most.",
    "The text has the reason. A handler that waits for others needs a longer `on_query_timeout`."};
constexpr netlab::message msg_cache_unsaved{
    "NL-DNS-181", log_level::warn,
    "The answers that were kept could not be stored for the next start, which will begin without them.",
    "The text has the reason: a full disk, or a state folder that cannot be written."};

std::span<const netlab::message* const> dns_operator_messages() {
  static constexpr std::array<const netlab::message*, 10> all{
      &msg_log_stopped,   &msg_log_goes_on,     &msg_log_dropped,        &msg_overlay_made,
      &msg_overlay_ended, &msg_overlays_unread, &msg_overlays_unwritten, &msg_zone_refused,
      &msg_hook_failed,   &msg_cache_unsaved};
  return all;
}

} // namespace netlab::dns
