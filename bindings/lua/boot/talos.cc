#include "boot/talos.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "boot/service.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/digest.h"
#include "netlab/text.h"

// netlab.talos.profile: Talos Linux of a release, with extensions, as an Image Factory makes it.

namespace netlab::lua {

namespace {

schema profile_schema() {
  schema s;
  s.name = "talos.profile";
  s.help = "A boot profile for Talos Linux: an Image Factory makes kernel and initramfs with the extensions, "
           "netlab fetches them once and serves its copy.";
  s.options = {
      optional("name", type::string(), "how messages call it"),
      required("version", type::string(), "the release, such as \"v1.11.3\""),
      optional("extensions", type::list(type::string()),
               "system extensions, such as \"siderolabs/tailscale\""),
      optional("kernel_args", type::list(type::string()),
               "kernel arguments that the factory puts into the image, beside its own"),
      optional(
          "args", type::list(type::string()),
          "kernel arguments that netlab adds for each machine, {{name}} filled in; by default those that "
          "lead to config"),
      optional(
          "config", document_type(),
          "the machine config, at /config: a file beside the recipe, or a function that returns its name, "
          "{ text = \"…\" }, or nil and why"),
      with_default("arch", type::list(type::enumeration({"amd64", "arm64"})), json::array({"amd64", "arm64"}),
                   "the processors to fetch it for"),
      with_default("platform", type::string(), "metal", "Talos' platform, part of the factory's file names"),
      with_default(
          "uki", type::boolean(), false,
          "boot the factory's unified image, for UEFI firmware only; what it is told is in kernel_args"),
      with_default("secureboot", type::boolean(), false, "the signed unified image, for Secure Boot"),
      optional("overlay",
               type::table({required("name", type::string(), "such as \"rpi_generic\""),
                            required("image", type::string(), "such as \"siderolabs/sbc-raspberrypi\""),
                            optional("options", type::data(), "the overlay's own")}),
               "an overlay for single-board computers"),
      optional("schematic", type::string(),
               "the id of a schematic that the factory has, instead of the above"),
      optional("checksums", type::map(type::string()),
               "checksums by the factory's file names: [\"kernel-amd64\"] = \"sha256:…\""),
      with_default("factory", type::url(), "https://factory.talos.dev",
                   "the Image Factory, or a mirror of it"),
  };
  s.example =
      "local boot = netlab.boot.service {\n"
      "  profiles = { talos = netlab.talos.profile {\n"
      "    version = \"v1.11.3\", extensions = { \"siderolabs/tailscale\" },\n"
      "    config = function(node) return \"machines/\" .. (node.role or \"worker\") .. \".yaml\" end,\n"
      "  } },\n"
      "  groups = { { profile = \"talos\" } },\n"
      "}";
  return s;
}

// "v1.11.3", "v1.12.0-alpha.1": it becomes part of URLs and file names.
bool is_version(std::string_view text) {
  if (text.size() < 6 || text.size() > 64 || text.front() != 'v') return false;
  auto core = text.substr(1, std::min(text.find('-'), text.size()) - 1);
  auto parts = split(core, '.');
  auto digits = [](std::string_view p) {
    return !p.empty() && p.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), digits) &&
         text.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz.-", 1) == std::string_view::npos;
}

bool is_extension(std::string_view text) {
  auto slash = text.find('/');
  return slash != std::string_view::npos && slash > 0 && slash + 1 < text.size() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789./_-") == std::string_view::npos;
}

tl::unexpected<error> wrong(const std::string& option, const std::string& why) {
  return fail(errc::invalid, why, option);
}

result<fetch::factory_model> read_model(const options& o) {
  fetch::factory_model out;
  out.version = o.get<std::string>("version");
  if (!is_version(out.version))
    return wrong("version", "expected a release such as \"v1.11.3\", got \"" + printable(out.version) + "\"");
  out.factory = o.get<std::string>("factory");
  while (out.factory.ends_with("/")) out.factory.pop_back();
  fetch::schematic s;
  s.extensions = o.list<std::string>("extensions");
  s.kernel_args = o.list<std::string>("kernel_args");
  for (std::size_t i = 0; i < s.extensions.size(); ++i)
    if (!is_extension(s.extensions[i]))
      return wrong("extensions[" + std::to_string(i + 1) + "]",
                   "expected an extension such as \"siderolabs/tailscale\", got \"" +
                       printable(s.extensions[i]) + "\"");
  for (std::size_t i = 0; i < s.kernel_args.size(); ++i) {
    const auto& arg = s.kernel_args[i];
    auto at = "kernel_args[" + std::to_string(i + 1) + "]";
    if (std::any_of(arg.begin(), arg.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }) ||
        arg.empty())
      return wrong(at, "a kernel argument holds printable characters");
    if (arg.find("{{") != std::string::npos)
      return wrong(at,
                   "the factory puts kernel_args into the image, so that nothing can be filled in: write it "
                   "in args");
  }
  if (auto overlay = o.maybe<options>("overlay")) {
    s.overlay_name = overlay->get<std::string>("name");
    s.overlay_image = overlay->get<std::string>("image");
    if (auto data = overlay->maybe<std::shared_ptr<const json>>("options"))
      s.overlay_options = (*data)->dump();
  }
  if (auto id = o.maybe<std::string>("schematic")) {
    if (id->size() != 64 || id->find_first_not_of("0123456789abcdef") != std::string::npos)
      return wrong("schematic", "expected the id of a schematic, 64 hexadecimal digits");
    for (const char* other : {"extensions", "kernel_args", "overlay"})
      if (o.has(other)) return wrong(other, "the schematic says that already: give one of the two");
    out.id = *id;
  } else {
    out.schematic = fetch::write_schematic(s);
  }
  return out;
}

