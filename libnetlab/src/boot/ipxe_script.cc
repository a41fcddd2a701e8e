#include "netlab/ipxe_script.h"

#include <algorithm>
#include <charconv>

#include "netlab/text.h"

namespace netlab::boot {

namespace {

constexpr std::size_t depth_limit = 32;
constexpr std::size_t script_limit = std::size_t{1} << 20;
constexpr std::size_t console_limit = 1000;

bool is_script(std::string_view bytes) {
  return bytes.starts_with("#!ipxe") &&
         (bytes.size() == 6 || std::string_view(" \t\r\n").find(bytes[6]) != std::string_view::npos);
}

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> out;
  std::size_t at = 0;
  constexpr std::string_view blanks = " \t\r\n";
  while ((at = line.find_first_not_of(blanks, at)) != std::string_view::npos) {
    auto end = line.find_first_of(blanks, at);
    out.emplace_back(line.substr(at, end == std::string_view::npos ? end : end - at));
    if (end == std::string_view::npos) break;
    at = end;
  }
  return out;
}

std::string base_name(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  auto slash = url.rfind('/');
  return std::string(slash == std::string_view::npos ? url : url.substr(slash + 1));
}

std::optional<long> number_of(std::string_view text) {
  long value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct script_line {
  std::string text;
  std::size_t number; // of its first line in the file
};

// A running script, and how far the line that runs has come.
struct frame {
  std::string url;
  std::vector<script_line> lines;
  std::size_t next = 0;           // index of the line after the running one
  std::size_t line = 0;           // number of the running one
  std::vector<std::string> words; // of the running line, not expanded yet
  std::size_t at = 0;             // the segment that comes next begins here
};

frame parse_script(std::string_view bytes, const std::string& url) {
  frame out;
  out.url = url;
  std::size_t number = 0, start = 0;
  std::string joined;
  bool continues = false;
  for (auto line : split(bytes, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!continues) start = number;
    continues = line.ends_with('\\');
    if (continues) line.remove_suffix(1);
    joined += line;
    if (continues) continue;
    out.lines.push_back({std::move(joined), start});
    joined.clear();
  }
  if (!joined.empty()) out.lines.push_back({std::move(joined), start});
  return out;
}

struct loaded_image {
  std::string name, url, args, bytes;
};

// What a command line says in options; iPXE's parser stops at the first word that is none.
struct options {
  std::map<std::string, std::string> named; // without dashes; flags are "1"
  std::vector<std::string> rest;
  std::string error;
  bool has(std::string_view name) const { return named.contains(std::string(name)); }
  std::string get(std::string_view name) const {
    auto found = named.find(std::string(name));
    return found == named.end() ? std::string{} : found->second;
  }
};

// `flags` take no value, `valued` take one; written as "name/n" with a one-letter form.
options parse_options(const std::vector<std::string>& argv, std::string_view flags, std::string_view valued) {
  options out;
  auto listed = [](std::string_view list, std::string_view word) -> std::string {
    for (auto item : split(list, ' ')) {
      auto slash = item.find('/');
      auto name = item.substr(0, slash);
      if (name.empty()) continue;
      if (word == "--" + std::string(name)) return std::string(name);
      if (slash != std::string_view::npos && word == "-" + std::string(item.substr(slash + 1)))
        return std::string(name);
    }
    return {};
  };
  std::size_t i = 1;
  for (; i < argv.size(); ++i) {
    std::string_view word = argv[i];
    if (word == "--") {
      ++i;
      break;
    }
    if (word.size() < 2 || word[0] != '-') break;
    std::string_view key = word;
    std::optional<std::string> value;
    if (auto equals = word.find('='); word.starts_with("--") && equals != std::string_view::npos) {
      key = word.substr(0, equals);
      value = word.substr(equals + 1);
    }
    if (auto name = listed(flags, key); !name.empty()) {
      out.named[name] = "1";
    } else if (name = listed(valued, key); !name.empty()) {
      if (!value && i + 1 < argv.size()) value = argv[++i];
      if (!value) {
        out.error = argv[0] + ": " + std::string(key) + " wants a value";
        return out;
      }
      out.named[name] = *value;
    } else {
      out.error = argv[0] + ": unknown option " + printable(key);
      return out;
    }
  }
  out.rest.assign(argv.begin() + static_cast<std::ptrdiff_t>(std::min(i, argv.size())), argv.end());
  return out;
}

std::string joined(const std::vector<std::string>& words, std::size_t from) {
  std::string out;
  for (std::size_t i = from; i < words.size(); ++i) out += (i > from ? " " : "") + words[i];
  return out;
}

bool ends_segment(const std::string& word) { return word == "||" || word == "&&" || word.starts_with("#"); }

} // namespace

struct ipxe_machine::impl {
  ipxe_settings settings;
  std::size_t step_limit;
  std::size_t step_count = 0;
  std::vector<frame> frames; // the running one is last
  std::vector<loaded_image> images;
  std::string selected; // name of the image that `boot` starts
  std::vector<std::string> console;
  ipxe_failed last_failure; // of the last command that failed

