#include <algorithm>

#include "netlab/text.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string http_base(std::string_view scheme, const ip_address& server, std::uint16_t port) {
  std::string out(scheme);
  auto standard = scheme == "https://" ? 443 : 80;
  auto text = endpoint{server, port}.to_string();
  // endpoint writes the brackets of IPv6; the standard port is not shown.
  return out + (port == standard ? text.substr(0, text.rfind(':')) : text);
}

byte_vector bytes_of(std::initializer_list<int> head, std::string_view text = {},
                     std::initializer_list<int> tail = {}) {
  byte_vector out;
  for (int b : head) out.push_back(static_cast<std::uint8_t>(b));
  out.insert(out.end(), text.begin(), text.end());
  for (int b : tail) out.push_back(static_cast<std::uint8_t>(b));
  return out;
}

// The BOOTP field has 128 bytes with its zero; option 67 has 255.
constexpr std::size_t tftp_name_limit = 127, url_limit = 255;

// From the end of its transfer to its own DHCP exchange.
constexpr auto ipxe_starts_within = std::chrono::minutes(1);

} // namespace

std::string service::impl::base_url(const ip_address& server) const {
  if (!options.url.empty()) return without_slash(options.url);
  if (options.http_port != 0) return http_base("http://", server, options.http_port);
  return tftp_base(server);
}

std::string service::impl::tftp_base(const ip_address& server) {
  auto text = endpoint{server, 0}.to_string();
  return "tftp://" + text.substr(0, text.rfind(':'));
}

std::string service::impl::base_url(const asset_request& request) const {
  if (!options.url.empty() || request.protocol == asset_protocol::tftp) return base_url(request.server);
  return http_base(request.secure ? "https://" : "http://", request.server, request.server_port);
}

// A loader that falls back to the firmware makes a machine ask for ever. Answers within the same exchange
// (DISCOVER and REQUEST) count once.
std::optional<refusal> service::impl::count_loader(const machine& m, const std::string& loader) {
  auto& known = remember(m.identity);
  if (known.loader != loader) {
    known.loader = loader;
    known.loads.clear();
  }
  auto& loads = known.loads;
  while (!loads.empty() && now() - loads.front() > options.loader_window) loads.pop_front();
  bool same_exchange = !loads.empty() && now() - loads.back() < std::chrono::seconds(3);
  if (!same_exchange) {
    if (loads.size() >= options.loader_limit)
      return refusal{&loader_loop, m.label() + " asked for " + loader + " " +
                                       std::to_string(loads.size() + 1) + " times within " +
                                       format_duration(options.loader_window) +
                                       " and never came back from it"};
    loads.push_back(now());
  }
  return std::nullopt;
}

boot_reply service::impl::refused(boot_reply reply, const refusal& why) {
  reply.what = boot_reply::kind::refuse;
  reply.file.clear();
  reply.reason = why.text;
  reply.message_id = why.what->id;
  reply.summary = reply.architecture + " → refused";
  return reply;
}

// The iPXE that a network card brings along may be years old. A profile may want ours in its place: it is
// loaded by the old one, and is the one that asks next. Empty: the one that asks will do.
std::string service::impl::own_ipxe(const client_kind& kind, const machine& m) {
  if (kind.ours || !options.tftp || !m.identity.mac) return {};
  auto chosen = choose(m);
  if (!chosen || chosen->profile->loader != boot_loader::ipxe) return {};
  const auto* met = recall(m.identity);
  if (met && met->ipxe_given && now() - *met->ipxe_given < ipxe_starts_within) return {};
  auto key = kind.firmware == firmware::bios ? std::string("bios") : std::string(to_string(m.facts.cpu));
  if (loader_path(key).empty()) return {};
  return "ipxe/" + m.identity.mac->to_string('-') + "/" + loader_name(key);
}

