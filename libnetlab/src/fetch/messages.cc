#include "messages.h"

#include <array>

#include "netlab/fetch.h"

namespace netlab::fetch {

constexpr message msg_begun{"NL-ASSET-001", log_level::info,
                            "A file of the assets is being fetched from its source, from the beginning or "
                            "from where an earlier attempt ended.",
                            ""};
constexpr message msg_progress{"NL-ASSET-002", log_level::info,
                               "How far a fetch is; told every ten seconds while it lasts.", ""};
constexpr message msg_fetched{
    "NL-ASSET-003", log_level::info,
    "A file was fetched whole, its checksum was right where one was given, and it has taken its place in "
    "the assets folder in one step.",
    ""};
constexpr message msg_failed{
    "NL-ASSET-004", log_level::warn,
    "A file could not be fetched from its source now. A copy that is there already is served on; the fetch "
    "is repeated, with growing pauses, from where it ended.",
    "Look at the reason in the line: a name that does not resolve, a source that is down, a wrong address. "
    "A file that is put into the assets folder by hand is served as well."};
constexpr message msg_wrong_checksum{
    "NL-ASSET-005", log_level::error,
    "What a source sent does not have the checksum that the recipe, or the source's own list, gives for "
    "it. It was deleted and is not served; a copy that was right before stays. The fetch is repeated.",
    "Compare the two checksums in the line: if the source has a new edition, correct the recipe; if not, "
    "something between the source and this machine changes files."};
constexpr message msg_no_room{
    "NL-ASSET-006", log_level::error,
    "The disk has no room for a file of the assets. What was fetched of it was deleted, because leases and "
    "the timeline live on the same disk; the copy that was there stays. The fetch is repeated.",
    "Make room, or put the state folder on a larger disk. keep_free of boot.assets says how much is left to "
    "others."};
constexpr message msg_local_wrong{
    "NL-ASSET-007", log_level::warn,
    "A file in the assets folder is not what the recipe's checksum asks for, so it is not served and is "
    "fetched again.",
    "Nothing, when the recipe's checksum was changed on purpose. Otherwise the file was altered on this "
    "machine: check its disk."};
constexpr message msg_not_offered{
    "NL-ASSET-008", log_level::error,
    "A source answers, but does not have what the recipe asks of it: no such file in the image, no line for "
    "it in the list of checksums, a schematic that the factory refuses.",
    "Correct the recipe; the line says what the source has instead."};

std::span<const message* const> messages() {
  static constexpr std::array all = {&msg_begun,          &msg_progress, &msg_fetched,     &msg_failed,
                                     &msg_wrong_checksum, &msg_no_room,  &msg_local_wrong, &msg_not_offered};
  return all;
}

} // namespace netlab::fetch
