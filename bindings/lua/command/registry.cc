#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "command_line.h"
#include "host/control.h"
#include "instance.h"
#include "netlab/registry.h"
#include "netlab/text.h"
#include "netlab/units.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

int give_up(const std::string& why, int code) {
  std::fprintf(stderr, "netlab: %s\n", why.c_str());
  return code;
}

std::uint64_t number(const json& row, const char* key) {
  return row.contains(key) && row[key].is_number() ? row[key].get<std::uint64_t>() : 0;
}

void print_images(const global_options& global, const json& rows) {
  table out{{"image", "size", "used", "digest", ""}};
  for (const auto& r : rows) {
    std::string about = r["pinned"].get<bool>() ? "pinned" : "";
    if (auto missing = number(r, "missing")) // other platforms of an index, or what was evicted
      about += (about.empty() ? "" : ", ") + counted(missing, "part") + " not here";
    out.push_back({in_words(r["image"]), format_size(number(r, "bytes")), in_words(r["used"]),
                   in_words(r["digest"]).substr(0, 19), about});
  }
  if (out.size() == 1) std::printf("the cache is empty\n");
  print_table(stdout, global, "images", out);
}

void print_stat(const global_options& global, const json& s) {
  std::printf("cache      %s, %s\n", in_words(s["cache"]).c_str(),
              counted(number(s, "images"), "tag").c_str());
  std::printf("requests   %s, %s of them answered from the cache\n", in_words(s["requests"]).c_str(),
              in_words(s["hit_ratio"]).c_str());
  std::printf("bytes      %s sent, %s fetched, %s saved\n\n", format_size(number(s, "sent_bytes")).c_str(),
              format_size(number(s, "fetched_bytes")).c_str(), format_size(number(s, "saved_bytes")).c_str());
  table out{{"upstream", "requests", "fetched", "quota left", ""}};
  for (const auto& u : s["upstreams"]) {
    std::string quota;
    if (u.contains("quota_left"))
      quota = in_words(u["quota_left"]) + (u.contains("quota") ? " of " + in_words(u["quota"]) : "");
    std::string about = u.contains("trouble") ? in_words(u["trouble"]) : "";
    if (u.contains("blocked_for")) about = "left alone for " + in_words(u["blocked_for"]) + "; " + about;
    out.push_back(
        {in_words(u["upstream"]), in_words(u["requests"]), format_size(number(u, "bytes")), quota, about});
  }
  print_table(stdout, global, "upstreams", out);
}

