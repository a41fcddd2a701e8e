#include <algorithm>
#include <set>

#include "netlab/text.h"
#include "netlab/uuid.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

constexpr std::string_view processors[] = {"amd64", "arm64", "i386", "arm", "riscv64", "loong64"};

bool is_plain_name(std::string_view name) {
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), plain);
}

// A glob of hexadecimal digits and separators; anything else can match no MAC.
bool may_be_mac(std::string_view pattern) {
  if (pattern.empty() || mac_address::parse(pattern)) return true;
  bool wild = pattern.find_first_of("*?") != std::string_view::npos;
  return wild && pattern.find_first_not_of("0123456789abcdefABCDEF:-*?") == std::string_view::npos;
}

bool may_be_uuid(std::string_view pattern) {
  if (pattern.empty() || uuid::parse(pattern)) return true;
  bool wild = pattern.find_first_of("*?") != std::string_view::npos;
  return wild && pattern.find_first_not_of("0123456789abcdefABCDEF-*?") == std::string_view::npos;
}

} // namespace

std::vector<check_issue> service::check() const {
  std::vector<check_issue> out;
  const auto& options = impl_->options;
  auto add = [&](const message& what, log_level level, std::string text, std::string option = {}) {
    out.push_back({level, what.id, std::move(text), std::move(option)});
  };
  std::vector<std::string_view> names;
  for (const auto& p : options.profiles) names.push_back(p.name);

  std::set<std::string_view> seen;
  for (const auto& p : options.profiles) {
    auto at = "profiles." + p.name;
    if (!is_plain_name(p.name))
      add(bad_name, log_level::error,
          "profile \"" + printable(p.name) + "\": a name may hold only letters, digits, '.', '_' and '-'",
          at);
    if (!seen.insert(p.name).second)
      add(bad_name, log_level::error, "two profiles are called \"" + printable(p.name) + "\"", at);
    for (const auto& [arch, files] : p.variants)
      if (parse_cpu(arch) == cpu::unknown)
        add(bad_name, log_level::error,
            "profile \"" + p.name + "\": unknown processor \"" + printable(arch) + "\"" +
                did_you_mean(arch, processors));
    if (p.raspberry)
      if (auto trouble = impl_->raspberry_trouble(p, 0))
        add(*trouble->what, log_level::warn, "profile \"" + p.name + "\": " + trouble->text);
    if (p.variants.empty() && !p.common.kernel && !p.common.uki && p.raspberry) continue;
    if (p.variants.empty() && !p.common.kernel && !p.common.uki)
      add(bad_profile, log_level::error, "profile \"" + p.name + "\" has neither a kernel nor a uki", at);

    std::vector<cpu> targets;
    for (const auto& [arch, files] : p.variants)
      if (auto processor = parse_cpu(arch); processor != cpu::unknown) targets.push_back(processor);
    bool any = targets.empty();
    if (any) targets.push_back(cpu::amd64);
    std::set<std::string> checked;
    for (auto target : targets) {
      auto files = resolve(p, target);
      if (!files) {
        if (!p.variants.empty()) add(bad_profile, log_level::error, files.error().message, at);
        continue;
      }
      std::vector<std::string> values = files->initrd;
      values.insert(values.begin(), files->uki.empty() ? files->kernel : files->uki);
      if (!files->cmdline.empty()) values.push_back(files->cmdline);
      for (const auto& value : values) {
        if (is_url(value) || !checked.insert(value).second) continue;
        if (impl_->world.library && impl_->world.library->find(value)) continue; // it will be fetched
        auto path = impl_->local_path(value);
        if (!path)
          add(*path.error().what, log_level::error, "profile \"" + p.name + "\": " + path.error().text, at);
        else if (!is_regular_file(*path))
          add(asset_missing, log_level::warn, "profile \"" + p.name + "\": there is no file " + *path);
      }
      std::string arch(to_string(target));
      if (p.loader == boot_loader::shim && impl_->shim_path(target).empty())
        add(no_shim, log_level::warn,
            "profile \"" + p.name + "\": " + arch +
                " machines need Debian's package shim-signed, and it is not "
                "there");
      bool grub_needed =
          p.loader == boot_loader::grub || (p.loader == boot_loader::shim && files->uki.empty());
      if (grub_needed && impl_->grub_path(target, p.loader == boot_loader::shim).empty())
        add(no_grub, log_level::warn,
            "profile \"" + p.name + "\": " + arch + " machines need " +
                (p.loader == boot_loader::shim ? "Debian's signed GRUB" : "GRUB") + ", and it is not there");
      if (!files->uki.empty() || p.loader == boot_loader::shim || p.loader == boot_loader::grub) continue;
      bool loader = !impl_->loader_path(arch).empty();
      bool stub = !impl_->stub_path(target).empty();
      if (target == cpu::amd64 && !loader && !stub)
        add(no_ipxe, log_level::warn,
            "profile \"" + p.name +
                "\": UEFI machines need snponly.efi of Debian's package ipxe, and it is not there");
      else if (target != cpu::amd64 && !loader && !stub)
        add(no_stub, log_level::warn,
            "profile \"" + p.name + "\": " + arch +
                " machines need its kernel and initramfs as one EFI program, and systemd's stub for " + arch +
                " is not there");
      if (any && impl_->stub_path(cpu::arm64).empty() && impl_->loader_path("arm64").empty())
        add(no_stub, log_level::info,
            "profile \"" + p.name +
                "\": arm64 machines would need systemd's stub (linuxaa64.efi.stub), and it is not there");
    }
  }

  if (!options.sources.empty()) {
    if (impl_->loader_path("amd64").empty())
      add(no_ipxe, log_level::warn,
          "sources: UEFI machines need snponly.efi of Debian's package ipxe, and it is not there");
    if (impl_->loader_path("arm64").empty())
      add(no_ipxe, log_level::info,
          "sources: arm64 machines would need an iPXE to ask them (ipxe = { arm64 = \"…\" }), and there is "
          "none");
  } else if (options.groups.empty())
    add(no_groups, log_level::error, "there is no group, so no machine gets anything");
  bool has_default = false;
  for (std::size_t i = 0; i < options.groups.size(); ++i) {
    const auto& g = options.groups[i];
    auto at = "groups[" + std::to_string(i + 1) + "]";
    auto label = "group " + (g.name.empty() ? std::to_string(i + 1) : "\"" + printable(g.name) + "\"");
    if (!impl_->profiles.contains(g.profile))
      add(unknown_profile, log_level::error,
          label + ": there is no profile \"" + printable(g.profile) + "\"" + did_you_mean(g.profile, names),
          at + ".profile");
    if (g.match.empty() && !g.decide) {
      if (has_default)
        add(second_default_group, log_level::warn,
            label + " matches everything, as an earlier group does: it is never used");
      has_default = true;
    }
    for (const auto& s : g.match) {
      auto key = to_lower(s.key);
      auto selector = at + ".match." + s.key;
      static constexpr std::string_view known[] = {"mac",     "uuid",         "serial", "arch",       "name",
                                                   "role",    "firmware",     "ip",     "hostname",   "tag",
                                                   "product", "manufacturer", "domain", "instance_id"};
      if (auto near = nearest_name(s.key, known); near && *near != s.key)
        add(bad_selector, log_level::warn,
            label + ": \"" + printable(s.key) + "\" is a label or query parameter; is \"" +
                std::string(*near) + "\" meant?");
      if (s.any.empty())
        add(bad_selector, log_level::error,
            label + ": " + printable(s.key) + " has an empty list and matches nothing", selector);
      for (const auto& pattern : s.any) {
        if (key == "mac" && !may_be_mac(pattern))
          add(bad_selector, log_level::error, label + ": \"" + printable(pattern) + "\" is not a MAC address",
              selector);
        if (key == "uuid" && !may_be_uuid(pattern))
          add(bad_selector, log_level::error, label + ": \"" + printable(pattern) + "\" is not a UUID",
              selector);
        if (key == "arch" && parse_cpu(pattern) == cpu::unknown &&
            pattern.find_first_of("*?") == std::string::npos)
          add(bad_selector, log_level::error,
              label + ": unknown processor \"" + printable(pattern) + "\"" +
                  did_you_mean(pattern, processors),
              selector);
      }
    }
  }
  if (!options.url.empty() && !options.url.starts_with("http://") && !options.url.starts_with("https://"))
    add(no_http, log_level::error, "url \"" + printable(options.url) + "\" is not an HTTP address", "url");
  return out;
}

} // namespace netlab::boot
