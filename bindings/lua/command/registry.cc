#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "command.h"
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
  std::printf("cache      %s, %s tags\n", in_words(s["cache"]).c_str(), in_words(s["images"]).c_str());
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
    std::printf("%s: %s of %s, %s\n", in_words(job["what"]).c_str(), in_words(job["finished"]).c_str(),
                in_words(job["steps"]).c_str(), format_size(number(job, "bytes")).c_str());
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

} // namespace

int registry(const api&, const global_options& given, words w) {
  auto global = given;
  global.colour = global.colour && ::isatty(1) == 1;
  bool as_json = w.take_switch("--json");
  auto name = w.take_value("--name");
  json platforms = json::array();
  while (auto each = w.take_value("--platform")) platforms.push_back(*each);
  json images = json::array();
  while (auto file = w.take_value("--file")) {
    auto found = images_of_file(*file);
    if (!found) return give_up(found.error().message, bad_usage);
    for (const auto& each : *found) images.push_back(each);
  }
  auto action = w.take_next();
  if (!action) return usage_error("registry takes ls, stat, gc, verify, prefetch, pin or unpin");
  static constexpr std::string_view actions[] = {"ls", "stat", "gc", "verify", "prefetch", "pin", "unpin"};
  if (std::find(std::begin(actions), std::end(actions), *action) == std::end(actions)) {
    auto near = nearest_name(*action, actions);
    return usage_error("registry has no \"" + printable(*action) + "\"" +
                       (near ? " (did you mean \"" + std::string(*near) + "\"?)" : ""));
  }
  while (auto image = w.take_next()) images.push_back(*image);
  if (auto extra = w.leftover({"--json", "--name", "--platform", "--file"}); !extra.empty())
    return usage_error(extra);
  bool takes_images = *action == "prefetch" || *action == "pin" || *action == "unpin";
  if (takes_images == images.empty())
    return usage_error(takes_images ? "registry " + *action + " needs an image"
                                    : "registry " + *action + " takes no image");
  json request = {{"verb", "registry"}, {"action", *action}, {"images", images}, {"platforms", platforms}};
  if (name) request["name"] = *name;
  auto got = ask_instance(global, request);
  if (!got) return give_up(got.error().message, got.error().code == errc::unreachable ? unreachable : failed);
  if (*action == "prefetch" || *action == "verify") return follow(global, request, *got, as_json);
  if (as_json) {
    std::printf("%s\n", got->dump(2).c_str());
  } else if (*action == "ls") {
    print_images(global, *got);
  } else if (*action == "stat") {
    print_stat(global, *got);
  } else if (*action == "gc") {
    std::printf("%s left the cache\n", format_size(number(*got, "bytes")).c_str());
  } else {
    for (const auto& each : images) std::printf("%s %s\n", action->c_str(), in_words(each).c_str());
  }
  return ok;
}

} // namespace netlab::lua::command
