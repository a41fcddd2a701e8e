#include "scripts.h"

#include <algorithm>
#include <set>

#include "netlab/text.h"

namespace netlab::boot {

namespace {

// Text that iPXE only prints: nothing in it may end the command or be filled in.
std::string for_echo(std::string_view text) {
  auto out = printable(text);
  auto replace = [&](std::string_view what, std::string_view with) {
    for (auto at = out.find(what); at != std::string::npos; at = out.find(what, at + with.size()))
      out.replace(at, what.size(), with);
  };
  replace("${", "$(");
  replace("||", "|");
  replace("&&", "&");
  replace("#", "no. ");
  if (out.ends_with('\\')) out += '.';
  return out;
}

result<void> check_words(const std::vector<std::string>& args) {
  for (const auto& arg : args) {
    for (unsigned char c : arg)
      if (c < 0x20 || c == 0x7f)
        return fail(errc::invalid, "the argument \"" + printable(arg) + "\" holds a control character",
                    "boot.script");
    for (auto word : split(arg, ' '))
      if (word == "||" || word == "&&" || word.starts_with("#"))
        return fail(errc::invalid,
                    "the argument \"" + printable(arg) + "\" holds the word \"" + std::string(word) +
                        "\", which iPXE takes for its own",
                    "boot.script");
    if (arg.ends_with('\\'))
      return fail(errc::invalid, "the argument \"" + printable(arg) + "\" ends in a backslash",
                  "boot.script");
  }
  return {};
}

std::string file_name(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  auto slash = url.rfind('/');
  auto name = std::string(slash == std::string_view::npos ? url : url.substr(slash + 1));
  return name.empty() ? "image" : name;
}

// Settings outlive a script, so that each kind of trouble counts in a setting of its own.
std::string retry(std::string_view boot_url, const std::string& counter, int tries, int seconds) {
  std::string out;
  out += "isset ${" + counter + "} || set " + counter + " 0\n";
  out += "inc " + counter + "\n";
  out += "iseq ${" + counter + "} " + std::to_string(tries) + " && exit 1 ||\n";
  out += "sleep " + std::to_string(seconds) + "\n";
  out += "chain --replace --autofree " + std::string(boot_url) + "/boot.ipxe || goto failed\n";
  return out;
}

std::string grub_quote(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

result<std::string> grub_path(std::string_view url) {
  constexpr std::string_view http = "http://", tftp = "tftp://";
  std::string_view scheme = url.starts_with(http) ? "http" : url.starts_with(tftp) ? "tftp" : "";
  if (scheme.empty())
    return fail(errc::unsupported, "GRUB cannot read " + printable(url) + " (only http:// and tftp://)",
                "boot.grub");
  auto rest = url.substr(7);
  auto slash = rest.find('/');
  if (slash == std::string_view::npos)
    return fail(errc::invalid, printable(url) + " has no path", "boot.grub");
  return "(" + std::string(scheme) + "," + std::string(rest.substr(0, slash)) + ")" +
         std::string(rest.substr(slash));
}

} // namespace

std::string first_script() {
  // The address is relative: whoever reached this script reaches the next one in the same way.
  return "#!ipxe\n"
         ":again\n"
         "chain --replace --autofree ipxe?mac=${mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring}"
         "&arch=${buildarch:uristring}&platform=${platform:uristring}&hostname=${hostname:uristring}"
         "&domain=${domain:uristring} || goto failed\n"
         ":failed\n"
         "echo netlab: no boot script from the server, trying again in 5 seconds\n"
         "isset ${netlab-tries} || set netlab-tries 0\n"
         "inc netlab-tries\n"
         "iseq ${netlab-tries} 60 && exit 1 ||\n"
         "sleep 5\n"
         "goto again\n";
}

result<std::string> ipxe_boot_script(const script_input& in) {
  if (auto ok = check_words(in.args); !ok) return tl::unexpected(ok.error());
  std::vector<std::string> names;
  std::set<std::string> taken = {file_name(in.kernel)};
  for (const auto& url : in.initrd) {
    auto name = file_name(url);
    for (int i = 2; !taken.insert(name).second; ++i) name = std::to_string(i) + "-" + file_name(url);
    names.push_back(name);
  }
  std::string out = "#!ipxe\n";
  out += "echo netlab: " + for_echo(in.title) + "\n";
  out += "imgfree\n";
  out += "kernel " + in.kernel;
  for (const auto& arg : in.args) out += " " + arg;
  // A kernel that UEFI starts looks for its initramfs by these names; BIOS hands it over in memory.
  if (in.efi && !in.uki)
    for (const auto& name : names) out += " initrd=" + name;
  out += " || goto failed\n";
  if (!in.uki)
    for (std::size_t i = 0; i < names.size(); ++i)
      out += "initrd --name " + names[i] + " " + in.initrd[i] + " || goto failed\n";
  out += "boot || goto failed\n";
  out += ":failed\n";
  out += "echo netlab: it did not start: ${errmsg}\n";
  out += retry(in.boot_url, "netlab-boots", 10, 5);
  return out;
}

std::string ipxe_refusal_script(std::string_view boot_url, std::string_view id, std::string_view reason,
                                std::string_view remedy) {
  std::string out = "#!ipxe\n";
  out += "echo netlab: this machine gets nothing to boot\n";
  out += "echo " + std::string(id) + ": " + for_echo(reason) + "\n";
  if (!remedy.empty()) out += "echo " + for_echo(remedy) + "\n";
  out += ":failed\n";
  out += "echo Asking again in 30 seconds\n";
  out += retry(boot_url, "netlab-refusals", 20, 30);
  return out;
}

std::string ipxe_wait_script(std::string_view boot_url, std::string_view what) {
  std::string out = "#!ipxe\n";
  out += "echo netlab: " + for_echo(what) + "\n";
  out += ":failed\n";
  // An hour's worth: an initramfs may come over a slow line.
  out += retry(boot_url, "netlab-waits", 1200, 3);
  return out;
}

result<std::string> grub_script(const script_input& in) {
  for (const auto& arg : in.args)
    for (unsigned char c : arg)
      if (c < 0x20 || c == 0x7f)
        return fail(errc::invalid, "the argument \"" + printable(arg) + "\" holds a control character",
                    "boot.grub");
  auto kernel = grub_path(in.kernel);
  if (!kernel) return kernel;
  std::string out = "set default=0\nset timeout=1\n";
  out += "menuentry " + grub_quote("netlab: " + printable(in.title)) + " {\n";
  if (in.uki) {
    out += "  chainloader " + *kernel + "\n";
  } else {
    out += "  linux " + *kernel;
    for (const auto& arg : in.args) out += " " + grub_quote(arg);
    out += "\n";
    if (!in.initrd.empty()) out += "  initrd";
    for (const auto& url : in.initrd) {
      auto path = grub_path(url);
      if (!path) return path;
      out += " " + *path;
    }
    if (!in.initrd.empty()) out += "\n";
  }
  return out + "}\n";
}

std::string grub_refusal_script(std::string_view id, std::string_view reason) {
  return "echo " + grub_quote("netlab: this machine gets nothing to boot") + "\necho " +
         grub_quote(std::string(id) + ": " + printable(reason)) + "\nsleep 30\n";
}

} // namespace netlab::boot
