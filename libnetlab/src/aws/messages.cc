#include "messages.h"

#include <array>

#include "netlab/aws.h"

namespace netlab::aws {

constexpr message msg_throttled{
    "NL-AWS-001", log_level::debug,
    "AWS refused a request because too many of its kind came in a short time. netlab waits and sends it "
    "again, "
    "and sends fewer of that kind from then on.",
    "Nothing. When it happens all the time, something else in the account asks too often."};
constexpr message msg_repeated{
    "NL-AWS-002", log_level::debug,
    "A request to AWS had no answer, or one that says to try again. netlab sends it again when that does no "
    "harm.",
    "Nothing, unless it goes on: then look at this machine's way to the internet and at AWS' health page."};
constexpr message msg_expired{
    "NL-AWS-003", log_level::error,
    "The credentials have expired, so AWS answers nothing. Sessions of MFA, roles and SSO last for hours "
    "only.",
    "Renew them as the text says, and start again; what had been done is found and kept."};
constexpr message msg_denied{
    "NL-AWS-004", log_level::error, "The credentials are good, but may not do what the recipe asks.",
    "Give the user or role the policy statement that the text shows, or use another profile."};
constexpr message msg_clock{
    "NL-AWS-005", log_level::error,
    "AWS refuses a request because this machine's clock differs from its own by more than five minutes.",
    "Set the clock (timedatectl set-ntp true), and start again."};

std::span<const message* const> messages() {
  static constexpr std::array all = {&msg_throttled, &msg_repeated, &msg_expired, &msg_denied, &msg_clock};
  return all;
}

} // namespace netlab::aws
