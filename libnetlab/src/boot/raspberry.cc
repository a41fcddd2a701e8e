// Raspberry Pis, whose own boot loader speaks DHCP and TFTP in its own way.
#include <algorithm>

#include "netlab/text.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// U-Boot and UEFI ask DHCP again by themselves; to the timeline they are loaders and no kernel.
bool is_loader(const std::string& kernel) { return base_name(kernel).starts_with("u-boot"); }

bool is_serial(std::string_view text) {
  return text.size() == 8 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// Up to the Pi 3 the network card's address is made of the serial number.
std::optional<mac_address> mac_of_serial(std::string_view serial) {
  byte_vector bytes;
  if (!from_hex(std::string(serial), bytes) || bytes.size() != 4) return std::nullopt;
  return mac_address{{0xb8, 0x27, 0xeb, bytes[1], bytes[2], bytes[3]}};
}

// The boot files of every generation begin with one of these.
bool has_boot_files(const std::string& folder) {
  constexpr const char* starts[] = {"start4.elf", "start.elf", "bootcode.bin", "config.txt"};
  return std::any_of(std::begin(starts), std::end(starts),
                     [&](const char* name) { return is_regular_file(folder + "/" + name); });
}

// PXE discovery control, menu prompt "PXE" and a boot menu of one entry (PXE 2.1 §2.2.1.2): the boot loader
// looks for that entry's very words, the ROM of a Pi 3 with three blanks after them. There is no padding
// between the options, in which the boot loader loses its way.
byte_vector boot_menu(int generation) {
  std::string_view words = generation == 3 ? "Raspberry Pi Boot   " : "Raspberry Pi Boot";
  byte_vector out = {6, 1, 3, 10, 4, 0, 'P', 'X', 'E', 9};
  auto length = static_cast<std::uint8_t>(words.size());
  for (auto b : {static_cast<std::uint8_t>(length + 3), std::uint8_t{0}, std::uint8_t{0}, length})
    out.push_back(b);
  out.insert(out.end(), words.begin(), words.end());
  out.push_back(0xff);
  return out;
}

} // namespace

std::optional<refusal> service::impl::raspberry_trouble(const boot::profile& p, int generation) const {
  const auto& files = *p.raspberry;
  auto folder = local_path(files.firmware);
  if (!folder) return folder.error();
  bool own = !files.kernel.empty() || !files.uefi.empty();
  // A Pi 5 has its firmware in its flash: a kernel and a device tree are all that it needs.
  bool needs_files = generation == 0 ? !own : generation < 5 || !own;
  if (needs_files && !has_boot_files(*folder))
    return refusal{&pi_files_missing, *folder + " has none of a Raspberry Pi's boot files"};
  std::vector<std::string> named = files.initrd;
  for (const auto& name : {files.kernel, files.uefi})
    if (!name.empty()) named.push_back(name);
  for (const auto& name : named) {
    if (is_url(name))
      return refusal{&url_not_fetched, name + ": a Raspberry Pi loads over TFTP, from a file of the assets"};
    auto path = local_path(name);
    if (!path) return path.error();
    if (!is_regular_file(*path)) return refusal{&asset_missing, "there is no file " + *path};
  }
  return std::nullopt;
}

