#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "netlab/text.h"
#include "netlab/uki.h"
#include "service_impl.h"

namespace netlab::boot {

namespace {

constexpr std::size_t cmdline_limit = 16u << 10;

// How long a client's request is held while a file is fetched. EDK2's HTTP driver gives up after 5 seconds
// without a response; firmware repeats a TFTP request for some 20; iPXE's HTTP waits as long as the
// connection lives, but its user sees nothing meanwhile.
duration patience(const asset_request& request) {
  if (request.protocol == asset_protocol::tftp) return std::chrono::seconds(10);
  return request.user_agent.starts_with("iPXE") ? std::chrono::seconds(20) : std::chrono::seconds(4);
}

} // namespace

bool is_url(std::string_view value) {
  auto at = value.find("://");
  return at != std::string_view::npos && at > 0 && value.substr(0, at).find('/') == std::string_view::npos;
}

bool is_regular_file(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

// Links inside the assets are followed wherever they lead: only the operator can make them, and does so on
// purpose. Names from the network cannot climb out.
answer<std::string> service::impl::local_path(const std::string& value) const {
  if (value.starts_with("/")) return value;
  for (auto part : split(value, '/'))
    if (part == ".." || part.find('\0') != std::string_view::npos)
      return refuse(outside_assets, "asset \"" + printable(value) + "\" leads out of the assets folder");
  if (value.empty()) return refuse(asset_missing, "an asset has an empty name");
  return options.assets + "/" + value;
}

std::string service::impl::url_for(const std::string& value, const boot::profile& p, const std::string& arch,
                                   std::string_view base) const {
  if (is_url(value)) return value;
  if (!value.starts_with("/")) return std::string(base) + "/assets/" + url_encode(value, true);
  auto name = value.substr(value.rfind('/') + 1);
  return std::string(base) + "/profiles/" + url_encode(p.name) + "/" + arch + "/" + url_encode(name);
}

std::string service::impl::stub_path(cpu processor) const {
  std::string key(to_string(processor));
  if (auto found = options.stub.find(key); found != options.stub.end())
    return is_regular_file(found->second) ? found->second : std::string{};
  // As systemd names them, after UEFI's machine type names (UEFI 2.10 §3.5.1.1).
  const char* file = nullptr;
  switch (processor) {
  case cpu::amd64: file = "linuxx64.efi.stub"; break;
  case cpu::arm64: file = "linuxaa64.efi.stub"; break;
  case cpu::i386: file = "linuxia32.efi.stub"; break;
  case cpu::arm: file = "linuxarm.efi.stub"; break;
  case cpu::riscv64: file = "linuxriscv64.efi.stub"; break;
  case cpu::loong64: file = "linuxloongarch64.efi.stub"; break;
  default: return {};
  }
  if (auto path = options.assets + "/" + file; is_regular_file(path)) return path;
  for (const auto& folder : options.stub_folders)
    if (auto path = folder + "/" + file; is_regular_file(path)) return path;
  return {};
}

answer<std::vector<std::string>> service::impl::arguments(const machine& m, const choice& c,
                                                          const resolved_files& files,
                                                          const std::string& base) const {
  std::vector<std::string> out;
  if (!files.cmdline.empty()) {
    auto path = local_path(files.cmdline);
    if (!path) return tl::unexpected(path.error());
    std::ifstream in(*path, std::ios::binary);
    std::string text(cmdline_limit + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.empty() || text.size() > cmdline_limit)
      return refuse(asset_missing, m.label() + ": profile \"" + c.profile->name +
                                       "\" takes its kernel arguments from " + *path + ", which is " +
                                       (text.empty() ? "not there" : "too long"));
    std::replace_if(
        text.begin(), text.end(), [](char ch) { return ch == '\n' || ch == '\r' || ch == '\t'; }, ' ');
    for (auto word : split(text, ' '))
      if (!word.empty()) out.emplace_back(word);
  }
  for (const auto& arg : files.args) {
    auto text = render(arg, [&](std::string_view name) { return variable(m, c, base, files.arch, name); });
    if (!text)
      return refuse(template_failed, m.label() + ": an argument of profile \"" + c.profile->name +
                                         "\": " + text.error().message);
    out.push_back(std::move(*text));
  }
  return out;
}

std::vector<std::string> service::impl::needed(const resolved_files& files) {
  std::vector<std::string> out = files.initrd;
  out.insert(out.begin(), files.uki.empty() ? files.kernel : files.uki);
  if (!files.cmdline.empty()) out.push_back(files.cmdline);
  return out;
}

std::optional<service::impl::late_asset> service::impl::late(const std::vector<std::string>& values) const {
  std::optional<late_asset> out;
  if (!world.library) return out;
  for (const auto& value : values) {
    const auto* progress = world.library->find(value);
    if (!progress || progress->usable || (out && !progress->failing)) continue;
    out = late_asset{value, *progress};
    if (progress->failing) break; // the worst news first
  }
  return out;
}

void service::impl::when_here(const asset_request& request, const machine& m, boot_stage stage,
                              std::vector<std::string> values, asset_reply_fn reply,
                              std::function<void(asset_reply_fn)> go) {
  auto what = late(values);
  if (!what) return go(std::move(reply));
  tell_late(m, stage, *what);
  if (what->progress.failing)
    return reply(fail(errc::busy, what->name + " is not here: " + what->progress.words, "boot.open"));
  auto self = weak_from_this();
  world.library->wait(what->name, patience(request),
                      [self, request, m, stage, values = std::move(values), reply = std::move(reply),
                       go = std::move(go)](result<void> here) mutable {
                        auto alive = self.lock();
                        if (!alive)
                          return reply(fail(errc::closed, "the boot service has stopped", "boot.open"));
                        if (!here) return reply(tl::unexpected(here.error()));
                        alive->when_here(request, m, stage, std::move(values), std::move(reply),
                                         std::move(go));
                      });
}

// Turns names and URLs into paths, one after the other.
void service::impl::localise(std::vector<std::string> values, std::vector<std::string> done,
                             std::function<void(answer<std::vector<std::string>>)> reply) {
  while (done.size() < values.size()) {
    const auto value = values[done.size()];
    if (is_url(value)) {
      if (!world.fetch)
        return reply(
            refuse(url_not_fetched, value + " would have to be downloaded, which this recipe does not do"));
      auto self = weak_from_this();
      world.fetch(value, [self, value, values = std::move(values), done = std::move(done),
                          reply = std::move(reply)](result<std::string> path) mutable {
        if (!path) return reply(refuse(url_not_fetched, value + ": " + path.error().message));
        done.push_back(std::move(*path));
        if (auto alive = self.lock())
          alive->localise(std::move(values), std::move(done), std::move(reply));
        else
          reply(refuse(uki_failed, "the boot service has stopped"));
      });
      return;
    }
    auto path = local_path(value);
    if (!path) return reply(tl::unexpected(path.error()));
    if (auto what = late({value}))
      return reply(refuse(what->progress.failing ? asset_unavailable : asset_fetching,
                          what->name + " is not here: " + what->progress.words));
    if (!is_regular_file(*path)) return reply(refuse(asset_missing, "there is no file " + *path));
    done.push_back(std::move(*path));
  }
  reply(std::move(done));
}

void service::impl::image(const machine& m, const choice& c, const resolved_files& files,
                          const std::string& base, std::function<void(answer<std::string>)> reply) {
  if (!files.uki.empty()) {
    localise({files.uki}, {}, [reply = std::move(reply)](answer<std::vector<std::string>> paths) {
      if (!paths) return reply(tl::unexpected(paths.error()));
      reply(paths->front());
    });
    return;
  }
  auto args = arguments(m, c, files, base);
  if (!args) return reply(tl::unexpected(args.error()));
  std::string key = c.profile->name + '\0' + files.arch + '\0';
  for (const auto& arg : *args) key += arg + '\0';
  auto& waiting = images[key];
  waiting.replies.push_back(std::move(reply));
  if (waiting.replies.size() == 1) assemble(key, m, c, files, base);
}

void service::impl::image_ready(const std::string& key, answer<std::string> path) {
  auto node = images.extract(key);
  if (node.empty()) return;
  for (auto& reply : node.mapped().replies) reply(path);
}

void service::impl::assemble(const std::string& key, const machine& m, const choice& c,
                             const resolved_files& files, const std::string& base) {
  uki_input input;
  input.cpu = parse_cpu(files.arch);
  input.stub = stub_path(input.cpu);
  if (input.stub.empty())
    return image_ready(key,
                       refuse(no_stub, "profile \"" + c.profile->name + "\" needs systemd's EFI stub for " +
                                           files.arch + ", and there is none"));
  auto args = arguments(m, c, files, base);
  if (!args) return image_ready(key, tl::unexpected(args.error()));
  for (const auto& arg : *args) input.cmdline += (input.cmdline.empty() ? "" : " ") + arg;
  input.cmdline = without_ipxe_formats(input.cmdline);
  input.os_release = "ID=netlab\nNAME=\"" + c.profile->name + "\"\nPRETTY_NAME=\"" + c.profile->name + "\"\n";
  std::vector<std::string> values = {files.kernel};
  values.insert(values.end(), files.initrd.begin(), files.initrd.end());
  auto folder = options.cache.empty() ? options.assets + "/.netlab-cache" : options.cache;
  auto self = shared_from_this();
  localise(std::move(values), {},
           [self, key, input, folder, label = m.label()](answer<std::vector<std::string>> paths) mutable {
             if (!paths) return self->image_ready(key, tl::unexpected(paths.error()));
             input.kernel = paths->front();
             input.initrd.assign(paths->begin() + 1, paths->end());
             auto explain = [label](result<std::string> path) -> answer<std::string> {
               if (!path) return refuse(uki_failed, label + ": " + path.error().message);
               return *path;
             };
             if (!self->world.worker || !self->world.home)
               return self->image_ready(key, explain(assemble_uki(input, folder, self->options.cache_bytes)));
             auto* home = self->world.home;
             auto keep = self->options.cache_bytes;
             // The worker holds no strong reference: the service dies on its own thread.
             std::weak_ptr<impl> weak = self;
             self->world.worker->post([weak, home, key, input = std::move(input), folder, keep, explain] {
               auto path = explain(assemble_uki(input, folder, keep));
               home->post([weak, key, path = std::move(path)] {
                 if (auto alive = weak.lock()) alive->image_ready(key, path);
               });
             });
           });
}

} // namespace netlab::boot
