#include <algorithm>
#include <array>

#include "netlab/text.h"
#include "service_impl.h"

// The programs that run between firmware and kernel: which there are on this host, by which names machines
// ask for them, and which one a machine is given.

namespace netlab::boot {

namespace {

// UEFI's short names of machine types (UEFI 2.10 §3.5.1.1), and GRUB's names of what it was built for.
struct efi_platform {
  boot::cpu cpu;
  std::string_view suffix, grub;
};
constexpr std::array<efi_platform, 6> platforms = {{
    {cpu::amd64, "x64", "x86_64-efi"},
    {cpu::arm64, "aa64", "arm64-efi"},
    {cpu::i386, "ia32", "i386-efi"},
    {cpu::arm, "arm", "arm-efi"},
    {cpu::riscv64, "riscv64", "riscv64-efi"},
    {cpu::loong64, "loongarch64", "loongarch64-efi"},
}};

const efi_platform* platform_of(cpu processor) {
  auto found =
      std::find_if(platforms.begin(), platforms.end(), [&](const auto& p) { return p.cpu == processor; });
  return found == platforms.end() ? nullptr : found;
}

std::string first_file(const std::vector<std::string>& paths) {
  auto found = std::find_if(paths.begin(), paths.end(), is_regular_file);
  return found == paths.end() ? std::string{} : *found;
}

} // namespace

std::string_view efi_suffix(cpu processor) {
  const auto* p = platform_of(processor);
  return p ? p->suffix : std::string_view{};
}

cpu cpu_of_grub(std::string_view platform) {
  auto found =
      std::find_if(platforms.begin(), platforms.end(), [&](const auto& p) { return p.grub == platform; });
  return found == platforms.end() ? cpu::unknown : found->cpu;
}

std::string service::impl::loader_name(const std::string& key) {
  if (key == "bios") return "undionly.kpxe";
  if (key == "amd64") return "snponly.efi";
  return "ipxe-" + key + ".efi";
}

std::string service::impl::loader_key(std::string_view file) const {
  for (const auto* key : {"bios", "amd64", "arm64", "i386", "arm", "riscv64", "loong64"})
    if (file == loader_name(key)) return key;
  return {};
}

std::string service::impl::loader_path(const std::string& key) const {
  if (auto found = options.ipxe.find(key); found != options.ipxe.end())
    return is_regular_file(found->second) ? found->second : std::string{};
  for (const auto& folder : options.ipxe_folders)
    if (auto path = folder + "/" + loader_name(key); is_regular_file(path)) return path;
  return {};
}

std::string service::impl::grub_path(cpu processor, bool secure) const {
  const auto* p = platform_of(processor);
  if (!p) return {};
  if (auto found = options.grub.find(std::string(to_string(processor))); found != options.grub.end())
    return is_regular_file(found->second) ? found->second : std::string{};
  auto name = "grubnet" + std::string(p->suffix) + ".efi";
  std::vector<std::string> plain = {options.assets + "/" + name},
                           sealed = {options.assets + "/" + name + ".signed"};
  for (const auto& folder : options.grub_folders) {
    auto base = folder + "/" + std::string(p->grub);
    plain.push_back(base + "/monolithic/" + name);
    sealed.push_back(base + "-signed/" + name + ".signed");
  }
  // Without Secure Boot the unsigned one is the better choice: it may load modules, such as the one for HTTP.
  auto& first = secure ? sealed : plain;
  if (auto path = first_file(first); !path.empty()) return path;
  return secure ? std::string{} : first_file(sealed);
}

std::string service::impl::shim_path(cpu processor) const {
  const auto* p = platform_of(processor);
  if (!p) return {};
  if (auto found = options.shim.find(std::string(to_string(processor))); found != options.shim.end())
    return is_regular_file(found->second) ? found->second : std::string{};
  auto name = "shim" + std::string(p->suffix) + ".efi.signed";
  std::vector<std::string> paths = {options.assets + "/" + name};
  for (const auto& folder : options.shim_folders) paths.push_back(folder + "/" + name);
  return first_file(paths);
}

// MokManager and the fallback loader lie beside their shim, signed or not.
std::string service::impl::shim_helper_path(cpu processor, std::string_view file) const {
  auto shim = shim_path(processor);
  if (shim.empty()) return {};
  auto path = shim.substr(0, shim.rfind('/') + 1) + std::string(file);
  return first_file({path + ".signed", path});
}

std::string service::impl::grub_module_path(std::string_view platform, std::string_view file) const {
  if (cpu_of_grub(platform) == cpu::unknown || file.find('/') != std::string_view::npos) return {};
  if (!file.ends_with(".mod") && !file.ends_with(".lst")) return {};
  auto below = "/" + std::string(platform) + "/" + std::string(file);
  std::vector<std::string> paths = {options.assets + "/grub" + below};
  for (const auto& folder : options.grub_folders) paths.push_back(folder + below);
  return first_file(paths);
}

std::optional<efi_loader> service::impl::efi_loader_of(std::string_view file) const {
  for (const auto& p : platforms) {
    auto is = [&](std::string_view stem) {
      return file == std::string(stem) + std::string(p.suffix) + ".efi";
    };
    if (is("grubnet")) return efi_loader{efi_loader::kind::grub, p.cpu};
    if (is("shim")) return efi_loader{efi_loader::kind::shim, p.cpu};
    if (is("grub")) return efi_loader{efi_loader::kind::second, p.cpu};
    if (is("mm") || is("fb")) return efi_loader{efi_loader::kind::helper, p.cpu};
  }
  return std::nullopt;
}

answer<std::string> service::impl::efi_program(const machine& m, const client_kind& kind, const choice& c,
                                               const resolved_files& files) const {
  auto suffix = std::string(efi_suffix(kind.cpu));
  auto asks = m.label() + " (" + kind.name + ")";
  bool secure = c.profile->loader == boot_loader::shim;
  bool grub = files.uki.empty() || !secure;
  if (secure && shim_path(kind.cpu).empty())
    return refuse(no_shim, asks + " must be given shim" + suffix + ".efi.signed by profile \"" +
                               c.profile->name + "\", and it is not on this host");
  if (grub && grub_path(kind.cpu, secure).empty())
    return refuse(no_grub, asks + " must be given " + (secure ? "a signed GRUB" : "GRUB") + " for " +
                               std::string(to_string(kind.cpu)) + " by profile \"" + c.profile->name +
                               "\", and there is none on this host");
  if (grub && kind.transport == boot_transport::http)
    return refuse(grub_over_http, asks + " boots over HTTP, and profile \"" + c.profile->name +
                                      "\" needs GRUB, which finds its network only after PXE");
  if (!secure) return "grubnet" + suffix + ".efi";
  // shim looks for its second stage beside itself, and that request says nothing about who asks.
  std::string folder = "shim/";
  if (m.identity.mac) folder += m.identity.mac->to_string('-') + "/";
  return folder + "shim" + suffix + ".efi";
}

} // namespace netlab::boot
