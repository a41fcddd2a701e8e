#include <nlohmann/json.hpp>

#include "boot/fetching.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/text.h"

// netlab.boot.assets: kernels, initrds and unified images that come from elsewhere.

namespace netlab::lua {

namespace {

schema assets_schema() {
  schema s;
  s.name = "boot.assets";
  s.help =
      "Files of the assets folder that are fetched from elsewhere, checked, and served from the copy here.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      with_default("folder", type::string(), "assets", "the assets folder, in the state folder"),
      required(
          "files",
          type::map(type::one_of(
              {type::string(),
               type::table({
                   required("url", type::string(),
                            "http://…, https://…, or oci://registry/repository:tag#file for a file of an "
                            "artifact in a registry (oci+http:// without TLS)"),
                   optional("sha256", type::string(), "the checksum that it must have, 64 digits"),
                   optional("sha512", type::string(), "the same with 128 digits"),
                   optional("checksums", type::url(),
                            "a list of checksums that names it, as sha256sum and sha512sum write it"),
                   optional("arch", type::enumeration({"amd64", "arm64", "i386", "arm", "riscv64"}),
                            "of an OCI image that is made for several processors"),
               })})),
          "asset names to the URLs that they come from"),
      with_default("concurrency", type::integer(1, 64), 4, "transfers at a time"),
      with_default("refresh", type::duration(), "24h",
                   "how often a file without a checksum in the recipe is compared with its source"),
      with_default("retry", type::duration(), "5s", "the pause after a failure; it doubles up to 15 minutes"),
      with_default("stall", type::duration(), "30s",
                   "a transfer without a byte for this long is begun again"),
      with_default("keep_free", type::size(), "64MiB", "how much of the disk is left to leases and others"),
      with_default("verify", type::boolean(), true, "check the sources' certificates"),
      optional("ca_file", type::path(), "certificates to trust instead of the system's"),
      optional("credentials",
               type::map(type::table({
                   required("username", type::string(), "the account"),
                   required("password_file", type::path(), "a file that holds the password or token alone"),
               })),
               "accounts by host, such as \"ghcr.io\""),
  };
  s.example = "local assets = netlab.boot.assets { files = {\n"
              "  [\"debian/linux\"] = { url = \"https://example.org/linux\", sha256 = \"9f86…\" },\n"
              "  [\"talos/vmlinuz\"] = \"oci://ghcr.io/example/talos:v1#vmlinuz\",\n"
              "} }\n"
              "local boot = netlab.boot.service {\n"
              "  assets = assets,\n"
              "  profiles = { talos = { kernel = \"talos/vmlinuz\" } },\n"
              "  groups = { { profile = \"talos\" } },\n"
              "}";
  return s;
}

result<fetch::wanted_file> read_wanted(const std::string& name, const value& given) {
  fetch::wanted_file out;
  out.name = name;
  if (given.is<std::string>()) {
    out.url = given.as<std::string>();
    return out;
  }
  const auto& o = given.as<options>();
  out.url = o.get<std::string>("url");
  out.checksums = o.maybe<std::string>("checksums").value_or("");
  out.arch = o.maybe<std::string>("arch").value_or("");
  for (const char* kind : {"sha256", "sha512"}) {
    auto digits = o.maybe<std::string>(kind);
    if (!digits) continue;
    if (out.expected) return fail(errc::invalid, "sha256 and sha512 together: one is enough", "sha512");
    auto sum = checksum::parse(std::string(kind) + ":" + *digits);
    if (!sum) return fail(errc::invalid, sum.error().message, kind);
    out.expected = *sum;
  }
  if (out.expected && !out.checksums.empty())
    return fail(errc::invalid, "a checksum and a list of checksums together: one is enough", "checksums");
  return out;
}

result<object_ptr> create_assets(host& h, const options& o) {
  auto out = std::make_shared<assets_object>(h);
  out->folder = o.get<std::string>("folder");
  auto& s = out->files.settings;
  s.concurrency = static_cast<std::size_t>(o.get<std::int64_t>("concurrency"));
  s.refresh = o.get<duration>("refresh");
  s.first_retry = o.get<duration>("retry");
  s.last_retry = std::max<duration>(s.first_retry, s.last_retry);
  s.stall_time = o.get<duration>("stall");
  s.reserve = o.get<byte_size>("keep_free").bytes;
  s.verify = o.get<bool>("verify");
  if (auto ca = o.maybe<file_path>("ca_file")) s.ca_file = ca->path;
  for (const auto& item : o.get<value_map>("files").items) {
    auto at = "files." + item.name;
    auto file = read_wanted(item.name, item.value);
    if (!file) return fail(file.error().code, file.error().message, at + "." + file.error().op);
    bool short_form = item.value.is<std::string>();
    if (auto ok = out->files.add(std::move(*file)); !ok) {
      const auto& op = ok.error().op;
      return fail(ok.error().code, ok.error().message,
                  short_form || op.empty() || op == "name" ? at : at + "." + op);
    }
  }
  if (auto accounts = o.maybe<value_map>("credentials"))
    for (const auto& item : accounts->items) {
      const auto& account = item.value.as<options>();
      auto text = h.world().files.read(account.get<file_path>("password_file").path, 64u << 10);
      if (!text)
        return fail(text.error().code, text.error().message, "credentials." + item.name + ".password_file");
      s.credentials[item.name] = {account.get<std::string>("username"), std::string(trim(*text))};
    }
  return out;
}

} // namespace

result<void> assets_object::start(host& h) { return files.start(h, h.state_path(folder)); }

void bind_boot_assets(api& a) {
  a.constructor(assets_schema(), "boot.assets", create_assets);
  a.kind({"boot.assets", "Files that are fetched: goes into `assets` of a boot service.", {}, {}});
}

} // namespace netlab::lua