  enum class waiting { nothing, fetch, sleep, boot } wait = waiting::nothing;
  struct {
    bool execute = false; // chain: run it when it is here
    bool select = false;
    bool replace = false;
    std::string name, url, args;
  } load;

  // What a command came to: its status (0 is success), unless it changed what runs next.
  struct outcome {
    int status = 0;
    bool jumped = false; // the line is over, or another script runs
    std::optional<ipxe_action> action;
  };

  ipxe_action stop(std::string why) {
    wait = waiting::nothing;
    ipxe_failed out;
    if (!frames.empty()) {
      out.url = frames.back().url;
      out.line = frames.back().line;
    }
    out.why = std::move(why);
    frames.clear();
    return out;
  }
  outcome stopped(std::string why) { return {1, false, stop(std::move(why))}; }

  outcome failure(std::string why) {
    settings["errmsg"] = why;
    last_failure.why = std::move(why);
    last_failure.url = frames.empty() ? "" : frames.back().url;
    last_failure.line = frames.empty() ? 0 : frames.back().line;
    return {1, false, std::nullopt};
  }

  loaded_image* find_image(std::string_view name) {
    for (auto& i : images)
      if (i.name == name || i.url == name) return &i;
    return nullptr;
  }

  void print(std::string text) {
    if (console.size() < console_limit) console.push_back(std::move(text));
  }

