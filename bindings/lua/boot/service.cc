#include "boot/service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "boot/machine_data.h"
#include "boot/raspberry.h"
#include "boot/talos.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/messages.h"
#include "netlab/digest.h"
#include "netlab/files.h"
#include "network/nodes.h"

namespace netlab::lua {

option_type document_type() { return type::one_of({type::path(), type::function("function(node)")}); }

namespace {

constexpr const char* document_help = ": a file beside the recipe, or a function that returns its name, "
                                      "{ text = \"…\" }, or nil and why";

std::vector<option> file_options() {
  return {
      optional("kernel", type::string(), "the kernel: an asset's name, an absolute path or a URL"),
      optional("initrd", type::list(type::string()), "the initrds, in order"),
      optional("args", type::list(type::string()),
               "kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos"),
      optional("uki", type::string(), "a unified kernel image instead of kernel and initrd"),
      optional("cmdline", type::string(), "a file whose text is kernel arguments, in front of args"),
  };
}

constexpr const char* who_help =
    "who: a table of mac, uuid, serial, arch, name, role, firmware, ip, hostname (of its lease), "
    "manufacturer, product, instance_id, tag, a label or a query parameter, where * and ? are wildcards and "
    "a list means any of it; or a function that gets the machine and says whether it belongs here";

constexpr const char* loader_help =
    "what UEFI machines start first: iPXE or, where there is none, one EFI program (auto); netlab's iPXE "
    "even where the card has its own (ipxe); GRUB (grub); shim and then a signed GRUB or the signed uki, "
    "for Secure Boot (shim)";

schema boot_schema() {
  schema s;
  s.name = "boot.service";
  s.help = "What machines boot: profiles say what, groups say who. Served by HTTP and TFTP servers, asked by "
           "DHCP.";
  auto profile = file_options();
  for (const char* arch : {"amd64", "arm64", "i386", "arm", "riscv64"})
    profile.push_back(optional(arch, type::table(file_options()), std::string("what differs on ") + arch));
  profile.push_back(
      with_default("loader", type::enumeration({"auto", "ipxe", "grub", "shim"}), "auto", loader_help));
  profile.push_back(
      optional("config", document_type(), std::string("the machine config, at /config") + document_help));
  profile.push_back(
      optional("generic", document_type(), std::string("the document at /generic") + document_help));
  profile.push_back(
      optional("ignition", document_type(), std::string("the document at /ignition") + document_help));
  profile.push_back(
      optional("cloud", document_type(), std::string("the document at /cloud") + document_help));
  profile.push_back(optional("raspberry", type::handle("boot.raspberry"),
                             "what the boot loader of Raspberry Pis gets, which is neither BIOS nor UEFI"));
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      optional("nodes", type::handle("nodes"),
               "the lab's machines; every netlab.nodes counts, this one documents it"),
      with_default(
          "assets", type::one_of({type::string(), type::handle("boot.assets")}), "assets",
          "the folder of kernels and initrds, in the state folder, or the netlab.boot.assets that fill it"),
      with_default("fetch", type::boolean(), true,
                   "fetch the URLs of profiles once and serve the copy; false: machines get the URLs"),
      optional("profiles",
               type::map(type::one_of({type::table(std::move(profile)), type::handle("talos.profile")})),
               "what can be booted, by name"),
      optional(
          "sources", type::list(type::handle("boot.source")),
          "plugins' handles and netlab.boot.source, asked in this order before the profiles: the first that "
          "answers wins"),
      optional(
          "groups",
          type::list(type::table({
              optional("name", type::string(), "for messages"),
              optional("match",
                       type::one_of({type::map(type::one_of({type::string(), type::list(type::string())})),
                                     type::function("function(node)")}),
                       who_help),
              required("profile", type::string(), "what these machines boot"),
              optional("metadata", type::data(), "for templates and /metadata"),
          })),
          "who boots what: a function that says yes wins, then most selectors, then the recipe's order; no "
          "match is the default"),
      optional("url", type::url("http,https"),
               "the address of this service for clients; by default the one that each client asked"),
      optional("ipxe", type::map(type::path()),
               "iPXE programs by what runs them (bios, amd64, arm64 …) instead of Debian's"),
      optional("grub", type::map(type::path()),
               "GRUB's netboot images by processor (amd64, arm64, i386 …) instead of Debian's"),
      optional("shim", type::map(type::path()), "signed shims by processor instead of Debian's"),
      optional(
          "stub", type::map(type::path()),
          "systemd's EFI stubs by processor (amd64, arm64), for images assembled from kernel and initrd"),
      with_default("cache_size", type::size(), "2GiB",
                   "how much assembled images may take in the state folder"),
  };
  s.example = "local boot = netlab.boot.service {\n"
              "  profiles = { linux = { kernel = \"vmlinuz\", initrd = { \"initrd.gz\" }, args = { "
              "\"console=ttyS0\" } } },\n"
              "  groups = { { profile = \"linux\" } },\n"
              "}";
  return s;
}

boot::boot_files read_files(const options& o) {
  boot::boot_files out;
  out.kernel = o.maybe<std::string>("kernel");
  out.uki = o.maybe<std::string>("uki");
  out.cmdline = o.maybe<std::string>("cmdline");
  if (o.has("initrd")) out.initrd = o.list<std::string>("initrd");
  if (o.has("args")) out.args = o.list<std::string>("args");
  return out;
}

void push_request(lua_State* L, const boot::document_request& r) {
  auto out = machine_data(r.facts, r.node.address);
  out["profile"] = r.profile;
  if (!r.group.empty()) out["group"] = r.group;
  out["metadata"] = r.metadata;
  push(L, out);
}

// What a recipe's function returned: a file's name, { text = "…" }, or nil and why.
result<boot::document> read_document(lua_State* L, int first, int count, const std::string& folder) {
  boot::document out;
  if (count >= 1 && lua_type(L, first) == LUA_TSTRING) {
    out.file = join_path(folder, text_at(L, first));
    return out;
  }
  if (count >= 1 && lua_istable(L, first)) {
    lua_getfield(L, first, "text");
    bool given = lua_type(L, -1) == LUA_TSTRING;
    if (given) out.text = text_at(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, first, "literal");
    out.literal = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    lua_getfield(L, first, "content_type");
    if (lua_type(L, -1) == LUA_TSTRING) out.content_type = text_at(L, -1);
    lua_pop(L, 1);
    if (given) return out;
  }
  if (count >= 2 && lua_isnil(L, first)) return fail(errc::not_found, error_text(L, first + 1));
  if (count == 0 || lua_isnil(L, first))
    return fail(errc::not_found, "the recipe has no document for this machine");
  return fail(errc::invalid, "the recipe's function must return a file name or { text = … }, got " +
                                 describe_value(L, first));
}

} // namespace

