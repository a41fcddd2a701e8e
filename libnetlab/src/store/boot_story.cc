#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "netlab/text.h"
#include "netlab/timeline.h"

namespace netlab {

namespace {

std::string stage_word(boot_stage stage) {
  std::string out(to_string(stage));
  // DHCP and TFTP words stand in capitals in every other tool the operator knows.
  if (stage <= boot_stage::http)
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  return out;
}

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

} // namespace

std::string format_story(const boot_record& boot, const std::optional<diagnosis>& why) {
  std::string out = printable(boot.label);
  if (boot.node.mac && boot.label != boot.node.mac->to_string()) out += "  " + boot.node.mac->to_string();
  if (boot.node.address) out += "  " + boot.node.address->to_string();
  if (!boot.architecture.empty()) out += "  " + printable(boot.architecture);
  out += "  " + format_time(boot.started, false) + "\n";

  std::size_t time_width = 0, stage_width = 0;
  std::vector<std::string> times;
  for (const auto& step : boot.steps) {
    char text[48];
    std::snprintf(text, sizeof text, "+%.3fs", seconds(step.offset));
    times.emplace_back(text);
    time_width = std::max(time_width, times.back().size());
    stage_width = std::max(stage_width, to_string(step.event.stage).size());
  }
  for (std::size_t n = 0; n < boot.steps.size(); ++n) {
    const auto& step = boot.steps[n];
    const auto& e = step.event;
    auto stage = stage_word(e.stage);
    std::string line = "  " + std::string(time_width - times[n].size(), ' ') + times[n] + "  " + stage +
                       std::string(stage_width - stage.size(), ' ') + "  " + printable(e.detail);
    if (e.detail.empty() && e.bytes > 0) line += format_size(e.bytes);
    if (e.detail.empty() && e.elapsed > duration{}) line += " in " + format_elapsed(e.elapsed);
    if (!e.done) line += " (not finished)";
    if (step.repeats > 1) {
      char more[64];
      std::snprintf(more, sizeof more, " (%u times, last +%.3fs)", step.repeats, seconds(step.last));
      line += more;
    }
    if (!e.message_id.empty()) line += " [" + e.message_id + "]";
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (boot.omitted > 0 && n + 1 == boot.steps.size() / 2)
      out += "  … " + std::to_string(boot.omitted) + " steps left out\n";
  }
  if (why) {
    out += "  why:  " + why->cause + " [" + why->what->id + "]\n";
    if (!why->remedy.empty()) out += "  do:   " + why->remedy + "\n";
  }
  return out;
}

json to_json(const boot_record& boot, const std::optional<diagnosis>& why) {
  json out = {{"node", printable(boot.label)}};
  if (boot.node.mac) out["mac"] = boot.node.mac->to_string();
  if (boot.node.uuid) out["uuid"] = boot.node.uuid->to_string();
  if (!boot.node.serial.empty()) out["serial"] = printable(boot.node.serial);
  if (boot.node.address) out["address"] = boot.node.address->to_string();
  if (!boot.architecture.empty()) out["architecture"] = printable(boot.architecture);
  out["started"] = format_time(boot.started);
  out["furthest"] = to_string(boot.furthest);
  out["ready"] = boot.ready();
  out["idle"] = seconds(boot.idle);
  if (boot.omitted > 0) out["omitted"] = boot.omitted;
  if (boot.returned)
    out["returned"] = {{"program", printable(boot.returned->program)},
                       {"after", seconds(boot.returned->after)},
                       {"times", boot.returned->times}};
  auto& steps = out["steps"] = json::array();
  for (const auto& step : boot.steps) {
    const auto& e = step.event;
    json line = {{"at", seconds(step.offset)}, {"stage", to_string(e.stage)}};
    if (!e.detail.empty()) line["detail"] = printable(e.detail);
    if (e.bytes > 0) line["bytes"] = e.bytes;
    if (e.elapsed > duration{}) line["elapsed"] = seconds(e.elapsed);
    if (!e.done) line["done"] = false;
    if (step.repeats > 1) {
      line["repeats"] = step.repeats;
      line["last"] = seconds(step.last);
    }
    if (!e.message_id.empty()) line["id"] = e.message_id;
    steps.push_back(std::move(line));
  }
  if (why) out["why"] = {{"id", why->what->id}, {"cause", why->cause}, {"remedy", why->remedy}};
  return out;
}

json to_json(const history_event& e) {
  json out = {{"time", format_time(e.time)}, {"node", printable(e.node)}};
  if (!e.mac.empty()) out["mac"] = printable(e.mac);
  if (!e.address.empty()) out["address"] = printable(e.address);
  if (!e.architecture.empty()) out["architecture"] = printable(e.architecture);
  out["stage"] = printable(e.stage);
  if (!e.detail.empty()) out["detail"] = printable(e.detail);
  if (e.bytes > 0) out["bytes"] = e.bytes;
  if (e.elapsed > duration{}) out["elapsed"] = seconds(e.elapsed);
  if (!e.done) out["done"] = false;
  if (!e.id.empty()) out["id"] = printable(e.id);
  return out;
}

} // namespace netlab
