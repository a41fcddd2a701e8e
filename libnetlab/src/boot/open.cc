#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "netlab/text.h"
#include "netlab/uki.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

constexpr std::size_t told_limit = 4096;
constexpr auto told_again = std::chrono::seconds(30);
constexpr std::uint64_t document_limit = std::uint64_t{8} << 20;

// The command line that a unified image carries, for loaders that hide it from the image. Empty if none.
std::string embedded_cmdline(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  auto size = static_cast<std::uint64_t>(std::max<std::streamoff>(in.tellg(), 0));
  in.seekg(0);
  std::string head(std::min<std::uint64_t>(size, 65536), '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  auto pe = parse_pe(as_bytes(head), size);
  if (!pe) return {};
  for (const auto& s : pe->sections) {
    if (s.name != ".cmdline" || s.raw_size > 65536) continue;
    std::string out(std::min(s.raw_size, s.virtual_size), '\0');
    in.clear();
    in.seekg(s.raw_offset);
    in.read(out.data(), static_cast<std::streamsize>(out.size()));
    out.resize(static_cast<std::size_t>(in.gcount()));
    return std::string(trim(out.substr(0, out.find('\0'))));
  }
  return {};
}

std::string upper_key(std::string_view key) {
  std::string out;
  for (char c : key) {
    if (c >= 'a' && c <= 'z')
      out += static_cast<char>(c - 32);
    else
      out += (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
  }
  return out;
}

} // namespace

tl::unexpected<error> not_here(const asset_request& request) {
  return fail(errc::not_found, request.path + " is not here", "boot.open");
}

result<std::string> read_document(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return system_fail(errno, path, "boot.document");
  if (!S_ISREG(st.st_mode)) return fail(errc::invalid, path + " is not a regular file", "boot.document");
  if (static_cast<std::uint64_t>(st.st_size) > document_limit)
    return fail(errc::limit, path + " is larger than " + format_size(document_limit), "boot.document");
  std::ifstream in(path, std::ios::binary);
  std::string out(static_cast<std::size_t>(st.st_size), '\0');
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  if (!in && !in.eof()) return fail(errc::io, path + " cannot be read", "boot.document");
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

// Whether this was said within the last half minute; from now on it was.
bool service::impl::told_lately(const std::string& key) {
  auto found = told.find(key);
  if (found != told.end() && now() - found->second < told_again) return true;
  if (told.size() >= told_limit) {
    std::erase_if(told, [&](const auto& t) { return now() - t.second >= told_again; });
    if (told.size() >= told_limit) told.clear();
  }
  told[key] = now();
  return false;
}

void service::impl::tell_late(const machine& m, boot_stage stage, const late_asset& what) {
  if (what.progress.failing)
    return tell(m, {&asset_unavailable, m.label() + " needs " + what.name +
                                            ", which could not be fetched: " + what.progress.words});
  if (told_lately(m.label() + '\0' + asset_fetching.id + what.name)) return;
  auto text = what.name + " is still being fetched: " + what.progress.words;
  log_fields fields = {{"node", m.label()}};
  if (m.identity.address) fields.emplace_back("address", m.identity.address->to_string());
  world.log(asset_fetching, m.label() + " waits: " + text, fields);
  if (!world.on_event) return;
  boot_event event;
  event.node = m.identity;
  event.stage = stage;
  event.done = false;
  event.detail = std::move(text);
  event.architecture = m.facts.firmware;
  event.message_id = asset_fetching.id;
  world.on_event(event);
}

void service::impl::tell(const machine& m, const refusal& why) {
  if (told_lately(m.label() + '\0' + why.what->id + why.about)) return;
  log_fields fields = {{"node", m.label()}};
  if (m.identity.address) fields.emplace_back("address", m.identity.address->to_string());
  world.log(*why.what, why.text, fields);
  if (!world.on_event) return;
  boot_event event;
  event.node = m.identity;
  event.stage = boot_stage::refused;
  event.detail = why.text;
  event.architecture = m.facts.firmware;
  event.message_id = why.what->id;
  world.on_event(event);
}

machine service::impl::who(const asset_request& request, const text_map& query) {
  node_identity seen;
  seen.address = request.client.address;
  auto m = identify(seen, query);
  return m;
}

std::function<void(const transfer_report&)> service::impl::reporter(const asset_request& request,
                                                                    const machine& m, boot_stage stage,
                                                                    std::string shown,
                                                                    const boot::profile* p) {
  auto self = weak_from_this();
  return [self, identity = m.identity, firmware = m.facts.firmware, stage, shown = std::move(shown), m, p,
          address = request.client.address](const transfer_report& report) {
    auto alive = self.lock();
    if (!alive || report.probe) return;
    if (report.completed && p) alive->consume_override(m, stage, *p);
    if (report.completed && identity.mac && !alive->loader_key(shown).empty())
      alive->remember(identity).ipxe_given = alive->now();
    if (!alive->world.on_event) return;
    boot_event event;
    event.node = identity;
    event.node.address = address;
    event.stage = stage;
    event.architecture = firmware;
    event.bytes = report.bytes;
    event.elapsed = report.elapsed;
    event.done = report.completed;
    event.detail = shown + ", " + format_size(report.bytes);
    if (report.completed)
      event.detail += " in " + format_elapsed(report.elapsed);
    else
      event.detail += " of " + format_size(report.size) + (report.reason.empty() ? "" : ": " + report.reason);
    alive->world.on_event(event);
  };
}

void service::impl::send_file(const asset_request& request, const machine& m, std::string path,
                              boot_stage stage, std::string shown, asset_reply_fn reply,
                              const boot::profile* p) {
  asset out;
  out.content = asset::file_path{path};
  // EDK2 takes a boot file over HTTP for what its type or its name says (UEFI 2.10 §24.7.3).
  if (path.ends_with(".efi") || stage == boot_stage::uki) out.content_type = "application/efi";
  if (!request.head) out.on_done = reporter(request, m, stage, std::move(shown), p);
  reply(std::move(out));
}

void service::impl::send_text(const asset_request& request, const machine& m, std::string text,
                              std::string content_type, std::optional<boot_stage> stage, std::string shown,
                              asset_reply_fn reply, const boot::profile* p) {
  asset out;
  out.content = std::make_shared<const std::string>(std::move(text));
  out.content_type = std::move(content_type);
  if (stage && !request.head) out.on_done = reporter(request, m, *stage, std::move(shown), p);
  reply(std::move(out));
}

void service::impl::open(const asset_request& request, asset_reply_fn reply) {
  std::string_view path = request.path;
  if (!path.starts_with("/")) return reply(not_here(request));
  for (auto part : split(path.substr(1), '/'))
    if (part == ".." || part.find('\0') != std::string_view::npos) return reply(not_here(request));
  if (sources_may_answer(request)) return open_from_sources(request, std::move(reply));
  open_own(request, std::move(reply));
}

void service::impl::open_own(const asset_request& request, asset_reply_fn reply) {
  std::string_view path = request.path;
  auto under = [&](std::string_view folder) {
    return path.size() > folder.size() && path.starts_with(folder);
  };

  if (under("/assets/")) return open_asset(request, std::string(path.substr(8)), std::move(reply));
  if (under("/uki/")) return open_image(request, path.substr(5), std::move(reply));
  if (under("/profiles/")) return open_file_of_profile(request, path.substr(10), std::move(reply));
  auto query = parse_query(request.query);
  if (path == "/boot.ipxe" || path == "/boot.ipxe.0")
    return send_text(request, who(request, query), first_script(query), "text/plain; charset=utf-8",
                     boot_stage::script, "boot.ipxe", std::move(reply));
  if (path == "/ipxe" || path == "/grub")
    return open_script(request, query, path == "/grub", std::move(reply));
  if (path == "/config" || path == "/generic" || path == "/ignition" || path == "/cloud")
    return open_document(request, query, std::move(reply));
  if (path == "/metadata") return open_metadata(request, query, std::move(reply));

  if (open_loader(request, query, reply)) return;
  if (under("/grub/")) return open_grub(request, path.substr(6), std::move(reply));
  if (open_extlinux(request, reply)) return;
  if (request.protocol == asset_protocol::tftp && open_raspberry_pi(request, reply)) return;
  reply(not_here(request));
}

machine service::impl::meet_loader(const asset_request& request, const text_map& query) {
  auto m = who(request, query);
  if (world.observe && (m.identity.mac || m.identity.uuid)) {
    auto learnt = m.identity;
    learnt.address = request.client.address;
    learnt.name.clear();
    world.observe(learnt);
  }
  auto& known = remember(m.identity);
  known.node.address = request.client.address;
  known.loads.clear();
  for (auto key : told_by_loader())
    if (auto value = query.find(std::string(key)); value != query.end() && !value->second.empty())
      known.told[value->first] = value->second.substr(0, 256);
  if (m.facts.cpu == cpu::unknown) m.facts.cpu = cpu::amd64; // loaders that say nothing are old and x86
  known.cpu = m.facts.cpu;
  return m;
}

void service::impl::open_script(const asset_request& request, const text_map& query, bool grub,
                                asset_reply_fn reply) {
  auto m = meet_loader(request, query);
  auto base = base_url(request);
  auto platform = query.find("platform");
  bool efi = platform != query.end() ? platform->second == "efi"
                                     : m.facts.firmware != "bios-ipxe" && m.facts.firmware != "x86-bios";

  auto say_no = [&](const refusal& why) {
    tell(m, why);
    // Where sources decide alone, a machine that they do not know sees what they would answer it.
    if (options.groups.empty() && !options.sources.empty())
      return reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
    auto text = grub ? grub_refusal_script(why.what->id, why.text)
                     : ipxe_refusal_script(base, why.what->id, why.text, why.what->remedy);
    send_text(request, m, std::move(text), "text/plain; charset=utf-8", std::nullopt, {}, reply);
  };
  auto chosen = choose(m);
  if (!chosen) return say_no(chosen.error());
  const auto& p = *chosen->profile;
  auto files = resolve(p, m.facts.cpu);
  if (!files)
    return say_no({files.error().code == errc::not_found ? &no_variant : &bad_profile,
                   m.label() + ": " + files.error().message});
  if (!files->uki.empty() && !efi)
    return say_no({&uki_on_bios,
                   m.label() + " booted by BIOS, and profile \"" + p.name + "\" is a unified kernel image"});
  if (auto what = late(needed(*files))) {
    auto text = what->name + " could not be fetched: " + what->progress.words;
    if (what->progress.failing) return say_no({&asset_unavailable, m.label() + ": " + text});
    tell_late(m, boot_stage::script, *what);
    text = what->name + " is still being fetched: " + what->progress.words;
    return send_text(request, m,
                     grub ? grub_refusal_script(asset_fetching.id, text) : ipxe_wait_script(base, text),
                     "text/plain; charset=utf-8", std::nullopt, {}, std::move(reply));
  }
  auto args = arguments(m, *chosen, *files, base);
  if (!args) return say_no(args.error());

  script_input in;
  in.title = m.label() + " boots " + p.name + " (" + files->arch + ")";
  in.boot_url = base;
  in.efi = efi;
  in.uki = !files->uki.empty();
  in.args = std::move(*args);
  std::vector<std::string> values = {in.uki ? files->uki : files->kernel};
  values.insert(values.end(), files->initrd.begin(), files->initrd.end());
  for (const auto& value : values) {
    if (is_url(value)) continue;
    auto path = local_path(value);
    if (!path) return say_no(path.error());
    if (!is_regular_file(*path))
      return say_no({&asset_missing,
                     m.label() + ": profile \"" + p.name + "\" names " + *path + ", which is not there"});
    // A loader passes its own options to an image, which then forgets the command line that it carries.
    if (in.uki && !grub && in.args.empty())
      if (auto cmdline = embedded_cmdline(*path); !cmdline.empty()) in.args.push_back(std::move(cmdline));
  }
  in.kernel = url_for(values.front(), p, files->arch, base);
  if (!in.uki)
    for (const auto& value : files->initrd) in.initrd.push_back(url_for(value, p, files->arch, base));
  if (grub && request.protocol == asset_protocol::tftp) {
    auto other = tftp_base(request.server);
    in.tftp_kernel = url_for(values.front(), p, files->arch, other);
    if (!in.uki)
      for (const auto& value : files->initrd) in.tftp_initrd.push_back(url_for(value, p, files->arch, other));
  }
  auto text = grub ? grub_script(in) : ipxe_boot_script(in);
  if (!text)
    return say_no({&bad_argument, m.label() + ": profile \"" + p.name + "\": " + text.error().message});
  send_text(request, m, std::move(*text), "text/plain; charset=utf-8", boot_stage::script,
            (grub ? "GRUB script of " : "iPXE script of ") + p.name, std::move(reply), &p);
}

void service::impl::open_document(const asset_request& request, const text_map& query, asset_reply_fn reply) {
  auto m = who(request, query);
  auto say_no = [this, reply, path = request.path](const machine& asks, const refusal& why) {
    tell(asks, why);
    // matchbox answers 404 to everything that it cannot make, and Talos asks again.
    reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
  };
  auto chosen = choose(m);
  if (!chosen) return say_no(m, chosen.error());
  const auto& p = *chosen->profile;
  const auto& make = request.path == "/config"    ? p.config
                     : request.path == "/generic" ? p.generic
                     : request.path == "/cloud"   ? p.cloud
                                                  : p.ignition;
  if (!make)
    return say_no(m, {&no_document, m.label() + " asked for " + request.path + ", and profile \"" + p.name +
                                        "\" has none"});
  document_request asked;
  asked.node = m.identity;
  asked.facts = m.facts;
  if (chosen->group) {
    asked.metadata = chosen->group->metadata;
    asked.group = chosen->group->name;
  }
  asked.profile = p.name;
  asked.path = request.path;
  auto self = weak_from_this();
  make(asked, [self, request, m, chosen = *chosen, say_no, reply](result<document> made) {
    auto alive = self.lock();
    if (!alive) return reply(fail(errc::closed, "the boot service has stopped", "boot.open"));
    const auto& profile = *chosen.profile;
    auto failed = [&](const error& e) {
      say_no(m, {&document_failed,
                 m.label() + ": " + request.path + " of profile \"" + profile.name + "\": " + e.message});
    };
    if (!made) return failed(made.error());
    if (!made->file.empty()) {
      auto text = read_document(made->file);
      if (!text) return failed(text.error());
      made->text = std::move(*text);
    }
    if (!made->literal) {
      auto base = alive->base_url(request);
      std::string arch(to_string(m.facts.cpu));
      auto text = render(made->text,
                         [&](std::string_view name) { return alive->variable(m, chosen, base, arch, name); });
      if (!text)
        return say_no(m, {&template_failed, m.label() + ": " + request.path + " of profile \"" +
                                                profile.name + "\", " + text.error().message});
      made->text = std::move(*text);
    }
    auto shown = request.path.substr(1) + " of " + profile.name;
    if (!made->file.empty()) shown += " (" + made->file.substr(made->file.rfind('/') + 1) + ")";
    alive->send_text(request, m, std::move(made->text), made->content_type, boot_stage::config,
                     std::move(shown), reply, &profile);
  });
}

void service::impl::open_metadata(const asset_request& request, const text_map& query, asset_reply_fn reply) {
  auto m = who(request, query);
  const auto* group = select_group(options.groups, m.facts);
  if (!group) return reply(not_here(request));
  std::map<std::string, std::string> lines;
  for (const auto& [key, value] : group->metadata) lines[upper_key(key)] = value;
  for (const auto& s : group->match)
    if (s.any.size() == 1) lines[upper_key(s.key)] = s.any.front();
  for (const auto& [key, value] : query) lines["REQUEST_QUERY_" + upper_key(key)] = value;
  lines["REQUEST_RAW_QUERY"] = request.query;
  std::string out;
  for (const auto& [key, value] : lines) {
    // A value with a line break would be two lines that mean something else.
    auto line = value.substr(0, value.find_first_of("\r\n"));
    out += key + "=" + line + "\n";
  }
  send_text(request, m, std::move(out), "text/plain; charset=utf-8", std::nullopt, {}, std::move(reply));
}

void service::impl::open_image(const asset_request& request, std::string_view rest, asset_reply_fn reply) {
  node_identity seen;
  seen.address = request.client.address;
  if (auto slash = rest.find('/'); slash != std::string_view::npos) {
    auto mac = mac_address::parse(rest.substr(0, slash));
    if (!mac) return reply(not_here(request));
    seen.mac = *mac;
    rest.remove_prefix(slash + 1);
  }
  if (!rest.ends_with(".efi")) return reply(not_here(request));
  rest.remove_suffix(4);
  auto dash = rest.rfind('-');
  if (dash == std::string_view::npos) return reply(not_here(request));
  auto processor = parse_cpu(rest.substr(dash + 1));
  auto found = profiles.find(std::string(rest.substr(0, dash)));
  if (found == profiles.end() || processor == cpu::unknown) return reply(not_here(request));
  auto m = identify(seen, parse_query(request.query));
  m.facts.cpu = processor;
  if (seen.mac) remember(seen); // now its address is known
  const auto& p = *found->second;
  auto say_no = [this, reply](const machine& asks, const refusal& why) {
    tell(asks, why);
    reply(fail(errc::not_found, std::string(why.what->id) + ": " + why.text, "boot.open"));
  };
  auto files = resolve(p, processor);
  if (!files) return say_no(m, {&no_variant, m.label() + ": " + files.error().message});
  auto self = weak_from_this();
  when_here(request, m, boot_stage::uki, needed(*files), reply,
            [this, self, request, m, files = *files, say_no, &p](asset_reply_fn answer_with) {
              // The group gives the metadata for templates; the profile is the one that was asked for.
              choice c{&p, select_group(options.groups, m.facts)};
              auto shown = std::string(request.path.substr(1));
              image(m, c, files, base_url(request),
                    [self, request, m, shown, say_no, answer_with, &p](answer<std::string> path) {
                      auto alive = self.lock();
                      if (!alive)
                        return answer_with(fail(errc::closed, "the boot service has stopped", "boot.open"));
                      if (!path) return say_no(m, path.error());
                      alive->send_file(request, m, *path, boot_stage::uki, shown, answer_with, &p);
                    });
            });
}

void service::impl::open_file_of_profile(const asset_request& request, std::string_view rest,
                                         asset_reply_fn reply) {
  auto parts = split(rest, '/');
  if (parts.size() != 3) return reply(not_here(request));
  auto found = profiles.find(std::string(parts[0]));
  if (found == profiles.end()) return reply(not_here(request));
  auto files = resolve(*found->second, parse_cpu(parts[1]));
  if (!files) return reply(not_here(request));
  // Only what the profile names is served, and only by its own name.
  auto named = [&](const std::string& value) {
    return value.starts_with("/") && std::string_view(value).substr(value.rfind('/') + 1) == parts[2];
  };
  auto m = who(request, parse_query(request.query));
  auto shown = std::string(parts[2]);
  if (named(files->kernel) && is_regular_file(files->kernel))
    return send_file(request, m, files->kernel, boot_stage::kernel, shown, std::move(reply), found->second);
  if (named(files->uki) && is_regular_file(files->uki))
    return send_file(request, m, files->uki, boot_stage::uki, shown, std::move(reply), found->second);
  for (const auto& value : files->initrd)
    if (named(value) && is_regular_file(value))
      return send_file(request, m, value, boot_stage::initrd, shown, std::move(reply), found->second);
  reply(not_here(request));
}

void service::impl::open_asset(const asset_request& request, std::string name, asset_reply_fn reply) {
  auto path = local_path(name);
  if (!path || name.starts_with("/") || name.starts_with(".netlab-")) return reply(not_here(request));
  auto m = who(request, parse_query(request.query));
  auto stage = request.protocol == asset_protocol::tftp ? boot_stage::tftp : boot_stage::http;
  when_here(request, m, stage, {name}, std::move(reply),
            [this, request, m, name](asset_reply_fn answer_with) {
              send_asset(request, m, name, std::move(answer_with));
            });
}

void service::impl::send_asset(const asset_request& request, const machine& m, const std::string& name,
                               asset_reply_fn reply) {
  auto path = local_path(name);
  if (!path) return reply(not_here(request));
  // What an asset is to this boot depends on the profiles that name it.
  auto stage = request.protocol == asset_protocol::tftp ? boot_stage::tftp : boot_stage::http;
  const boot::profile* owner = nullptr;
  auto look = [&](const boot::profile& p, const boot_files& files) {
    auto is = [&](const std::optional<std::string>& value) { return value && *value == name; };
    if (is(files.kernel))
      stage = boot_stage::kernel;
    else if (is(files.uki))
      stage = boot_stage::uki;
    else if (files.initrd &&
             std::find(files.initrd->begin(), files.initrd->end(), name) != files.initrd->end())
      stage = boot_stage::initrd;
    else
      return false;
    owner = &p;
    return true;
  };
  auto look_all = [&](const boot::profile& p) {
    if (look(p, p.common)) return true;
    return std::any_of(p.variants.begin(), p.variants.end(),
                       [&](const auto& v) { return look(p, v.second); });
  };
  auto chosen = choose(m);
  if (!chosen || !look_all(*chosen->profile))
    for (const auto& p : options.profiles)
      if (look_all(p)) break;
  if (!is_regular_file(*path)) {
    if (owner)
      tell(m, {&asset_missing, m.label() + " asked for asset " + name + " of profile \"" + owner->name +
                                   "\", and there is no file " + *path});
    return reply(not_here(request));
  }
  send_file(request, m, *path, stage, name, std::move(reply), owner);
}

} // namespace netlab::boot