boot::document_fn make_document(host& h, const options& o, const std::string& option_name) {
  const auto* given = o.find(option_name);
  if (!given) return nullptr;
  if (given->is<file_path>()) {
    boot::document fixed;
    fixed.file = given->as<file_path>().path;
    return [fixed](const boot::document_request&, boot::document_reply_fn reply) { reply(fixed); };
  }
  auto fn = given->as<shared_reference>();
  return [&h, fn, option_name](const boot::document_request& request, boot::document_reply_fn reply) {
    lua_State* L = h.machine().main();
    stack_guard guard(L);
    fn->push(L);
    push_request(L, request);
    auto t = h.tasks().spawn(L, 1, {"boot.service " + option_name, {}, nullptr, true, {}});
    h.tasks().when_finished(t, [&h, t, reply] {
      const auto& outcome = t->outcome();
      if (!outcome.ok) return reply(tl::unexpected(outcome.failure));
      lua_State* S = h.machine().main();
      stack_guard inner(S);
      reply(read_document(S, t->push_values(S, 2), 2, h.recipe_folder()));
    });
  };
}

namespace {

void flatten(const json& data, const std::string& prefix, boot::text_map& out) {
  if (data.is_object()) {
    for (const auto& [key, value] : data.items())
      flatten(value, prefix.empty() ? key : prefix + "." + key, out);
  } else if (data.is_string()) {
    out[prefix] = data.get<std::string>();
  } else if (!data.is_null()) {
    out[prefix] = data.dump();
  }
}

boot::text_map paths(const options& o, std::string_view name) {
  boot::text_map out;
  if (auto map = o.maybe<value_map>(name))
    for (const auto& item : map->items) out[item.name] = item.value.as<file_path>().path;
  return out;
}

boot::boot_loader read_loader(std::string_view word) {
  if (word == "ipxe") return boot::boot_loader::ipxe;
  if (word == "grub") return boot::boot_loader::grub;
  if (word == "shim") return boot::boot_loader::shim;
  return boot::boot_loader::automatic;
}

// A function that fails says no: the machine may still belong to another group, and the log has the line.
std::function<bool(const boot::machine_facts&)> make_decision(host& h, shared_reference fn,
                                                              std::size_t number) {
  auto name = "boot.service groups[" + std::to_string(number) + "].match";
  return [&h, fn, name](const boot::machine_facts& facts) {
    bool yes = false;
    auto asked = h.ask(
        fn, name, [&](lua_State* L) { return push(L, machine_data(facts)), 1; },
        [&](lua_State* L, int first, int count) { yes = count >= 1 && lua_toboolean(L, first) != 0; });
    if (!asked) h.world().log(messages::task_failed, name + ": " + asked.error().message);
    return asked && yes;
  };
}

// A URL that every machine would load alike. iPXE's own ${settings} make one that only the machine knows.
bool is_fetchable(const std::string& value) {
  auto fits = [&](std::string_view scheme) { return value.starts_with(scheme); };
  return (fits("http://") || fits("https://") || fits("oci://") || fits("oci+http://")) &&
         value.find("${") == std::string::npos;
}

// Makes an asset of a URL: its file has a place of its own in the assets folder.
result<void> take_url(fetching& files, std::string& value, const std::string& arch) {
  if (!is_fetchable(value)) return {};
  fetch::wanted_file w;
  w.url = value;
  w.arch = arch;
  auto plain = value.substr(0, value.find('?'));
  auto file = plain.substr(plain.find_last_of("/#") + 1);
  if (file.empty() || file == "." || file == "..") file = "file";
  w.name = "url/" + to_hex(byte_view(sha256_of(as_bytes(arch + " " + value))).first(6)) + "/" + file;
  value = w.name;
  return files.add(std::move(w));
}

result<void> take_urls(fetching& files, boot::boot_files& from, const std::string& arch,
                       const std::string& at) {
  auto take = [&](std::string& value, const std::string& option) -> result<void> {
    auto ok = take_url(files, value, arch);
    if (!ok) return fail(ok.error().code, ok.error().message, at + "." + option);
    return {};
  };
  auto one = [&](std::optional<std::string>& value, const char* option) -> result<void> {
    return value ? take(*value, option) : result<void>{};
  };
  if (auto ok = one(from.kernel, "kernel"); !ok) return ok;
  if (auto ok = one(from.uki, "uki"); !ok) return ok;
  if (auto ok = one(from.cmdline, "cmdline"); !ok) return ok;
  if (from.initrd)
    for (std::size_t i = 0; i < from.initrd->size(); ++i)
      if (auto ok = take((*from.initrd)[i], "initrd[" + std::to_string(i + 1) + "]"); !ok) return ok;
  return {};
}

result<void> take_files(boot_object& out, boot::profile& p, const talos_profile* talos, bool fetch) {
  auto& files = out.shared_files ? out.shared_files->files : *out.own_files;
  auto at = "profiles." + p.name;
  if (talos)
    for (const auto& w : talos->files)
      if (auto ok = files.add(w); !ok) return fail(ok.error().code, ok.error().message, at);
  if (!fetch) return {};
  if (auto ok = take_urls(files, p.common, {}, at); !ok) return ok;
  for (auto& [arch, variant] : p.variants)
    if (auto ok = take_urls(files, variant, arch, at + "." + arch); !ok) return ok;
  return {};
}

result<object_ptr> create_boot(host& h, const options& o) {
  auto out = std::make_shared<boot_object>();
  auto& s = out->settings;
  out->shared_files = o.object<assets_object>("assets");
  if (!out->shared_files) out->own_files = std::make_unique<fetching>(h);
  out->assets = out->shared_files ? out->shared_files->folder : o.get<std::string>("assets");
  s.url = o.maybe<std::string>("url").value_or("");
  s.ipxe = paths(o, "ipxe");
  s.stub = paths(o, "stub");
  s.grub = paths(o, "grub");
  s.shim = paths(o, "shim");
  s.cache_bytes = o.get<byte_size>("cache_size").bytes;
  for (const auto& one : o.list<object_ptr>("sources"))
    if (auto asked = std::dynamic_pointer_cast<source_function_handle>(one))
      out->sources.push_back(std::move(asked));
  auto profiles = o.maybe<value_map>("profiles");
  if (!profiles && out->sources.empty())
    return fail(errc::invalid, "there is nothing to boot: give it profiles, sources or both");
  for (const auto& item : profiles.value_or(value_map{}).items) {
    boot::profile p;
    if (item.value.is<object_ptr>()) {
      auto talos = std::dynamic_pointer_cast<talos_profile>(item.value.as<object_ptr>());
      p = talos->profile;
      p.name = item.name;
      if (auto ok = take_files(*out, p, talos.get(), false); !ok) return tl::unexpected(ok.error());
      for (const auto& note : talos->notes)
        out->profile_notes.push_back("profile \"" + p.name + "\": " + note);
      s.profiles.push_back(std::move(p));
      continue;
    }
    const auto& fields = item.value.as<options>();
    p.name = item.name;
    p.common = read_files(fields);
    for (const char* arch : {"amd64", "arm64", "i386", "arm", "riscv64"})
      if (auto variant = fields.maybe<options>(arch)) p.variants[arch] = read_files(*variant);
    if (auto pi = fields.object<raspberry_object>("raspberry")) p.raspberry = pi->files;
    p.loader = read_loader(fields.get<std::string>("loader"));
    p.config = make_document(h, fields, "config");
    p.generic = make_document(h, fields, "generic");
    p.ignition = make_document(h, fields, "ignition");
    p.cloud = make_document(h, fields, "cloud");
    if (auto ok = take_files(*out, p, nullptr, o.get<bool>("fetch")); !ok) return tl::unexpected(ok.error());
    s.profiles.push_back(std::move(p));
  }
  for (const auto& entry : o.list<options>("groups")) {
    boot::group g;
    g.name = entry.maybe<std::string>("name").value_or("");
    g.profile = entry.get<std::string>("profile");
    const auto* who = entry.find("match");
    if (who && who->is<shared_reference>()) {
      g.decide = make_decision(h, who->as<shared_reference>(), s.groups.size() + 1);
    } else if (auto match = entry.maybe<value_map>("match")) {
      for (const auto& item : match->items) {
        boot::selector sel{item.name, {}};
        if (item.value.is<std::string>()) {
          sel.any = {item.value.as<std::string>()};
        } else {
          for (const auto& one : item.value.as<value_list>()) sel.any.push_back(one.as<std::string>());
        }
        g.match.push_back(std::move(sel));
      }
    }
    if (auto metadata = entry.maybe<std::shared_ptr<const json>>("metadata"))
      flatten(**metadata, "", g.metadata);
    out->asks_lease_names =
        out->asks_lease_names || g.decide ||
        std::any_of(g.match.begin(), g.match.end(), [](const auto& one) { return one.key == "hostname"; });
    s.groups.push_back(std::move(g));
  }
  return out;
}

int boot_once(call& c) {
  auto& self = c.self<boot_object>();
  c.need_running();
  node_identity who;
  who.name = c.text(2, "the node's name");
  const auto* known = c.owner.nodes().find_name(who.name);
  if (known && !known->macs.empty()) who.mac = known->macs[0];
  auto within = c.given(4) ? c.duration(4, "how long it holds") : duration(std::chrono::hours(1));
  return c.give(self.engine().boot_once(who, c.text(3, "the profile"), "recipe", within));
}

} // namespace