  std::optional<ipxe_action> end_script(int status);
  std::optional<ipxe_action> segments(int status, bool first);
  ipxe_action run();
  ipxe_action carry_on(outcome o);
  outcome execute(const std::vector<std::string>& argv);
  outcome execute_settings(const std::vector<std::string>& argv, bool& known);
  outcome execute_images(const std::vector<std::string>& argv, bool& known);
  outcome fetch(const std::vector<std::string>& argv, bool select, bool execute);
  outcome start_image(const loaded_image& image, bool replace);
  outcome go_to(const std::string& label);
};

// The running script is over; the command that chained it ends with the script's status.
std::optional<ipxe_action> ipxe_machine::impl::end_script(int status) {
  frames.pop_back();
  if (frames.empty()) {
    if (status != 0 && !last_failure.why.empty()) return last_failure;
    return ipxe_exit{status};
  }
  return segments(status, false);
}

// Runs the segments of the running line from where it stands; `status` is that of the segment before.
std::optional<ipxe_action> ipxe_machine::impl::segments(int status, bool first) {
  for (;;) {
    auto& f = frames.back();
    if (!first) {
      // Between segments stands "||" or "&&": the next one runs when the status asks for it.
      if (f.at >= f.words.size() || f.words[f.at].starts_with("#")) {
        f.words.clear();
        if (status == 0) return std::nullopt;
        return end_script(status); // a command that fails unnoticed ends its script
      }
      bool want = f.words[f.at++] == "||" ? status != 0 : status == 0;
      if (!want) {
        while (f.at < f.words.size() && !ends_segment(f.words[f.at])) ++f.at;
        continue;
      }
    }
    first = false;
    std::vector<std::string> argv;
    for (; f.at < f.words.size() && !ends_segment(f.words[f.at]); ++f.at) {
      auto word = expand_ipxe(f.words[f.at], settings);
      if (!word) return stop(word.error().message);
      argv.push_back(std::move(*word));
    }
    if (argv.empty()) { // "iseq a b && exit ||": an empty command succeeds
      status = 0;
      continue;
    }
    if (++step_count > step_limit)
      return stop("the scripts ran " + std::to_string(step_limit) + " commands without an end: a loop?");
    // `time COMMAND` prints how long it took.
    auto real = std::find_if(argv.begin(), argv.end(), [](const auto& word) { return word != "time"; });
    argv.erase(argv.begin(), real);
    if (argv.empty()) {
      status = 0;
      continue;
    }
    auto o = execute(argv);
    if (o.action) return o.action;
    if (o.jumped) return std::nullopt;
    status = o.status;
  }
}

ipxe_action ipxe_machine::impl::run() {
  for (;;) {
    if (frames.empty()) return ipxe_exit{0};
    auto& f = frames.back();
    if (f.next >= f.lines.size()) {
      if (auto action = end_script(0)) return *action;
      continue;
    }
    const auto& line = f.lines[f.next++];
    f.line = line.number;
    auto text = trim(line.text);
    // Lines without a command count as well: a loop of labels is a loop.
    if (++step_count > step_limit * 4) return stop("the scripts have no end: a loop?");
    if (text.empty() || text.front() == '#' || text.front() == ':') continue;
    f.words = words_of(text);
    f.at = 0;
    if (auto action = segments(0, true)) return *action;
  }
}

// After an answer: the command that waited ended with `o`.
ipxe_action ipxe_machine::impl::carry_on(outcome o) {
  if (o.action) return *o.action;
  if (!o.jumped) {
    if (frames.empty()) return o.status == 0 ? ipxe_action{ipxe_exit{0}} : ipxe_action{last_failure};
    if (auto action = segments(o.status, false)) return *action;
  }
  return run();
}

ipxe_machine::impl::outcome ipxe_machine::impl::go_to(const std::string& label) {
  auto& f = frames.back();
  for (std::size_t i = 0; i < f.lines.size(); ++i) {
    auto text = trim(f.lines[i].text);
    if (!text.starts_with(":")) continue;
    auto words = words_of(text.substr(1));
    if (words.empty() || words[0] != label) continue;
    f.next = i + 1;
    f.words.clear(); // what is left of the line does not run
    return {0, true, std::nullopt};
  }
  return failure("goto: there is no label :" + printable(label));
}

ipxe_machine::impl::outcome ipxe_machine::impl::start_image(const loaded_image& image, bool replace) {
  if (is_script(image.bytes)) {
    if (image.bytes.size() > script_limit) return stopped("the script at " + image.url + " is too large");
    if (frames.size() >= depth_limit) return stopped("scripts chain each other without an end");
    if (++step_count > step_limit) return stopped("scripts chain each other without an end");
    if (replace) frames.clear();
    auto script = parse_script(image.bytes, image.url);
    auto name = image.name;
    std::erase_if(images, [&](const auto& i) { return i.name == name; });
    frames.push_back(std::move(script));
    return {0, true, std::nullopt};
  }
  ipxe_boot out;
  out.kernel = image.url;
  out.cmdline = image.args;
  for (const auto& i : images)
    if (i.name != image.name) out.initrds.push_back({i.name, i.url});
  wait = waiting::boot;
  return {0, false, ipxe_action{std::move(out)}};
}

ipxe_machine::impl::outcome ipxe_machine::impl::fetch(const std::vector<std::string>& argv, bool select,
                                                      bool execute) {
  auto o = parse_options(argv, "autofree/a replace/r keep/k", "name/n timeout/t");
  if (!o.error.empty()) return failure(o.error);
  if (o.rest.empty()) return failure(argv[0] + ": nothing to fetch");
  auto base = frames.empty() ? std::string{} : frames.back().url;
  load = {execute, select, o.has("replace"), o.get("name"), resolve_url(base, o.rest[0]), joined(o.rest, 1)};
  if (execute)
    if (const auto* image = find_image(o.rest[0])) {
      auto copy = *image;
      if (o.rest.size() > 1) copy.args = load.args;
      return start_image(copy, load.replace);
    }
  if (load.url.find("://") == std::string::npos)
    return failure(argv[0] + ": \"" + printable(o.rest[0]) +
                   "\" is no address and there is none to resolve it against");
  if (load.name.empty()) load.name = base_name(load.url);
  wait = waiting::fetch;
  auto purpose = execute               ? ipxe_image_kind::script
                 : select              ? ipxe_image_kind::kernel
                 : argv[0] == "initrd" ? ipxe_image_kind::initrd
                                       : ipxe_image_kind::other;
  return {0, false, ipxe_action{ipxe_fetch{load.url, purpose}}};
}

ipxe_machine::impl::outcome ipxe_machine::impl::execute_settings(const std::vector<std::string>& argv,
                                                                 bool& known) {
  const auto& command = argv[0];
  known = true;
  if (command == "set") {
    if (argv.size() < 2) return failure("set: which setting?");
    if (argv.size() == 2)
      settings.erase(argv[1]);
    else
      settings[argv[1]] = joined(argv, 2);
    return {};
  }
  if (command == "clear") {
    if (argv.size() < 2) return failure("clear: which setting?");
    settings.erase(argv[1]);
    return {};
  }
  if (command == "isset")
    return argv.size() > 1 && !argv[1].empty() ? outcome{} : failure("isset: it is not set");
  if (command == "iseq") {
    if (argv.size() != 3) return failure("iseq: wants two values");
    return argv[1] == argv[2]
               ? outcome{}
               : failure("iseq: \"" + printable(argv[1]) + "\" is not \"" + printable(argv[2]) + "\"");
  }
  if (command == "inc") {
    if (argv.size() < 2) return failure("inc: which setting?");
    auto old = settings.contains(argv[1]) ? number_of(settings[argv[1]]) : std::optional<long>(0);
    auto by = argv.size() > 2 ? number_of(argv[2]) : std::optional<long>(1);
    if (!old || !by) return failure("inc: not a number");
    // The real one counts in 32 bits.
    settings[argv[1]] = std::to_string(
        static_cast<std::int32_t>(static_cast<std::uint32_t>(*old) + static_cast<std::uint32_t>(*by)));
    return {};
  }
  known = false;
  return {};
}

ipxe_machine::impl::outcome ipxe_machine::impl::execute_images(const std::vector<std::string>& argv,
                                                               bool& known) {
  const auto& command = argv[0];
  known = true;
  if (command == "chain") return fetch(argv, false, true);
  if (command == "kernel" || command == "imgselect" || command == "imgload") {
    // `imgselect NAME` of what is here already does not fetch it again.
    auto o = parse_options(argv, "autofree/a", "name/n timeout/t");
    if (o.error.empty() && !o.rest.empty() && o.rest[0].find("://") == std::string::npos)
      if (auto* image = find_image(o.rest[0])) {
        selected = image->name;
        if (o.rest.size() > 1) image->args = joined(o.rest, 1);
        return {};
      }
    return fetch(argv, true, false);
  }
  if (command == "initrd" || command == "module" || command == "imgfetch" || command == "imgextract")
    return fetch(argv, false, false);
  if (command == "boot" || command == "imgexec") {
    auto o = parse_options(argv, "autofree/a replace/r keep/k", "name/n timeout/t");
    if (!o.error.empty()) return failure(o.error);
    if (!o.rest.empty()) return fetch(argv, false, true);
    const auto* image = find_image(selected);
    if (selected.empty() || !image) return failure(command + ": no image was selected");
    auto copy = *image;
    return start_image(copy, o.has("replace"));
  }
  if (command == "imgargs") {
    auto* image = argv.size() > 1 ? find_image(argv[1]) : nullptr;
    if (!image) return failure("imgargs: no such image");
    image->args = joined(argv, 2);
    return {};
  }
  if (command == "imgfree") {
    if (argv.size() < 2) {
      images.clear();
      selected.clear();
      return {};
    }
    if (!find_image(argv[1])) return failure("imgfree: no such image");
    std::erase_if(images, [&](const auto& i) { return i.name == argv[1] || i.url == argv[1]; });
    return {};
  }
  if (command == "imgstat") return {};
  known = false;
  return {};
}

ipxe_machine::impl::outcome ipxe_machine::impl::execute(const std::vector<std::string>& argv) {
  bool known = false;
  if (auto o = execute_settings(argv, known); known) return o;
  if (auto o = execute_images(argv, known); known) return o;
  const auto& command = argv[0];
  if (command == "echo") {
    print(joined(argv, argv.size() > 1 && argv[1] == "-n" ? 2 : 1));
    return {};
  }
  if (command == "goto") return argv.size() > 1 ? go_to(argv[1]) : failure("goto: which label?");
  if (command == "exit") {
    auto code = argv.size() > 1 ? number_of(argv[1]) : std::optional<long>(0);
    if (!code) return failure("exit: not a number");
    if (*code != 0) failure("the script ended with exit " + argv[1]);
    if (frames.size() == 1) {
      frames.clear();
      return {0, false, ipxe_action{ipxe_exit{static_cast<int>(*code)}}};
    }
    auto action = end_script(static_cast<int>(*code));
    return {0, true, action};
  }
  if (command == "sleep") {
    auto seconds = argv.size() > 1 ? number_of(argv[1]) : std::nullopt;
    if (!seconds || *seconds < 0 || *seconds > 86400) return failure("sleep: wants 0 to 86400 seconds");
    wait = waiting::sleep;
    return {0, false, ipxe_action{ipxe_sleep{std::chrono::seconds(*seconds)}}};
  }
  if (command == "cpuid") {
    // The one flag that scripts ask for: long mode.
    auto o = parse_options(argv, "ext/e ecx/c", "");
    if (o.has("ext") && !o.rest.empty() && o.rest[0] == "29")
      return settings["buildarch"] == "x86_64" || settings["cpu"] == "x86_64"
                 ? outcome{}
                 : failure("cpuid: no such feature");
    return failure("cpuid: no such feature");
  }
  if (command == "prompt") {
    auto o = parse_options(argv, "", "key/k timeout/t");
    if (!o.has("timeout")) return stopped("prompt: waits for somebody at the keyboard");
    return failure("prompt: nobody pressed a key");
  }
  if (command == "choose") {
    auto o = parse_options(argv, "keep", "menu/m default/d timeout/t");
    if (o.rest.empty() || !o.has("default") || !o.has("timeout"))
      return stopped("choose: waits for somebody at the keyboard");
    settings[o.rest[0]] = o.get("default");
    return {};
  }
  if (command == "shell" || command == "login" || command == "config" || command == "read")
    return stopped(command + ": waits for somebody at the keyboard");
  if (command == "reboot" || command == "poweroff")
    return stopped(command + ": the script turns the machine off");
  // What these do shows on a screen or in the network's state, neither of which is simulated.
  static constexpr std::string_view harmless[] = {
      "dhcp",    "ifopen", "ifclose", "ifconf", "ifstat", "iflinkwait", "route", "menu",    "item",
      "console", "colour", "cpair",   "sync",   "ntp",    "imgtrust",   "show",  "ifconfig"};
  if (std::find(std::begin(harmless), std::end(harmless), command) != std::end(harmless)) return {};
  return stopped("unknown command \"" + printable(command) + "\"");
}

ipxe_machine::ipxe_machine(ipxe_settings settings, std::size_t step_limit) : impl_(std::make_unique<impl>()) {
  impl_->settings = std::move(settings);
  impl_->step_limit = step_limit;
}
ipxe_machine::~ipxe_machine() = default;
ipxe_machine::ipxe_machine(ipxe_machine&&) noexcept = default;
ipxe_machine& ipxe_machine::operator=(ipxe_machine&&) noexcept = default;

ipxe_action ipxe_machine::start(const std::string& url) {
  impl_->frames.clear();
  impl_->load = {true, false, true, base_name(url), url, {}};
  impl_->wait = impl::waiting::fetch;
  return ipxe_fetch{url, ipxe_image_kind::script};
}

ipxe_action ipxe_machine::start(std::string script, const std::string& url) {
  impl_->frames.clear();
  auto o = is_script(script) ? impl_->start_image({base_name(url), url, {}, std::move(script)}, true)
                             : impl_->stopped("it does not begin with #!ipxe");
  return impl_->carry_on(std::move(o));
}

ipxe_action ipxe_machine::fetched(result<ipxe_image> image) {
  if (impl_->wait != impl::waiting::fetch) return impl_->stop("nothing was asked for");
  impl_->wait = impl::waiting::nothing;
  auto load = std::move(impl_->load);
  if (!image) return impl_->carry_on(impl_->failure(load.url + ": " + image.error().message));
  loaded_image loaded{load.name, load.url, load.args, std::move(image->bytes)};
  std::erase_if(impl_->images, [&](const auto& i) { return i.name == loaded.name; });
  if (load.execute) return impl_->carry_on(impl_->start_image(loaded, load.replace));
  if (load.select) impl_->selected = loaded.name;
  if (!is_script(loaded.bytes)) loaded.bytes.clear(); // only scripts are looked into
  impl_->images.push_back(std::move(loaded));
  return impl_->carry_on({});
}

ipxe_action ipxe_machine::slept() {
  if (impl_->wait != impl::waiting::sleep) return impl_->stop("nothing slept");
  impl_->wait = impl::waiting::nothing;
  return impl_->carry_on({});
}

ipxe_action ipxe_machine::boot_failed(const std::string& why) {
  if (impl_->wait != impl::waiting::boot) return impl_->stop("nothing was started");
  impl_->wait = impl::waiting::nothing;
  return impl_->carry_on(impl_->failure(why));
}

const std::vector<std::string>& ipxe_machine::console() const { return impl_->console; }

std::string ipxe_machine::setting(std::string_view name) const {
  auto found = impl_->settings.find(std::string(name));
  return found == impl_->settings.end() ? std::string{} : found->second;
}

std::size_t ipxe_machine::steps() const { return impl_->step_count; }

} // namespace netlab::boot
