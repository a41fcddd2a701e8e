#include "messages.h"

#include <array>

#include "netlab/registry.h"

namespace netlab::registry {

constexpr message msg_listening{"NL-REG-001", log_level::info,
                                "The registry proxy has opened its cache and is listening.", ""};
constexpr message msg_repaired{
    "NL-REG-002", log_level::warn,
    "Files of the cache were torn, unreadable or not what their names say, as after a fault of the disk, and "
    "were removed. What they held is fetched again when somebody asks for it.",
    "When this happens without a power cut or a full disk, look at the disk. `netlab registry verify` reads "
    "everything."};
constexpr message msg_damaged{
    "NL-REG-003", log_level::warn,
    "Something in the cache turned out to be damaged when it was to be served. It was removed, not served, "
    "and "
    "is fetched from the upstream.",
    "Look at the disk when it happens again; `netlab registry verify` reads everything."};
constexpr message msg_upstream_down{"NL-REG-004", log_level::warn,
                                    "An upstream registry cannot be reached or has a fault of its own. What "
                                    "is in the cache is served on, tags as "
                                    "they were last seen; what is not gets an error.",
                                    "Look at the reason in the line: a name that does not resolve, no route, "
                                    "a certificate, or a fault on their "
                                    "side. `mirrors` of the upstream names other places to ask first."};
constexpr message msg_upstream_back{"NL-REG-005", log_level::info, "An upstream answers again.", ""};
constexpr message msg_too_many{
    "NL-REG-006", log_level::warn,
    "An upstream said 429: too many requests. Nothing more is asked of it until the time that it named is "
    "over. "
    "What is in the cache is served on.",
    "Give the upstream `credentials`, which raise the limit of Docker Hub, or a mirror. `netlab status` "
    "shows what "
    "is left of the limit. `netlab registry prefetch` fetches images before they are needed."};
constexpr message msg_wrong_digest{"NL-REG-007", log_level::error,
                                   "An upstream sent content that does not have the digest by which it was "
                                   "asked for. It was deleted; clients "
                                   "that read along did not get its end, and see a broken connection.",
                                   "The next request asks the upstream again. When it happens again, "
                                   "something between the upstream and this "
                                   "machine changes content, or the upstream is damaged."};
constexpr message msg_bad_upstream{
    "NL-REG-008", log_level::error,
    "An upstream's answer cannot be right: it is longer or shorter than announced, is no manifest, or is "
    "larger "
    "than a manifest may be. It was not served.",
    "Look at the address in `url`: a portal or a proxy may be answering in the registry's place."};
constexpr message msg_broken{
    "NL-REG-009", log_level::info,
    "The connection to an upstream broke in the middle of a blob, which is gone on with "
    "from where it ended.",
    ""};
constexpr message msg_no_room{
    "NL-REG-010", log_level::warn,
    "A blob fits neither into the cache's size nor on the disk, although everything was removed that may be. "
    "It is "
    "passed on to who asked for it, and will be fetched again for the next.",
    "Raise max_size of the cache, make room on the disk, or unpin images (`netlab registry ls`)."};
constexpr message msg_disk_trouble{
    "NL-REG-011", log_level::error, "The cache could not write or read one of its files.",
    "Look at the reason in the line: rights, a full disk, or a fault of the disk."};
constexpr message msg_stale{
    "NL-REG-012", log_level::info,
    "A tag was served as it was last seen, because the upstream could not say whether it has changed.", ""};
constexpr message msg_unknown_registry{"NL-REG-013", log_level::warn,
                                       "A client asked for an image of a registry that the recipe does not "
                                       "name, by ?ns= or by the path. It was refused: "
                                       "clients do not choose whom netlab asks.",
                                       "Add the registry to `upstreams`, or its name to `allow`."};
constexpr message msg_denied{"NL-REG-014", log_level::warn,
                             "An upstream does not let netlab read a repository. Clients get 403; an "
                             "upstream's own 401 would make them look "
                             "for credentials of netlab's.",
                             "Give the upstream `credentials`. Docker Hub and ghcr.io say the same of "
                             "repositories that do not exist."};
constexpr message msg_pull{"NL-REG-015", log_level::info,
                           "A client pulled an image; the line says how much of it was in the cache already.",
                           ""};
constexpr message msg_pushed{"NL-REG-016", log_level::info, "An image was pushed to the local registry.", ""};
constexpr message msg_job{"NL-REG-017", log_level::info,
                          "A prefetch or verification that was asked for has ended.", ""};
constexpr message msg_listen_failed{
    "NL-REG-018", log_level::error,
    "An address for which the registry proxy waited has come, but cannot be bound.",
    "Look at the reason in the line: another program may have the port."};

std::span<const message* const> messages() {
  static constexpr std::array all = {
      &msg_listening,    &msg_repaired,     &msg_damaged,          &msg_upstream_down, &msg_upstream_back,
      &msg_too_many,     &msg_wrong_digest, &msg_bad_upstream,     &msg_broken,        &msg_no_room,
      &msg_disk_trouble, &msg_stale,        &msg_unknown_registry, &msg_denied,        &msg_pull,
      &msg_pushed,       &msg_job,          &msg_listen_failed};
  return all;
}

} // namespace netlab::registry