void boot_object::served_by_http(std::uint16_t port) {
  // The first server's port goes into URLs: a recipe that has a plain and a TLS one lists the plain first.
  // Port 0 gets its number when the server is bound, and is told again then.
  if (!has_http || settings.http_port == 0) settings.http_port = port;
  has_http = true;
  if (service_) service_->served_by_http(settings.http_port);
}

void boot_object::make(host& h, bool running) {
  settings.name = name();
  settings.assets = h.state_path(assets);
  settings.cache = h.state_path("cache/" + name());
  settings.tftp = has_tftp;
  settings.sources.clear();
  for (const auto& s : sources) settings.sources.push_back(make_lua_source(h, s->asked()));
  boot::service_world world;
  world.clock = &h.world().clock;
  world.log = h.world().log;
  world.on_event = [&h](const boot_event& e) { h.tell(e); };
  world.use(h.nodes());
  world.lease_name = [&h](const node_identity& who) {
    auto found = who.mac ? h.lease_names().find(*who.mac) : h.lease_names().end();
    return found == h.lease_names().end() ? std::string{} : found->second;
  };
  if (!files()->empty()) world.library = &files()->library();
  if (running) {
    world.home = &h.world().scheduler;
    world.worker = &h.bytes().scheduler;
  }
  service_ = std::make_unique<boot::service>(settings, std::move(world));
  if (has_http) service_->served_by_http(settings.http_port);
  service_->served_by_tftp(has_tftp);
}

