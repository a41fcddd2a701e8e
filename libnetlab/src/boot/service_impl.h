#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "messages.h"
#include "netlab/boot_service.h"
#include "scripts.h"

namespace netlab::boot {

// Why a machine gets nothing: the message and this occurrence's words.
struct refusal {
  const message* what = nullptr;
  std::string text;
  std::string about = {}; // tells refusals of one kind apart, so that each is told
};
template<class T>
using answer = tl::expected<T, refusal>;
inline tl::unexpected<refusal> refuse(const message& what, std::string text) {
  return tl::unexpected<refusal>(refusal{&what, std::move(text), {}});
}

// What a machine will boot.
struct choice {
  const boot::profile* profile = nullptr;
  const boot::group* group = nullptr; // null under an override without a group
};

// An EFI program that GRUB or shim is made of, as its name tells.
struct efi_loader {
  enum class kind {
    grub,   // grubnetx64.efi
    shim,   // shimx64.efi
    second, // grubx64.efi: what shim starts, GRUB or a unified image
    helper, // mmx64.efi, fbx64.efi
  };
  kind what = kind::grub;
  boot::cpu cpu = boot::cpu::unknown;
};

// A machine as one request shows it, joined with what is known.
struct machine {
  node_identity identity;
  machine_facts facts;
  std::string label() const; // for messages: its name, else MAC, UUID, address
};

struct service::impl : std::enable_shared_from_this<service::impl> {
  service_options options;
  service_world world;
  std::map<std::string, const boot::profile*> profiles;

  // What DHCP and scripts told of a machine; keyed by MAC where there is one.
  struct memory {
    node_identity node;
    boot::cpu cpu = cpu::unknown;
    std::string firmware;
    boot_time at{};
    std::string loader;                  // asked for last
    std::optional<boot_time> ipxe_given; // our iPXE went to it whole, in place of its card's own
    std::deque<boot_time> loads;
    text_map told; // by its loader: told_by_loader()
  };
  std::map<std::string, memory> machines;
  std::map<std::string, boot_time> told; // refusals that were told lately, by machine and message
  std::vector<boot_override> overrides;
  struct waiting_image {
    std::vector<std::function<void(answer<std::string>)>> replies;
  };
  std::map<std::string, waiting_image> images; // being assembled, by everything they depend on

  boot_time now() const { return world.clock->now(); }

  // identify.cc
  machine identify(const node_identity& seen, const text_map& query);
  memory& remember(const node_identity& who);
  const memory* recall(const node_identity& who) const;
  boot_override* override_for(const machine& m);
  void consume_override(const machine& m, boot_stage stage, const boot::profile& p);
  answer<choice> choose(const machine& m);
  std::optional<std::string> variable(const machine& m, const choice& c, std::string_view base,
                                      std::string_view arch, std::string_view name) const;

  // files.cc
  answer<std::string> local_path(const std::string& value) const;
  std::string url_for(const std::string& value, const boot::profile& p, const std::string& arch,
                      std::string_view base) const;
  std::string stub_path(cpu processor) const;
  void image(const machine& m, const choice& c, const resolved_files& files, const std::string& base,
             std::function<void(answer<std::string>)> reply);
  void assemble(const std::string& key, const machine& m, const choice& c, const resolved_files& files,
                const std::string& base);
  void image_ready(const std::string& key, answer<std::string> path);
  void localise(std::vector<std::string> values, std::vector<std::string> done,
                std::function<void(answer<std::vector<std::string>>)> reply);
  // The first of these that is fetched from elsewhere and is not here yet; nothing when all are here.
  struct late_asset {
    std::string name;
    asset_progress progress;
  };
  std::optional<late_asset> late(const std::vector<std::string>& values) const;
  static std::vector<std::string> needed(const resolved_files& files);
  // Runs `go` when all are here, or replies that they are not after as long as this client waits.
  void when_here(const asset_request& request, const machine& m, boot_stage stage,
                 std::vector<std::string> values, asset_reply_fn reply,
                 std::function<void(asset_reply_fn)> go);
  answer<std::vector<std::string>> arguments(const machine& m, const choice& c, const resolved_files& files,
                                             const std::string& base) const;

  // loaders.cc; an empty path: there is none on this host
  std::string loader_path(const std::string& key) const; // iPXE: "bios", "amd64" …
  static std::string loader_name(const std::string& key);
  std::string loader_key(std::string_view file) const; // "" when it is no iPXE's name
  std::string grub_path(cpu processor, bool secure) const;
  std::string shim_path(cpu processor) const;
  std::string shim_helper_path(cpu processor, std::string_view file) const;
  std::string grub_module_path(std::string_view platform, std::string_view file) const;
  std::optional<efi_loader> efi_loader_of(std::string_view file) const;
  // The name of the first program for a profile whose loader is GRUB or shim.
  answer<std::string> efi_program(const machine& m, const client_kind& kind, const choice& c,
                                  const resolved_files& files) const;

