#include "filter_messages.h"

#include <array>

#include "netlab/dns_filter_lists.h"

namespace netlab::dns {

constexpr netlab::message msg_list_updated{"NL-DNS-101", log_level::info,
                                           "A new version of a list was downloaded and found good.", ""};
constexpr netlab::message msg_list_kept{
    "NL-DNS-102", log_level::warn,
    "What a list's address gave is no good list: a web page, an archive, hardly any rules, or less than half "
    "of "
    "those before. The version that was there goes on being used.",
    "Open the address in a browser. A list that became small on purpose is taken at the third try."};
constexpr netlab::message msg_list_unreachable{"NL-DNS-103", log_level::warn,
                                               "A list could not be downloaded. The version that was there "
                                               "goes on being used; the next try comes within the "
                                               "hour.",
                                               "The text has the reason: the name does not resolve, the "
                                               "server refuses, the certificate is not accepted."};
constexpr netlab::message msg_lists_compiled{
    "NL-DNS-104", log_level::info,
    "The lists were compiled into one file, and every worker uses it from now on.", ""};
constexpr netlab::message msg_compile_failed{
    "NL-DNS-105", log_level::error,
    "The lists could not be compiled. What was compiled before goes on being used; without that, nothing is "
    "blocked. It is tried again in a while.",
    "The text has the reason: a full disk, a folder that cannot be written, too many lists."};
constexpr netlab::message msg_filter_damaged{
    "NL-DNS-106", log_level::warn,
    "The compiled file of the lists is damaged or of another version. It is made again from the lists.",
    "If it happens again, look at the disk: a memory card that forgets is at its end."};
constexpr netlab::message msg_lines_refused{
    "NL-DNS-107", log_level::info,
    "Lines of a list are no rules that a resolver can keep. They were left out; the others count.",
    "The text names the first ones. Choose the version of the list that is made for DNS, if there is one."};
constexpr netlab::message msg_list_missing{"NL-DNS-108", log_level::error,
                                           "A list's file cannot be read, so that its rules do not count.",
                                           "Put the file there, or correct `path`."};

std::span<const netlab::message* const> dns_filter_messages() {
  static constexpr std::array<const netlab::message*, 8> all{
      &msg_list_updated,   &msg_list_kept,      &msg_list_unreachable, &msg_lists_compiled,
      &msg_compile_failed, &msg_filter_damaged, &msg_lines_refused,    &msg_list_missing};
  return all;
}

} // namespace netlab::dns
