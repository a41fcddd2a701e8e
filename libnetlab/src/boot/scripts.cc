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
  std::string path(rest.substr(slash));
  // TFTP knows no percent signs: the name is sent as it is.
  if (scheme == "tftp") path = url_decode(path, false).value_or(path);
  bool plain = path.find_first_of(" '\"$;{}()<>|&\\") == std::string::npos;
  return "(" + std::string(scheme) + "," + std::string(rest.substr(0, slash)) + ")" +
         (plain ? path : grub_quote(path));
}

} // namespace

std::string first_script(const std::map<std::string, std::string>& query) {
  // The address is relative: whoever reached this script reaches the next one in the same way. The numbers
  // are the asset tag of SMBIOS's baseboard table (SMBIOS 3.6 §7.3).
  static constexpr std::pair<std::string_view, std::string_view> told[] = {
      {"mac", "${mac:hexhyp}"},
      {"uuid", "${uuid}"},
      {"serial", "${serial:uristring}"},
      {"arch", "${buildarch:uristring}"},
      {"platform", "${platform:uristring}"},
      {"hostname", "${hostname:uristring}"},
      {"domain", "${domain:uristring}"},
      {"manufacturer", "${manufacturer:uristring}"},
      {"product", "${product:uristring}"},
      {"board_asset", "${smbios/2.8.0:uristring}"},
  };
  std::string parameters;
  for (const auto& [key, value] : told)
    parameters += (parameters.empty() ? "?" : "&") + std::string(key) + "=" + std::string(value);
  for (const auto& [key, value] : query) {
    bool known = std::any_of(std::begin(told), std::end(told),
                             [&name = key](const auto& t) { return t.first == name; });
    if (!known && parameters.size() < 1024) parameters += "&" + url_encode(key) + "=" + url_encode(value);
  }
  return "#!ipxe\n"
         ":again\n"
         "chain --replace --autofree ipxe" +
         parameters +
         " || goto failed\n"
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

namespace {

result<std::string> grub_commands(const std::string& kernel_url, const std::vector<std::string>& initrds,
                                  const std::vector<std::string>& args, bool uki, std::string_view indent) {
  auto kernel = grub_path(kernel_url);
  if (!kernel) return kernel;
  std::string out(indent);
  if (uki) return out + "chainloader " + *kernel + "\n";
  out += "linux " + *kernel;
  for (const auto& arg : args) out += " " + grub_quote(arg);
  out += "\n";
  if (initrds.empty()) return out;
  out += std::string(indent) + "initrd";
  for (const auto& url : initrds) {
    auto path = grub_path(url);
    if (!path) return path;
    out += " " + *path;
  }
  return out + "\n";
}

} // namespace

result<std::string> first_grub_script(std::string_view boot_url) {
  auto path = grub_path(std::string(boot_url) + "/grub/");
  if (!path) return path;
  // A machine that gets no answer starts over: at GRUB's prompt it would stand for ever.
  return "if source " + *path +
         "$grub_cpu-$grub_platform/grub.cfg-01-$net_default_mac; then\n"
         "  true\n"
         "else\n"
         "  echo 'netlab: no boot script from the server; this machine starts over in 10 seconds'\n"
         "  sleep 10\n"
         "  reboot\n"
         "fi\n";
}

result<std::string> grub_script(const script_input& in) {
  for (const auto& arg : in.args)
    for (unsigned char c : arg)
      if (c < 0x20 || c == 0x7f)
        return fail(errc::invalid, "the argument \"" + printable(arg) + "\" holds a control character",
                    "boot.grub");
  bool choice = !in.tftp_kernel.empty() && in.tftp_kernel != in.kernel;
  auto commands = grub_commands(in.kernel, in.initrd, in.args, in.uki, choice ? "    " : "  ");
  if (!commands) return commands;
  auto title = grub_quote("netlab: " + printable(in.title));
  std::string out = "set default=0\nset fallback=1\nset timeout=0\n";
  out += "menuentry " + title + " {\n  echo " + title + "\n";
  if (choice) {
    auto other = grub_commands(in.tftp_kernel, in.tftp_initrd, in.args, in.uki, "    ");
    if (!other) return other;
    // Under Secure Boot GRUB loads no modules, and the one for HTTP is seldom built in; insmod claims
    // success.
    out += "  set over=tftp\n"
           "  if [ \"$lockdown\" != y ]; then\n"
           "    if insmod http; then set over=http; fi\n"
           "  fi\n"
           "  if [ $over = http ]; then\n" +
           *commands + "  else\n" + *other + "  fi\n";
  } else {
    out += *commands;
  }
  out += "}\n"
         "menuentry 'netlab: start over' {\n"
         "  echo 'netlab: it did not start; this machine starts over in 10 seconds'\n"
         "  sleep 10\n"
         "  reboot\n"
         "}\n";
  return out;
}

std::string grub_refusal_script(std::string_view id, std::string_view reason) {
  return "echo " + grub_quote("netlab: this machine gets nothing to boot") + "\necho " +
         grub_quote(std::string(id) + ": " + printable(reason)) + "\nsleep 30\nexit\n";
}

} // namespace netlab::boot