boot_reply service::impl::raspberry_pi(boot_reply reply, const boot_request& request, const machine& m,
                                       int generation) {
  if (!options.tftp)
    return refused(
        std::move(reply),
        {&no_tftp, m.label() + " (Raspberry Pi) boots over TFTP, which this recipe does not serve"});
  auto chosen = choose(m);
  boot::profile folder_only;
  folder_only.raspberry = raspberry_files{.firmware = options.raspberry_pi};
  const auto& p = chosen && chosen->profile->raspberry ? *chosen->profile : folder_only;
  if (auto trouble = raspberry_trouble(p, generation))
    return refused(std::move(reply), {trouble->what, m.label() + " is a Raspberry Pi, and " + trouble->text});
  const auto& files = *p.raspberry;
  reply.what = boot_reply::kind::boot;
  reply.next_server = request.server;
  reply.server_name_option = true; // a Pi 3 takes the server from option 66 only
  reply.vendor_class = "PXEClient";
  reply.vendor_options = boot_menu(generation);
  if (!request.guid.empty()) reply.options.emplace_back(std::uint8_t{97}, request.guid);
  // The ROM of a Pi 3 and CM3 has half an IP stack.
  reply.takes_offer = reply.keep_arp = reply.nudge = generation == 3;
  reply.summary = reply.architecture + " → its boot files";
  if (auto then = !files.uefi.empty() ? files.uefi : files.kernel; !then.empty())
    reply.summary += ", then " + base_name(then);
  return reply;
}

// A Pi asks below its serial number, its MAC or a name of the operator's choice; `prefix` may be none of
// these.
machine service::impl::raspberry_owner(const asset_request& request, std::string_view prefix) {
  node_identity seen;
  seen.address = request.client.address;
  if (is_serial(prefix)) {
    seen.serial = to_lower(prefix);
    node_identity by;
    by.serial = seen.serial;
    auto mac = mac_of_serial(prefix);
    if (!recall(by) && mac && machines.contains("mac:" + mac->to_string())) seen.mac = mac;
  } else if (auto mac = mac_address::parse(prefix)) {
    seen.mac = *mac;
  } else if (!prefix.empty() && world.find_node) {
    node_identity by;
    by.name = prefix;
    if (const auto* known = world.find_node(by); known && known->name == prefix && !known->macs.empty())
      seen.mac = known->macs.front();
  }
  auto m = identify(seen, {});
  if (m.identity.mac) {
    auto& known = remember(m.identity);
    known.node.address = request.client.address;
    known.cpu = cpu::arm64;
    if (m.facts.firmware.empty()) m.facts.firmware = known.firmware;
  }
  if (m.facts.firmware.empty()) m.facts.firmware = "raspberry-pi";
  m.facts.cpu = cpu::arm64;
  return m;
}

// Most of what a Pi asks for does not exist, which is normal and told to nobody.
bool service::impl::open_raspberry_pi(const asset_request& request, asset_reply_fn& reply) {
  std::string rest = request.path; // without the prefix
  std::string_view prefix;
  if (auto slash = request.path.find('/', 1); slash != std::string::npos) {
    prefix = std::string_view(request.path).substr(1, slash - 1);
    rest = request.path.substr(slash);
  }
  auto m = raspberry_owner(request, prefix);
  // A folder such as "overlays" is no prefix.
  bool prefixed =
      is_serial(prefix) || mac_address::parse(prefix) || (!prefix.empty() && m.facts.name == prefix);
  if (!prefixed) rest = request.path;
  auto chosen = choose(m);
  bool own = chosen && chosen->profile->raspberry;
  raspberry_files folder_only{.firmware = options.raspberry_pi};
  const auto& files = own ? *chosen->profile->raspberry : folder_only;
  auto folder = local_path(files.firmware);
  if (!folder) return false;
  auto shown = request.path.substr(1);

  auto say_no = [&](const refusal& why) {
    tell(m, why);
    reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
    return true;
  };
  auto send = [&](const std::string& path, boot_stage stage) {
    send_file(request, m, path, stage, shown, std::move(reply), own ? chosen->profile : nullptr);
    return true;
  };
  // What the operator made for this very Pi goes before everything else.
  if (prefixed && is_regular_file(*folder + request.path))
    return send(*folder + request.path, boot_stage::tftp);

  if (own) {
    const auto& p = *chosen->profile;
    auto named = [&](const std::string& value) {
      return !value.empty() && rest.substr(1) == base_name(value);
    };
    auto give = [&](const std::string& value, boot_stage stage) {
      auto path = local_path(value);
      if (!path) return say_no(path.error());
      if (!is_regular_file(*path))
        return say_no({&asset_missing,
                       m.label() + ": profile \"" + p.name + "\" names " + *path + ", which is not there"});
      return send(*path, stage);
    };
    if (named(files.uefi)) return give(files.uefi, boot_stage::tftp);
    if (named(files.kernel))
      return give(files.kernel, is_loader(files.kernel) ? boot_stage::tftp : boot_stage::kernel);
    for (const auto& initrd : files.initrd)
      if (named(initrd)) return give(initrd, boot_stage::initrd);

    bool config =
        rest == "/config.txt" && (!files.kernel.empty() || !files.uefi.empty() || !files.config.empty());
    bool cmdline = rest == "/cmdline.txt" && !files.args.empty();
    if (config || cmdline) {
      auto text =
          config ? raspberry_config(request, m, *chosen, *folder) : raspberry_cmdline(request, m, *chosen);
      if (!text) return say_no(text.error());
      send_text(request, m, std::move(*text), "text/plain; charset=utf-8",
                config ? boot_stage::script : boot_stage::tftp, shown + " of " + p.name, std::move(reply),
                &p);
      return true;
    }
  }
  if (!is_regular_file(*folder + rest)) return false;
  return send(*folder + rest, boot_stage::tftp);
}