// Looks at a job until it has ended, and prints what it says.
int follow(const global_options& global, json request, json job, bool as_json) {
  std::size_t shown = 0;
  request["action"] = "job";
  request["id"] = job["id"];
  bool screen = ::isatty(2) == 1 && !as_json;
  while (true) {
    const auto& lines = job["lines"];
    if (!as_json)
      for (; shown < lines.size(); ++shown) std::printf("%s\n", in_words(lines[shown]).c_str());
    std::fflush(stdout);
    if (screen)
      std::fprintf(stderr, "\r%s of %s, %s \x1b[K", in_words(job["finished"]).c_str(),
                   in_words(job["steps"]).c_str(), format_size(number(job, "bytes")).c_str());
    if (job["done"].get<bool>()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    auto next = ask_instance(global, request);
    if (!next) return give_up(next.error().message, unreachable);
    job = std::move(*next);
  }
  if (screen) std::fprintf(stderr, "\r\x1b[K");
  if (as_json)
    std::printf("%s\n", job.dump(2).c_str());
  else
    std::printf("%s: %s of %s, %s%s\n", in_words(job["what"]).c_str(), in_words(job["finished"]).c_str(),
                in_words(job["steps"]).c_str(), format_size(number(job, "bytes")).c_str(),
                job["what"] == "verify" && shown == 0 ? ", all as their digests say" : "");
  return job["failed"].get<bool>() ? failed : ok;
}

result<std::vector<std::string>> images_of_file(const std::string& path) {
  std::string text;
  if (path == "-") {
    char buffer[65536];
    while (auto n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  } else {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(errc::not_found, path + " cannot be read", "registry.prefetch");
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  auto out = netlab::registry::images_in(text);
  if (out.empty()) return fail(errc::invalid, path + " names no image", "registry.prefetch");
  return out;
}

struct registry_options {
  std::vector<std::string> images, files, platforms;
  std::string name, talos, kubernetes;
  bool json = false;
};

int registry(const global_options& global, const std::string& action, const registry_options& wanted) {
  auto images = wanted.images;
  for (const auto& file : wanted.files) {
    auto found = images_of_file(file);
    if (!found) return give_up(found.error().message, bad_usage);
    images.insert(images.end(), found->begin(), found->end());
  }
  if (!wanted.talos.empty()) {
    auto found = netlab::registry::talos_images(wanted.talos, wanted.kubernetes, wanted.platforms);
    if (!found) return give_up(found.error().message, bad_usage);
    images.insert(images.end(), found->begin(), found->end());
  } else if (!wanted.kubernetes.empty()) {
    return usage_error("--kubernetes goes with --talos");
  }
  bool takes_images = action == "prefetch" || action == "pin" || action == "unpin";
  if (takes_images && images.empty()) return usage_error("registry " + action + " needs an image");
  json request = {
      {"verb", "registry"}, {"action", action}, {"images", images}, {"platforms", wanted.platforms}};
  if (!wanted.name.empty()) request["name"] = wanted.name;
  auto got = ask_instance(global, request);
  if (!got) return give_up(got.error().message, got.error().code == errc::unreachable ? unreachable : failed);
  if (action == "prefetch" || action == "verify") return follow(global, request, *got, wanted.json);
  if (wanted.json) {
    std::printf("%s\n", got->dump(2).c_str());
  } else if (action == "ls") {
    print_images(global, *got);
  } else if (action == "stat") {
    print_stat(global, *got);
  } else if (action == "gc") {
    std::printf("%s removed\n", format_size(number(*got, "bytes")).c_str());
  } else {
    for (const auto& each : images) std::printf("%s: %sned\n", in_words(each).c_str(), action.c_str());
  }
  return ok;
}

} // namespace

void add_registry(command_line& all) {
  all.group("registry", "the registry proxy of a running instance: what its cache holds and how it does");
  auto wanted = std::make_shared<registry_options>();
  auto add = [&](const std::string& action, const std::string& operands,
                 const std::string& help) -> CLI::App& {
    auto& c = all.add("registry " + action, operands, help, [action, wanted](const global_options& global) {
      return registry(global.for_output(), action, *wanted);
    });
    c.add_option("--name", wanted->name, "of one proxy, where the recipe has several")->option_text("NAME");
    c.add_flag("--json", wanted->json, "everything, for programs");
    return c;
  };
  auto take_images = [&](CLI::App& c) {
    c.add_option("IMAGE", wanted->images, "");
    c.add_option("--file", wanted->files,
                 "images from there too: one a line, or Kubernetes manifests; \"-\": the standard input")
        ->option_text("LIST")
        ->allow_extra_args(false);
  };
  add("ls", "", "the images in the cache");
  add("stat", "", "requests, bytes saved, quotas and troubles of each upstream");
  add("gc", "", "lets go of what the cache's size does not allow, and of parts that expired");
  add("verify", "", "reads everything and compares it with its digest");
  auto& prefetch = add("prefetch", "IMAGE…", "fetches what will be needed while the upstream is away");
  take_images(prefetch);
  prefetch.add_option("--platform", wanted->platforms, "of images for several (default: the recipe's)")
      ->option_text("OS/ARCH")
      ->allow_extra_args(false);
  prefetch.add_option("--talos", wanted->talos, "what nodes of this release of Talos pull, v1.11.5")
      ->option_text("VERSION");
  prefetch
      .add_option("--kubernetes", wanted->kubernetes, "instead of the one that Talos comes with, v1.34.1")
      ->option_text("VERSION");
  take_images(add("pin", "IMAGE…", "keeps images whatever the limit says"));
  take_images(add("unpin", "IMAGE…", "lets go of them"));
}

} // namespace netlab::lua::command
