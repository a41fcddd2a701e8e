#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/asset_library.h"
#include "netlab/digest.h"
#include "netlab/log.h"
#include "netlab/runtime.h"
#include "netlab/units.h"

namespace netlab::fetch {

// A Talos image as an Image Factory makes it: what the schematic asks for, and of which release.
struct factory_model {
  std::string factory;   // "https://factory.talos.dev", without a slash at the end
  std::string schematic; // the JSON document to post, from write_schematic(); empty with `id`
  std::string id;        // of a schematic that the factory knows already, 64 hexadecimal digits
  std::string version;   // "v1.11.3"
};

// One file that comes from elsewhere.
struct wanted_file {
  std::string name; // in the folder: "debian/vmlinuz"; unique
  // http://…, https://…, oci://host/repository:tag#file (oci+http:// for a registry without TLS), or, with
  // `factory`, the file's name there: "kernel-amd64".
  std::string url;
  std::optional<checksum> expected;
  std::string checksums; // URL of a file as sha256sum and sha512sum write it, which lists this one
  std::string arch;      // of an OCI image that is made for several: "amd64"
  std::shared_ptr<const factory_model> factory;
  std::string set; // files of one set are put in place together; empty: alone
};
// What is wrong with it, before anything is asked of anybody.
result<void> check(const wanted_file& file);

struct credential {
  std::string username, password;
};

struct fetch_options {
  std::string folder;                        // absolute; made when it is not there
  std::size_t concurrency = 4;               // transfers at a time
  duration refresh = std::chrono::hours(24); // between two looks whether a file without checksum has changed
  duration first_retry = std::chrono::seconds(5), last_retry = std::chrono::minutes(15);
  duration stall_time = std::chrono::seconds(30); // without a byte, a transfer is given up and resumed later
  std::uint64_t reserve = 16u << 20;              // bytes of the file system that are left to others
  bool verify = true;                             // certificates
  std::string ca_file;                            // instead of the system's
  std::map<std::string, credential> credentials;  // by host, "ghcr.io" or "10.0.0.1:5000"
};

enum class file_phase { waiting, fetching, ready, failed };
std::string_view to_string(file_phase phase);

// How one file stands.
struct file_state {
  std::string name;
  file_phase phase = file_phase::waiting;
  bool usable = false;               // the copy in the folder may be served
  std::uint64_t bytes = 0, size = 0; // of the transfer under way; size 0: unknown
  std::string digest;                // "sha256:…" of the usable copy
  std::string failure;               // why the last attempt did not succeed
  std::string next_attempt;          // when the next one is, in UTC; empty: not known
  // "34 % of 20.1 MiB", "the source answers 404; next attempt in 40 s": for people.
  std::string words() const;
};

// Keeps files of a folder equal to their sources. Each goes to a file beside its place, which survives
// a restart and is resumed; is checked; is synced; and takes its place in one step. A copy that fails its
// checksum is deleted and never takes the place. What was there before stays until then, and stays when
// the source is down or the disk is full; failed attempts are repeated with growing pauses.
//
// Lives on the loop of `world` and is used on its thread only: it reads, writes and syncs there, so that
// this is a loop of its own where anybody else would wait for it. Destroying it ends every transfer; what
// was begun is resumed by the next one. `on_change` runs on the same thread, never inside a call.
class fetcher {
public:
  fetcher(const runtime& world, fetch_options options, std::function<void(const file_state&)> on_change);
  ~fetcher();
  fetcher(const fetcher&) = delete;
  fetcher& operator=(const fetcher&) = delete;

  // Before start(). Several with one name: the first counts.
  void add(wanted_file file);
  // Looks at the folder, then fetches what is missing or old.
  void start();

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

// What the fetcher tells, where files are served: fetchers live on a loop of their own. Owns nothing but the
// last state of every file and who waits for it; one loop's thread.
class library final : public asset_library {
public:
  explicit library(netlab::scheduler& scheduler) : scheduler_(scheduler) {}
  // From now on `name` is one of those that are fetched.
  void expect(const std::string& name);
  void update(const file_state& state);
  const asset_progress* find(std::string_view name) const override;
  void wait(const std::string& name, duration limit, std::function<void(result<void>)> fn) override;
  std::vector<file_state> states() const; // by name

private:
  struct waiting {
    std::function<void(result<void>)> fn;
    timer deadline;
  };
  struct entry {
    file_state state;
    asset_progress progress;
    std::map<std::uint64_t, waiting> waits;
  };
  void answer(const std::string& name, std::uint64_t id);
  netlab::scheduler& scheduler_;
  std::map<std::string, entry, std::less<>> entries_;
  std::uint64_t last_wait_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// --- the Image Factory --------------------------------------------------------------------------

struct schematic {
  std::vector<std::string> extensions;  // "siderolabs/tailscale"
  std::vector<std::string> kernel_args; // added to the image's own
  std::string overlay_name, overlay_image;
  std::string overlay_options; // JSON object or empty
};
// The document that POST /schematics takes; equal schematics are equal text.
std::string write_schematic(const schematic& s);

struct factory_files {
  std::string kernel, initramfs, cmdline, uki;
};
// The names of a model's files for one processor ("amd64", "arm64").
factory_files files_of_model(const std::string& platform, const std::string& arch, bool secureboot);

// The room's message table.
std::span<const message* const> messages();

} // namespace netlab::fetch
