#include "netlab/boot_profile.h"

#include <algorithm>
#include <cstdint>

#include "netlab/text.h"
#include "netlab/uuid.h"

namespace netlab::boot {

namespace {

const boot_files* variant_for(const profile& p, cpu processor) {
  for (const auto& [name, files] : p.variants)
    if (parse_cpu(name) == processor && processor != cpu::unknown) return &files;
  // An iPXE for BIOS is an i386 program on what is, these twenty years, a 64-bit machine.
  if (processor == cpu::i386) return variant_for(p, cpu::amd64);
  return nullptr;
}

std::string normal_mac(std::string_view text) {
  if (auto mac = mac_address::parse(text)) return mac->to_string();
  auto out = to_lower(text);
  std::replace(out.begin(), out.end(), '-', ':');
  return out;
}

std::string normal_uuid(std::string_view text) {
  if (auto id = netlab::uuid::parse(text)) return id->to_string();
  return to_lower(text);
}

std::string value_of(const machine_facts& facts, const std::string& key) {
  if (key == "name") return facts.name;
  if (key == "serial") return facts.serial;
  if (key == "role") return facts.role;
  if (key == "firmware") return facts.firmware;
  if (key == "hostname" && !facts.hostname.empty()) return facts.hostname;
  if (key == "ip") return facts.address;
  if (auto found = facts.labels.find(key); found != facts.labels.end()) return found->second;
  if (auto found = facts.query.find(key); found != facts.query.end()) return found->second;
  return {};
}

bool holds(const selector& s, const machine_facts& facts) {
  auto key = to_lower(s.key);
  for (const auto& pattern : s.any) {
    if (key == "mac") {
      auto wanted = normal_mac(pattern);
      if (wanted.empty() && facts.macs.empty()) return true;
      for (const auto& mac : facts.macs)
        if (glob_match(wanted, mac.to_string())) return true;
    } else if (key == "uuid") {
      if (glob_match(normal_uuid(pattern), facts.uuid)) return true;
    } else if (key == "arch") {
      auto wanted = parse_cpu(pattern);
      if (wanted != cpu::unknown ? wanted == facts.cpu : glob_match(pattern, to_string(facts.cpu)))
        return true;
    } else if (glob_match(pattern, value_of(facts, s.key))) {
      return true;
    }
  }
  return false;
}

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_name_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; }

} // namespace

result<resolved_files> resolve(const profile& p, cpu processor) {
  const auto* variant = variant_for(p, processor);
  std::string arch(to_string(processor));
  if (processor == cpu::i386 && variant == variant_for(p, cpu::amd64)) arch = "amd64";
  if (!variant && !p.common.kernel && !p.common.uki) {
    if (p.variants.empty() && p.raspberry)
      return fail(errc::not_found,
                  "profile \"" + p.name + "\" is for the boot loader of a Raspberry Pi alone",
                  "boot.resolve");
    if (p.variants.empty())
      return fail(errc::invalid, "profile \"" + p.name + "\" has neither a kernel nor a uki", "boot.resolve");
    std::string has;
    for (const auto& [name, files] : p.variants) has += (has.empty() ? "" : ", ") + name;
    return fail(errc::not_found,
                "profile \"" + p.name + "\" has no " + arch + " variant (it has " + has + ")",
                "boot.resolve");
  }
  static const boot_files none;
  const auto& over = variant ? *variant : none;
  resolved_files out;
  out.arch = arch;
  // A variant that names one way of booting replaces the other way of the common part.
  if (over.uki)
    out.uki = *over.uki;
  else if (over.kernel)
    out.kernel = *over.kernel;
  else if (p.common.uki && !p.common.kernel)
    out.uki = *p.common.uki;
  else if (p.common.kernel)
    out.kernel = *p.common.kernel;
  if (out.kernel.empty() && out.uki.empty())
    return fail(errc::invalid, "profile \"" + p.name + "\" has neither a kernel nor a uki for " + arch,
                "boot.resolve");
  if (out.uki.empty()) out.cmdline = over.cmdline ? *over.cmdline : p.common.cmdline.value_or("");
  out.initrd = over.initrd ? *over.initrd : p.common.initrd.value_or(std::vector<std::string>{});
  out.args = over.args ? *over.args : p.common.args.value_or(std::vector<std::string>{});
  return out;
}

