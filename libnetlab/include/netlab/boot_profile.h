#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netlab/boot_client.h"
#include "netlab/mac.h"
#include "netlab/node.h"
#include "netlab/result.h"

namespace netlab::boot {

using text_map = std::map<std::string, std::string>;

// Who asks for a document, and how.
struct document_request {
  node_identity node;
  std::string role;
  text_map labels;   // of the recipe's node
  text_map metadata; // of the group that matched
  text_map query;    // first value of each parameter, decoded
  std::string profile;
  std::string group;
  std::string path; // "/config", "/generic", "/ignition", "/cloud"
};

// A document: its text, or the absolute path of a file that holds it.
struct document {
  std::string text;
  std::string file;
  bool literal = false; // true: {{name}} stays as it is
  std::string content_type = "text/plain; charset=utf-8";
};
using document_reply_fn = std::function<void(result<document>)>;
// Makes a document for one node; `reply` runs once, on the same thread, now or later.
using document_fn = std::function<void(const document_request&, document_reply_fn)>;

// What to boot. Values are asset names (relative to the assets folder), absolute paths or URLs.
struct boot_files {
  std::optional<std::string> kernel;
  std::optional<std::vector<std::string>> initrd;
  std::optional<std::vector<std::string>> args;
  std::optional<std::string> uki;
  std::optional<std::string> cmdline; // a file whose text is kernel arguments, in front of `args`
};

struct profile {
  std::string name; // letters, digits, ".", "_" and "-"
  boot_files common;
  std::map<std::string, boot_files> variants; // "amd64", "arm64" …: what is set there overrides `common`
  document_fn config, generic, ignition, cloud;
};

// A selector holds when one of its patterns matches the machine's value ("*" and "?" are wildcards; an empty
// pattern matches an absent value).
struct selector {
  std::string key; // mac, uuid, serial, arch, name, role, firmware, a label or a query parameter
  std::vector<std::string> any;
};

struct group {
  std::string name;
  std::vector<selector> match; // empty: the default group
  std::string profile;
  text_map metadata; // nested keys joined by "."
};

// A profile as one processor gets it.
struct resolved_files {
  std::string arch;        // "amd64", …
  std::string kernel, uki; // exactly one is set
  std::vector<std::string> initrd, args;
  std::string cmdline; // empty: none
};
// errc::not_found when the profile has nothing for this processor, errc::invalid when it is incomplete.
result<resolved_files> resolve(const profile& p, cpu processor);

// What is known about a machine, for matching and for templates.
struct machine_facts {
  std::vector<mac_address> macs;
  std::string uuid, serial, name, role, address;
  boot::cpu cpu = cpu::unknown;
  std::string firmware; // "x64-uefi" …
  text_map labels, query;
};

// The winner: most selectors first, then the recipe's order; null when none matches.
const group* select_group(std::span<const group> groups, const machine_facts& facts);
// Whether one group matches; exposed because `netlab check` explains near misses.
bool matches(const group& g, const machine_facts& facts);

using template_lookup = std::function<std::optional<std::string>(std::string_view name)>;

// Fills in `{{name}}`, or `{{name|default}}` where the name may be empty. `\{{` is a plain `{{`; `${…}` and
// braces that hold no name (`{{ .Values.x }}`, `{{- if`) stay as they are. An unknown name, or one without a
// value and default, is an error that names it and its line.
result<std::string> render(std::string_view text, const template_lookup& lookup);

} // namespace netlab::boot
