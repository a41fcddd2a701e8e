#include <nlohmann/json.hpp>

#include "netlab/fetch.h"
#include "netlab/json.h"

// The Talos Image Factory's HTTP interface: POST /schematics takes a document and answers with its id;
// GET /image/<id>/<version>/<file> gives what was made of it.

namespace netlab::fetch {

std::string write_schematic(const schematic& s) {
  json customization = json::object();
  if (!s.kernel_args.empty()) customization["extraKernelArgs"] = s.kernel_args;
  if (!s.extensions.empty()) customization["systemExtensions"]["officialExtensions"] = s.extensions;
  json out = json::object();
  if (!s.overlay_name.empty()) {
    out["overlay"] = {{"image", s.overlay_image}, {"name", s.overlay_name}};
    if (auto options = parse_json(s.overlay_options); options && options->is_object() && !options->empty())
      out["overlay"]["options"] = *options;
  }
  out["customization"] = std::move(customization);
  return out.dump();
}

factory_files files_of_model(const std::string& platform, const std::string& arch, bool secureboot) {
  std::string suffix = secureboot ? "-secureboot" : "";
  factory_files out;
  out.kernel = "kernel-" + arch;
  out.initramfs = "initramfs-" + arch + ".xz";
  out.cmdline = "cmdline-" + platform + "-" + arch + suffix;
  out.uki = platform + "-" + arch + suffix + "-uki.efi";
  return out;
}

} // namespace netlab::fetch