result<void> boot_object::check(host& h) {
  make(h, false);
  for (const auto& issue : service_->check()) {
    if (issue.level == log_level::error)
      h.mistake(where(), kind(), {issue.option, issue.text + " [" + issue.id + "]"});
    else
      notes_.push_back(issue.text + " [" + issue.id + "]");
  }
  service_.reset();
  notes_.insert(notes_.end(), profile_notes.begin(), profile_notes.end());
  return {};
}

result<void> boot_object::start(host& h) {
  if (auto made = h.world().files.make_folders(h.state_path("cache"), 0750); !made) return made;
  make(h, true);
  return own_files ? own_files->start(h, settings.assets) : result<void>{};
}

void boot_object::drain(std::function<void()> done) {
  if (own_files) return own_files->stop(std::move(done));
  done();
}

json boot_object::status() const {
  json out = {{"profiles", settings.profiles.size()}, {"groups", settings.groups.size()}};
  if (!sources.empty()) out["sources"] = sources.size();
  if (own_files && !own_files->empty()) out.update(own_files->status());
  if (service_) {
    json overrides = json::array();
    for (const auto& o : service_->boot_overrides())
      overrides.push_back(o.node + " boots " + o.profile + " once (" + o.origin + ")");
    if (!overrides.empty()) out["once"] = std::move(overrides);
  }
  return out;
}

void bind_boot(api& a) {
  a.constructor(boot_schema(), "boot.service", create_boot);
  a.kind({"boot.service",
          "A boot service: goes into `serve` of HTTP and TFTP servers and into `boot` of a DHCP server.",
          {{"boot_once",
            boot_once,
            "The node's next boot takes another profile; forgotten after a while.",
            {{"node", "string", "its name"},
             {"profile", "string", ""},
             {"within?", "duration", "1h unless given"}},
            {{"ok", "boolean?", ""}, {"err?", "netlab.error", ""}},
            false,
            {}}},
          {}});
}

} // namespace netlab::lua