  // policy.cc
  std::string base_url(const ip_address& server) const;
  std::string base_url(const asset_request& request) const;
  static std::string tftp_base(const ip_address& server);
  std::string own_ipxe(const client_kind& kind, const machine& m);
  boot_reply decide(const boot_request& request);
  static boot_reply refused(boot_reply reply, const refusal& why);
  std::optional<refusal> count_loader(const machine& m, const std::string& loader);

  // sources.cc
  struct source_question;
  bool sources_may_answer(const asset_request& request) const;
  void open_from_sources(const asset_request& request, asset_reply_fn reply);
  void ask_source(const std::shared_ptr<source_question>& question, std::size_t at);
  void send_from_source(source_question& question, source_answer answer);

  // open.cc and open_loader.cc
  void open(const asset_request& request, asset_reply_fn reply);
  void open_own(const asset_request& request, asset_reply_fn reply); // from the recipe's own profiles
  void open_script(const asset_request& request, const text_map& query, bool grub, asset_reply_fn reply);
  void open_document(const asset_request& request, const text_map& query, asset_reply_fn reply);
  void open_metadata(const asset_request& request, const text_map& query, asset_reply_fn reply);
  void open_image(const asset_request& request, std::string_view rest, asset_reply_fn reply);
  void open_grub(const asset_request& request, std::string_view rest, asset_reply_fn reply);
  bool open_loader(const asset_request& request, const text_map& query, asset_reply_fn& reply);
  void open_second_stage(const asset_request& request, machine m, cpu processor, std::string shown,
                         asset_reply_fn reply);
  void open_file_of_profile(const asset_request& request, std::string_view rest, asset_reply_fn reply);
  void open_asset(const asset_request& request, std::string name, asset_reply_fn reply);
  void send_asset(const asset_request& request, const machine& m, const std::string& name,
                  asset_reply_fn reply);
  void send_file(const asset_request& request, const machine& m, std::string path, boot_stage stage,
                 std::string shown, asset_reply_fn reply, const boot::profile* p = nullptr);
  void send_text(const asset_request& request, const machine& m, std::string text, std::string content_type,
                 std::optional<boot_stage> stage, std::string shown, asset_reply_fn reply,
                 const boot::profile* p = nullptr);
  std::function<void(const transfer_report&)> reporter(const asset_request& request, const machine& m,
                                                       boot_stage stage, std::string shown,
                                                       const boot::profile* p);
  void tell(const machine& m, const refusal& why);

  // raspberry.cc
  boot_reply raspberry_pi(boot_reply reply, const boot_request& request, const machine& m, int generation);
  // What is wrong with a profile's files for Pis of this generation (0: not known), or nothing.
  std::optional<refusal> raspberry_trouble(const boot::profile& p, int generation) const;
  machine raspberry_owner(const asset_request& request, std::string_view prefix);
  // False: it is no file of a Pi, and `reply` was not used.
  bool open_raspberry_pi(const asset_request& request, asset_reply_fn& reply);
  answer<std::string> raspberry_config(const asset_request& request, const machine& m, const choice& c,
                                       const std::string& folder) const;
  answer<std::string> raspberry_cmdline(const asset_request& request, const machine& m,
                                        const choice& c) const;
  answer<std::vector<std::string>> raspberry_texts(const asset_request& request, const machine& m,
                                                   const choice& c,
                                                   const std::vector<std::string>& texts) const;

  // extlinux.cc
  bool open_extlinux(const asset_request& request, asset_reply_fn& reply);
  void tell_late(const machine& m, boot_stage stage, const late_asset& what);
  bool told_lately(const std::string& key);
  machine who(const asset_request& request, const text_map& query);
  // The same for a loader that asks for its script: it has come up, and its parameters are news.
  machine meet_loader(const asset_request& request, const text_map& query);
};

// What DHCP names to U-Boot: the same configuration that it finds below pxelinux.cfg. It has no folder,
// because U-Boot looks for pxelinux.cfg beside it.
inline constexpr std::string_view extlinux_name = "extlinux.conf";
// A text of the recipe's; fails beyond 8 MiB.
result<std::string> read_document(const std::string& path);
std::string_view efi_suffix(cpu processor); // "x64", "aa64" …; empty where UEFI has none
cpu cpu_of_grub(std::string_view platform); // "arm64-efi" → arm64
// The one answer to a file that the service does not have.
tl::unexpected<error> not_here(const asset_request& request);
bool is_url(std::string_view value);
bool is_regular_file(const std::string& path);
text_map parse_query(std::string_view query);

} // namespace netlab::boot