result<object_ptr> create_profile(host& h, const options& o) {
  auto out = std::make_shared<talos_profile>();
  bool secureboot = o.get<bool>("secureboot"), uki = o.get<bool>("uki") || secureboot;
  auto model = read_model(o);
  if (!model) return tl::unexpected(model.error());
  const auto& platform = o.get<std::string>("platform");
  if (platform.empty() ||
      platform.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
    return wrong("platform", "expected a platform such as \"metal\", got \"" + printable(platform) + "\"");
  if (uki && o.has("args"))
    return wrong("args", "nothing can be added to a unified image on the way: write it in kernel_args");
  auto shared = std::make_shared<const fetch::factory_model>(*model);
  // The id is the factory's to give; the folder's name must be known before anybody is asked.
  auto identity = model->factory + " " + (model->id.empty() ? model->schematic : model->id);
  auto folder =
      "talos/" + model->version + "/" + to_hex(byte_view(sha256_of(as_bytes(identity))).first(6)) + "/";
  auto checksums = o.maybe<value_map>("checksums").value_or(value_map{});
  std::vector<std::string> known;
  auto want = [&](const std::string& file) -> result<std::string> {
    fetch::wanted_file w;
    w.name = folder + file;
    w.url = file;
    w.factory = shared;
    w.set = folder;
    known.push_back(file);
    for (const auto& item : checksums.items) {
      if (item.name != file) continue;
      auto sum = checksum::parse(item.value.as<std::string>());
      if (!sum) return wrong("checksums." + file, sum.error().message);
      w.expected = *sum;
    }
    if (auto ok = fetch::check(w); !ok) return tl::unexpected(ok.error());
    out->files.push_back(w);
    return w.name;
  };
  for (const auto& arch : o.list<std::string>("arch")) {
    auto names = fetch::files_of_model(platform, arch, secureboot);
    auto& files = out->profile.variants[arch];
    std::vector<std::pair<std::string, std::function<void(std::string)>>> all;
    if (uki) {
      all = {{names.uki, [&](std::string n) { files.uki = std::move(n); }}};
    } else {
      all = {{names.kernel, [&](std::string n) { files.kernel = std::move(n); }},
             {names.initramfs, [&](std::string n) { files.initrd = std::vector<std::string>{std::move(n)}; }},
             {names.cmdline, [&](std::string n) { files.cmdline = std::move(n); }}};
    }
    for (const auto& [file, set] : all) {
      auto name = want(file);
      if (!name) return tl::unexpected(name.error());
      set(std::move(*name));
    }
  }
  for (const auto& item : checksums.items)
    if (std::find(known.begin(), known.end(), item.name) == known.end()) {
      std::vector<std::string_view> names(known.begin(), known.end());
      return wrong("checksums." + item.name, "no such file is fetched" + did_you_mean(item.name, names));
    }
  out->profile.config = make_document(h, o, "config");
  if (!uki) {
    if (o.has("args"))
      out->profile.common.args = o.list<std::string>("args");
    else if (o.has("config"))
      out->profile.common.args = std::vector<std::string>{"talos.config={{boot_url}}/config?mac=${mac}"};
  } else if (o.has("config")) {
    auto args = o.list<std::string>("kernel_args");
    bool leads =
        std::any_of(args.begin(), args.end(), [](const auto& a) { return a.starts_with("talos.config="); });
    if (!leads && !o.has("schematic"))
      out->notes.push_back("a unified image finds its config only by its own kernel arguments: add "
                           "\"talos.config=http://…:8080/config?mac=${mac}\" to kernel_args");
  }
  return out;
}

} // namespace

void bind_talos(api& a) {
  a.constructor(profile_schema(), "talos.profile", create_profile);
  a.kind({"talos.profile",
          "A Talos image of an Image Factory: goes into `profiles` of a boot service.",
          {},
          {}});
}

} // namespace netlab::lua
