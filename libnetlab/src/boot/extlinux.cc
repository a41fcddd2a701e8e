// U-Boot's network boot (`pxe get`, `pxe boot`): pxelinux.cfg files, made for the machine that asks.
#include <algorithm>

#include "netlab/ipxe_script.h"
#include "netlab/text.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

constexpr std::string_view config_folder = "/pxelinux.cfg/";

// Who asks, as the file's name tells. Nothing: no machine is asked for by such a name.
std::optional<node_identity> owner_of(std::string_view name) {
  node_identity out;
  if (name == "default" || name.starts_with("default-")) return out;
  if (name.starts_with("01-"))
    if (auto mac = mac_address::parse(name.substr(3))) {
      out.mac = *mac;
      return out;
    }
  if (auto id = uuid::parse(name)) {
    out.uuid = *id;
    return out;
  }
  // Its address in hex; the shorter names that follow stand for whole networks, which netlab has no file for.
  byte_vector address;
  if (name.size() == 8 && from_hex(std::string(name), address)) {
    out.address = ip_address::v4(address[0], address[1], address[2], address[3]);
    return out;
  }
  return std::nullopt;
}

// U-Boot joins these to the folder of its boot file, and asks the server of that file.
answer<std::string> relative_path(const std::string& value, const boot::profile& p, const std::string& arch) {
  if (is_url(value))
    return refuse(url_not_fetched,
                  "profile \"" + p.name + "\" names " + value + ", which U-Boot cannot load");
  if (!value.starts_with("/")) return "assets/" + value;
  return "profiles/" + p.name + "/" + arch + "/" + value.substr(value.rfind('/') + 1);
}

} // namespace

result<std::string> extlinux_config(const script_input& in) {
  auto one_line = [](std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  };
  std::string append;
  for (const auto& arg : in.args) append += (append.empty() ? "" : " ") + arg;
  if (!one_line(append) || !one_line(in.kernel))
    return fail(errc::invalid, "an argument holds a control character", "boot.extlinux");
  // One entry and no prompt: it starts at once.
  std::string out = "# " + printable(in.title) + "\ndefault netlab\nprompt 0\nlabel netlab\n  menu label " +
                    printable(in.title) + "\n  kernel " + in.kernel + "\n";
  for (const auto& initrd : in.initrd) out += "  initrd " + initrd + "\n";
  if (!append.empty()) out += "  append " + append + "\n";
  return out;
}

bool service::impl::open_extlinux(const asset_request& request, asset_reply_fn& reply) {
  std::string_view path = request.path;
  std::optional<node_identity> seen;
  if (path.starts_with(config_folder))
    seen = owner_of(path.substr(config_folder.size()));
  else if (path.substr(1) == extlinux_name)
    seen = node_identity{};
  if (!seen) return false;
  if (!seen->address) seen->address = request.client.address;
  auto m = identify(*seen, parse_query(request.query));
  if (m.identity.mac || m.identity.uuid) remember(m.identity);
  // A board that said nothing of itself is one of those that U-Boot is made for.
  if (m.facts.cpu == cpu::unknown) m.facts.cpu = cpu::arm64;
  auto say_no = [&](const refusal& why) {
    tell(m, why);
    reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
    return true;
  };
  auto chosen = choose(m);
  if (!chosen) return say_no(chosen.error());
  const auto& p = *chosen->profile;
  auto files = resolve(p, m.facts.cpu);
  if (!files)
    return say_no({files.error().code == errc::not_found ? &no_variant : &bad_profile,
                   m.label() + ": " + files.error().message});
  if (!files->uki.empty())
    return say_no({&no_extlinux, m.label() + " asked for a U-Boot configuration, and profile \"" + p.name +
                                     "\" is a unified kernel image"});
  if (files->initrd.size() > 1)
    return say_no({&no_extlinux, m.label() + " boots with U-Boot, which takes one initrd, and profile \"" +
                                     p.name + "\" has " + std::to_string(files->initrd.size())});
  auto base = base_url(request);
  auto args = arguments(m, *chosen, *files, base);
  if (!args) return say_no(args.error());

  script_input in;
  in.title = m.label() + " boots " + p.name + " (" + files->arch + ")";
  // U-Boot would fill ${mac} in from its own environment, where it is called otherwise.
  ipxe_settings known;
  if (m.identity.mac) known["mac"] = known["net0/mac"] = m.identity.mac->to_string();
  if (m.identity.address) known["ip"] = known["net0/ip"] = m.identity.address->to_string();
  known["uuid"] = m.facts.uuid;
  known["serial"] = m.facts.serial;
  known["hostname"] = m.facts.name;
  for (const auto& arg : *args) {
    auto text = expand_ipxe(arg, known);
    if (!text)
      return say_no({&bad_argument, m.label() + ": profile \"" + p.name + "\": " + text.error().message});
    in.args.push_back(std::move(*text));
  }
  std::vector<std::string> values = {files->kernel};
  values.insert(values.end(), files->initrd.begin(), files->initrd.end());
  std::vector<std::string> paths;
  for (const auto& value : values) {
    auto local = local_path(value);
    if (local && !is_url(value) && !is_regular_file(*local))
      return say_no({&asset_missing,
                     m.label() + ": profile \"" + p.name + "\" names " + *local + ", which is not there"});
    if (!local) return say_no(local.error());
    if (request.protocol == asset_protocol::http) {
      paths.push_back(url_for(value, p, files->arch, base));
      continue;
    }
    auto relative = relative_path(value, p, files->arch);
    if (!relative) return say_no(relative.error());
    paths.push_back(std::move(*relative));
  }
  in.kernel = paths.front();
  in.initrd.assign(paths.begin() + 1, paths.end());
  auto text = extlinux_config(in);
  if (!text)
    return say_no({&bad_argument, m.label() + ": profile \"" + p.name + "\": " + text.error().message});
  send_text(request, m, std::move(*text), "text/plain; charset=utf-8", boot_stage::script,
            request.path.substr(1) + " of " + p.name, std::move(reply), &p);
  return true;
}

} // namespace netlab::boot
