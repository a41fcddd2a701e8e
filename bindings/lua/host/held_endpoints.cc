#include "host/held_endpoints.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "netlab/text.h"

namespace netlab::lua {

namespace {

struct close_folder {
  void operator()(DIR* d) const { ::closedir(d); }
};
using folder = std::unique_ptr<DIR, close_folder>;

bool digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The sockets bound to a port, as "socket:[inode]": proc(5), /proc/net/tcp.
std::set<std::string> sockets_on(const std::string& protocol, std::uint16_t port, files& disk) {
  std::set<std::string> out;
  for (const char* family : {"", "6"}) {
    auto text = disk.read("/proc/net/" + protocol + family);
    if (!text) continue;
    for (auto line : split(*text, '\n')) {
      unsigned local_port = 0, state = 0;
      unsigned long inode = 0;
      if (std::sscanf(std::string(line).c_str(),
                      " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", &local_port, &state,
                      &inode) != 3)
        continue;
      constexpr unsigned listening = 0x0a;
      if (local_port == port && (protocol == "udp" || state == listening))
        out.insert("socket:[" + std::to_string(inode) + "]");
    }
  }
  return out;
}

// "dnsmasq (process 812)", or empty when nobody can be named: another user's process, or a namespace.
std::string holder(const claimed_endpoint& what, files& disk) {
  auto wanted = sockets_on(what.protocol, what.local.port, disk);
  folder processes(::opendir("/proc"));
  if (wanted.empty() || !processes) return {};
  while (const auto* process = ::readdir(processes.get())) {
    std::string pid = process->d_name;
    if (!digits(pid)) continue;
    auto descriptors = "/proc/" + pid + "/fd";
    folder open(::opendir(descriptors.c_str()));
    if (!open) continue;
    while (const auto* descriptor = ::readdir(open.get())) {
      char target[64];
      auto n = ::readlink((descriptors + "/" + descriptor->d_name).c_str(), target, sizeof target);
      if (n <= 0 || !wanted.contains(std::string(target, static_cast<std::size_t>(n)))) continue;
      auto name = disk.read("/proc/" + pid + "/comm").value_or("a program");
      while (!name.empty() && name.back() == '\n') name.pop_back();
      return printable(name) + " (process " + pid + ")";
    }
  }
  return {};
}

} // namespace

unavailable_endpoints probe_endpoints(const graph& g, runtime& world) {
  unavailable_endpoints out;
  for (const auto& s : g.services()) {
    for (const auto& wanted : s->endpoints()) {
      if (!wanted.probe || wanted.local.port == 0) continue;
      std::optional<error> refused;
      if (wanted.protocol == "tcp") {
        listen_options o;
        o.local = wanted.local;
        if (auto got = world.net.listen(o, [](std::unique_ptr<stream>) {}); !got) refused = got.error();
      } else {
        udp_options o;
        o.local = wanted.local;
        if (auto got = world.net.udp(o); !got) refused = got.error();
      }
      // What fails in another way says so itself when it starts.
      if (refused && refused->code == errc::unreachable) out.absent.push_back({s->name(), wanted.local});
      if (!refused || refused->code != errc::exists) continue;
      auto who = holder(wanted, world.files);
      out.held.push_back(s->where().to_string() + ": " + s->kind() + " \"" + s->name() +
                         "\": " + wanted.protocol + " " + wanted.local.to_string() + " is in use by " +
                         (who.empty() ? "another program" : who));
    }
  }
  return out;
}

} // namespace netlab::lua