boot_reply service::impl::decide(const boot_request& request) {
  boot_reply reply;
  auto kind = classify(request);
  if (!kind.netboot) return reply;
  reply.architecture = kind.name;

  node_identity seen = request.node;
  if (!seen.uuid && request.guid.size() == 17 && request.guid[0] == 0 &&
      kind.firmware != firmware::raspberry_pi) {
    auto id = uuid::from_guid(byte_view(request.guid).subspan(1));
    if (!id.is_nil()) seen.uuid = id;
  }
  if (seen.address && seen.address->is_unspecified()) seen.address.reset();
  if (world.observe && (seen.mac || seen.uuid)) world.observe(seen);
  auto& known = remember(seen);
  if (kind.cpu != cpu::unknown) known.cpu = kind.cpu;
  known.firmware = kind.name;
  auto m = identify(seen, {});
  m.facts.cpu = kind.cpu != cpu::unknown ? kind.cpu : known.cpu;
  m.facts.firmware = kind.name;

  if (kind.firmware == firmware::raspberry_pi && !kind.ipxe)
    return raspberry_pi(std::move(reply), request, m, kind.raspberry_pi);
  if (!kind.ipxe &&
      (kind.firmware == firmware::unknown || kind.firmware == firmware::other || kind.cpu == cpu::other))
    return refused(std::move(reply), {&unsupported_machine,
                                      m.label() + " is of kind " + kind.name + ", which netlab cannot boot"});

  auto boots = [&](std::string file) {
    reply.what = boot_reply::kind::boot;
    reply.file = std::move(file);
    reply.summary = kind.name + " → " + reply.file;
    return reply;
  };
  auto over_tftp = [&](std::string file) {
    if (!options.tftp)
      return refused(reply, {&no_tftp, m.label() + " (" + kind.name + ") loads " + file +
                                           " over TFTP, which this recipe does not serve"});
    if (file.size() > tftp_name_limit)
      return refused(reply, {&bad_name, "the name " + file + " is too long for a boot file"});
    reply.next_server = request.server;
    // U-Boot takes the server from option 66 where siaddr is used for something else.
    reply.server_name_option = kind.firmware == firmware::uboot;
    return boots(std::move(file));
  };

  auto base = base_url(request.server);
  bool http = base.starts_with("http");
  if (kind.ipxe) {
    if (auto name = own_ipxe(kind, m); !name.empty()) {
      if (auto loop = count_loader(m, name)) return refused(std::move(reply), *loop);
      reply.next_server = request.server;
      // The iPXE of a card under BIOS takes a name without an address for a path of its own.
      return boots(tftp_base(request.server) + "/" + name);
    }
    remember(m.identity).loads.clear(); // the loader works
  }
  if (kind.ipxe && (kind.ipxe_http || kind.ours || !http)) {
    // Even a refusal goes to iPXE as a script, so that its screen says why.
    reply.next_server = request.server;
    // Option 175.176: no need to wait for a proxyDHCP server.
    reply.options.emplace_back(std::uint8_t{175}, bytes_of({0xb0, 1, 1}));
    return boots(base + "/boot.ipxe");
  }

  // `path`: where it is over HTTP.
  auto program = [&](const std::string& name, const std::string& path) -> boot_reply {
    if (kind.transport == boot_transport::http && !http)
      return refused(reply, {&no_http, m.label() + " (" + kind.name +
                                           ") boots over HTTP, which this recipe does not serve"});
    if (auto loop = count_loader(m, name)) return refused(reply, *loop);
    if (kind.transport == boot_transport::tftp) return over_tftp(name);
    reply.vendor_class = "HTTPClient";
    return boots(base + path);
  };
  auto loader = [&](const std::string& key) -> boot_reply {
    auto name = loader_name(key);
    if (loader_path(key).empty())
      return refused(reply, {&no_ipxe, m.label() + " (" + kind.name + ") needs " + name +
                                           ", and there is none on this host"});
    return program(name, "/ipxe/" + name);
  };

  // Sources say over HTTP what the machine boots, which is after DHCP: it gets the loader that asks them.
  bool ours_to_load = kind.firmware == firmware::uefi ||
                      (kind.firmware == firmware::bios && kind.transport == boot_transport::tftp);
  if (!options.sources.empty() && ours_to_load && !override_for(m)) {
    std::string key = kind.firmware == firmware::bios ? "bios" : std::string(to_string(kind.cpu));
    if (!loader_path(key).empty() || options.groups.empty()) return loader(key);
  }

  auto chosen = choose(m);
  // A group may ask for what only a boot loader tells: then iPXE goes first, and its script decides.
  const auto* later = select_group_later(options.groups, m.facts);
  bool undecided = later && (!chosen || later != chosen->group) && !override_for(m);
  if (undecided && (kind.firmware == firmware::bios || kind.firmware == firmware::uefi)) {
    auto key = kind.firmware == firmware::bios ? std::string("bios") : std::string(to_string(kind.cpu));
    if (!loader_path(key).empty()) return loader(key);
  }
  if (!chosen) return refused(std::move(reply), chosen.error());
  auto files = resolve(*chosen->profile, kind.cpu);
  if (!files)
    return refused(std::move(reply), {files.error().code == errc::not_found ? &no_variant : &bad_profile,
                                      m.label() + " (" + kind.name + "): " + files.error().message});

  auto grub_or_shim = [&]() -> boot_reply {
    auto name = efi_program(m, kind, *chosen, *files);
    if (!name) return refused(reply, name.error());
    return program(*name, "/" + *name);
  };

  if (kind.firmware == firmware::bios) {
    if (!files->uki.empty())
      return refused(std::move(reply),
                     {&uki_on_bios, m.label() + " booted by BIOS, and profile \"" + chosen->profile->name +
                                        "\" is a unified kernel image"});
    if (kind.transport == boot_transport::http)
      return refused(std::move(reply), {&unsupported_machine,
                                        m.label() + " wants HTTP boot under BIOS, which netlab cannot do"});
    return loader("bios");
  }
  std::string arch(to_string(kind.cpu));
  if (kind.ipxe) return loader(kind.firmware == firmware::bios ? "bios" : arch); // one without HTTP

  // U-Boot's own network boot reads a configuration; an image it starts as UEFI.
  if (kind.firmware == firmware::uboot && files->uki.empty()) {
    if (kind.transport == boot_transport::tftp) return over_tftp(std::string(extlinux_name));
    if (!http)
      return refused(std::move(reply), {&no_http, m.label() + " (" + kind.name +
                                                      ") boots over HTTP, which this recipe does not serve"});
    reply.vendor_class = "HTTPClient";
    return boots(base + "/" + std::string(extlinux_name));
  }

  auto wanted = chosen->profile->loader;
  bool uefi = kind.firmware == firmware::uefi;
  if (uefi && (wanted == boot_loader::grub || wanted == boot_loader::shim)) return grub_or_shim();
  // 32-bit UEFI on a 64-bit processor starts 32-bit programs only, and GRUB knows how to leave it.
  bool mixed = uefi && parse_cpu(files->arch) != kind.cpu;
  bool has_stub = !mixed && !stub_path(kind.cpu).empty();
  if (files->uki.empty()) {
    if (uefi && (!loader_path(arch).empty() || wanted == boot_loader::ipxe)) return loader(arch);
    if (uefi && !has_stub && (mixed || !grub_path(kind.cpu, false).empty())) return grub_or_shim();
    if (!has_stub && kind.cpu == cpu::amd64) return loader(arch); // says that iPXE is missing
    if (!has_stub)
      return refused(std::move(reply),
                     {&no_stub, m.label() + " (" + kind.name + ") needs profile \"" + chosen->profile->name +
                                    "\" as one EFI program, and systemd's stub for " + files->arch +
                                    " is missing"});
  } else if (mixed) {
    return refused(std::move(reply),
                   {&no_variant, m.label() + " (" + kind.name +
                                     ") cannot start the unified kernel image of \"" + chosen->profile->name +
                                     "\", which is for " + files->arch});
  }

  // One EFI program. Its name carries the machine, because its command line may be the machine's own and a
  // TFTP request says nothing about who asks.
  std::string name = "uki/";
  if (m.identity.mac) name += m.identity.mac->to_string('-') + "/";
  name += chosen->profile->name + "-" + files->arch + ".efi";
  if (kind.transport == boot_transport::http) {
    if (!http)
      return refused(std::move(reply), {&no_http, m.label() + " (" + kind.name +
                                                      ") boots over HTTP, which this recipe does not serve"});
    auto url = is_url(files->uki) ? files->uki : base + "/" + name;
    if (url.size() > url_limit)
      return refused(std::move(reply), {&bad_name, "the address " + url + " is too long for a boot file"});
    if (auto loop = count_loader(m, name)) return refused(std::move(reply), *loop);
    reply.vendor_class = "HTTPClient";
    if (world.worker && files->uki.empty()) image(m, *chosen, *files, base, [](const auto&) {});
    return boots(std::move(url));
  }
  if (options.tftp)
    if (auto loop = count_loader(m, name)) return refused(std::move(reply), *loop);
  auto answer = over_tftp(name);
  // The image is made while the machine finishes its DHCP exchange.
  if (answer.what == boot_reply::kind::boot && world.worker && files->uki.empty())
    image(m, *chosen, *files, base, [](const auto&) {});
  return answer;
}

} // namespace netlab::boot