std::span<const std::string_view> told_by_loader() {
  static constexpr std::string_view keys[] = {"manufacturer", "product", "instance_id", "tag"};
  return keys;
}

bool matches(const group& g, const machine_facts& facts) {
  if (g.decide) return g.decide(facts);
  return std::all_of(g.match.begin(), g.match.end(), [&](const selector& s) { return holds(s, facts); });
}

namespace {

// How particular a group is.
std::size_t rank(const group& g) { return g.decide ? SIZE_MAX : g.match.size(); }

template<class Holds>
const group* winner(std::span<const group> groups, const Holds& matches_group) {
  const group* best = nullptr;
  for (const auto& g : groups)
    if ((!best || rank(g) > rank(*best)) && matches_group(g)) best = &g;
  return best;
}

} // namespace

const group* select_group(std::span<const group> groups, const machine_facts& facts) {
  return winner(groups, [&](const group& g) { return matches(g, facts); });
}

const group* select_group_later(std::span<const group> groups, const machine_facts& facts) {
  auto untold = [&](const selector& s) {
    return (s.key == "manufacturer" || s.key == "product") && value_of(facts, s.key).empty();
  };
  bool asked = std::any_of(groups.begin(), groups.end(), [&](const group& g) {
    return std::any_of(g.match.begin(), g.match.end(), untold);
  });
  if (!asked) return nullptr;
  return winner(groups, [&](const group& g) {
    if (g.decide) return g.decide(facts);
    return std::all_of(g.match.begin(), g.match.end(),
                       [&](const selector& s) { return holds(s, facts) || untold(s); });
  });
}

result<std::string> render(std::string_view text, const template_lookup& lookup) {
  std::string out;
  out.reserve(text.size());
  std::size_t at = 0;
  auto line_of = [&](std::size_t position) {
    return std::to_string(
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
  };
  while (at < text.size()) {
    auto open = text.find("{{", at);
    if (open == std::string_view::npos) break;
    if (open > at && text[open - 1] == '\\') {
      out += text.substr(at, open - 1 - at);
      out += "{{";
      at = open + 2;
      continue;
    }
    out += text.substr(at, open - at);
    auto p = open + 2;
    auto blanks = [&] {
      while (p < text.size() && (text[p] == ' ' || text[p] == '\t')) ++p;
    };
    blanks();
    auto start = p;
    if (p < text.size() && is_name_start(text[p]))
      while (p < text.size() && is_name(text[p])) ++p;
    auto name = text.substr(start, p - start);
    blanks();
    std::optional<std::string_view> otherwise;
    if (!name.empty() && p < text.size() && text[p] == '|') {
      auto end = text.find("}}", p);
      auto stop = text.find('\n', p);
      if (end != std::string_view::npos && end < stop) {
        otherwise = trim(text.substr(p + 1, end - p - 1));
        p = end;
      }
    }
    if (name.empty() || text.substr(p, 2) != "}}") {
      // Somebody else's template (Go, Helm, Jinja) inside ours.
      out += "{{";
      at = open + 2;
      continue;
    }
    auto value = lookup(name);
    if (!value && !otherwise)
      return fail(errc::not_found,
                  "line " + line_of(open) + ": nothing is called {{" + std::string(name) +
                      "}} here (write \\{{ for plain braces)",
                  "boot.template");
    if (value && !value->empty())
      out += *value;
    else if (otherwise)
      out += *otherwise;
    else
      return fail(errc::not_found,
                  "line " + line_of(open) + ": {{" + std::string(name) +
                      "}} has no value for this node (give the node one, or write {{" + std::string(name) +
                      "|default}})",
                  "boot.template");
    at = p + 2;
  }
  if (at < text.size()) out += text.substr(at);
  return out;
}

} // namespace netlab::boot