answer<std::string> service::impl::raspberry_config(const asset_request& request, const machine& m,
                                                    const choice& c, const std::string& folder) const {
  const auto& files = *c.profile->raspberry;
  std::string out;
  // The operator's own settings stay; what starts is the profile's.
  if (auto own = folder + "/config.txt"; is_regular_file(own)) {
    auto text = read_document(own);
    if (!text) return refuse(document_failed, m.label() + ": " + text.error().message);
    out = std::move(*text);
    if (!out.ends_with('\n')) out += '\n';
    out += "\n[all]\n";
  } else {
    out = "arm_64bit=1\nenable_uart=1\n";
  }
  out += "# " + printable(m.label()) + ": profile " + c.profile->name + "\n";
  if (!files.uefi.empty()) out += "armstub=" + base_name(files.uefi) + "\ndisable_commandline_tags=1\n";
  if (!files.kernel.empty()) out += "kernel=" + base_name(files.kernel) + "\n";
  if (!files.initrd.empty()) {
    std::string names;
    for (const auto& initrd : files.initrd) names += (names.empty() ? "" : ",") + base_name(initrd);
    out += "initramfs " + names + " followkernel\n";
  }
  auto lines = raspberry_texts(request, m, c, files.config);
  if (!lines) return tl::unexpected(lines.error());
  for (const auto& line : *lines) out += line + "\n";
  return out;
}

answer<std::string> service::impl::raspberry_cmdline(const asset_request& request, const machine& m,
                                                     const choice& c) const {
  auto args = raspberry_texts(request, m, c, c.profile->raspberry->args);
  if (!args) return tl::unexpected(args.error());
  std::string out;
  for (const auto& arg : *args) out += (out.empty() ? "" : " ") + arg;
  return out + "\n"; // one line: the firmware ends at the first break
}

answer<std::vector<std::string>> service::impl::raspberry_texts(const asset_request& request,
                                                                const machine& m, const choice& c,
                                                                const std::vector<std::string>& texts) const {
  std::vector<std::string> out;
  auto base = base_url(request);
  for (const auto& one : texts) {
    auto text = render(one, [&](std::string_view name) { return variable(m, c, base, "arm64", name); });
    if (!text)
      return refuse(template_failed, m.label() + ": Raspberry Pi of profile \"" + c.profile->name +
                                         "\": " + text.error().message);
    if (std::any_of(text->begin(), text->end(), [](unsigned char ch) { return ch < 0x20 || ch == 0x7f; }))
      return refuse(bad_argument, m.label() + ": Raspberry Pi of profile \"" + c.profile->name + "\": \"" +
                                      printable(*text) + "\" holds a control character");
    out.push_back(std::move(*text));
  }
  return out;
}

} // namespace netlab::boot
