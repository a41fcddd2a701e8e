#include "netlab/text.h"
#include "service_impl.h"

// What boot loaders are made of and read themselves: iPXE, shim and GRUB with its modules and configurations.

namespace netlab::boot {

// The names that decide() gives out, with the machine's MAC in them where the program or what it asks for
// next depends on the machine; and the same names at the root, which tell the machine by its address.
bool service::impl::open_loader(const asset_request& request, const text_map& query, asset_reply_fn& reply) {
  auto file = std::string_view(request.path).substr(1);
  node_identity seen;
  seen.address = request.client.address;
  for (std::string_view folder : {"ipxe/", "shim/", "grub/"}) {
    if (!file.starts_with(folder)) continue;
    file.remove_prefix(folder.size());
    auto slash = file.find('/');
    if (slash == std::string_view::npos) break;
    auto mac = mac_address::parse(file.substr(0, slash));
    if (!mac) return false;
    seen.mac = *mac;
    file.remove_prefix(slash + 1);
    break;
  }
  std::string path;
  auto ipxe = loader_key(file);
  auto efi = efi_loader_of(file);
  if (!ipxe.empty())
    path = loader_path(ipxe);
  else if (!efi)
    return false;
  else if (efi->what == efi_loader::kind::grub)
    path = grub_path(efi->cpu, false);
  else if (efi->what == efi_loader::kind::shim)
    path = shim_path(efi->cpu);
  else if (efi->what == efi_loader::kind::helper)
    path = shim_helper_path(efi->cpu, file);
  auto m = identify(seen, query);
  if (seen.mac) remember(seen); // now its address is known
  if (efi && efi->what == efi_loader::kind::second) {
    open_second_stage(request, std::move(m), efi->cpu, std::string(file), std::move(reply));
    return true;
  }
  if (path.empty()) return false;
  auto stage = request.protocol == asset_protocol::tftp ? boot_stage::tftp : boot_stage::http;
  send_file(request, m, path, stage, std::string(file), std::move(reply));
  return true;
}

// shim asks for "grubx64.efi" whatever that shall be.
void service::impl::open_second_stage(const asset_request& request, machine m, cpu processor,
                                      std::string shown, asset_reply_fn reply) {
  m.facts.cpu = processor;
  auto say_no = [this, reply](const machine& asks, const refusal& why) {
    tell(asks, why);
    reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
  };
  auto chosen = choose(m);
  if (!chosen) return say_no(m, chosen.error());
  const auto& p = *chosen->profile;
  auto files = resolve(p, processor);
  if (!files) return say_no(m, {&no_variant, m.label() + ": " + files.error().message});
  if (p.loader == boot_loader::shim && !files->uki.empty()) {
    shown += " (" + files->uki + ")";
    auto self = weak_from_this();
    return when_here(request, m, boot_stage::uki, needed(*files), reply,
                     [this, self, request, m, c = *chosen, f = *files, shown, say_no,
                      &p](const asset_reply_fn& answer_with) {
                       image(m, c, f, base_url(request),
                             [self, request, m, shown, say_no, answer_with, &p](answer<std::string> path) {
                               auto alive = self.lock();
                               if (!alive)
                                 return answer_with(
                                     fail(errc::closed, "the boot service has stopped", "boot.open"));
                               if (!path) return say_no(m, path.error());
                               alive->send_file(request, m, *path, boot_stage::uki, shown, answer_with, &p);
                             });
                     });
  }
  auto path = grub_path(processor, true);
  if (path.empty())
    return say_no(m, {&no_grub, m.label() + " asked for " + shown +
                                    " as shim does, and there is no signed GRUB on this host"});
  auto stage = request.protocol == asset_protocol::tftp ? boot_stage::tftp : boot_stage::http;
  send_file(request, m, path, stage, shown, std::move(reply));
}

void service::impl::open_grub(const asset_request& request, std::string_view rest, asset_reply_fn reply) {
  constexpr std::string_view config = "grub.cfg", by_mac = "grub.cfg-01-";
  auto slash = rest.find('/');
  if (slash == std::string_view::npos) {
    if (!rest.starts_with(config)) return reply(not_here(request));
    auto base = request.protocol == asset_protocol::tftp ? tftp_base(request.server) : base_url(request);
    auto text = first_grub_script(base);
    if (!text) return reply(fail(errc::refused, text.error().message, "boot.grub"));
    return send_text(request, who(request, {}), std::move(*text), "text/plain; charset=utf-8", std::nullopt,
                     {}, std::move(reply));
  }
  auto platform = rest.substr(0, slash), file = rest.substr(slash + 1);
  auto processor = cpu_of_grub(platform);
  if (processor != cpu::unknown && file.starts_with(config)) {
    text_map query = {{"arch", std::string(to_string(processor))}, {"platform", "efi"}};
    if (file.starts_with(by_mac))
      if (auto mac = mac_address::parse(file.substr(by_mac.size()))) query["mac"] = mac->to_string();
    return open_script(request, query, true, std::move(reply));
  }
  auto path = grub_module_path(platform, file);
  if (path.empty()) return reply(not_here(request));
  asset out;
  out.content = asset::file_path{path};
  reply(std::move(out)); // a dozen modules are no steps of a boot
}

} // namespace netlab::boot
