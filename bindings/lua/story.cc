#include "story.h"

#include <nlohmann/json.hpp>

#include "host.h"

namespace netlab::lua {

namespace {

constexpr auto look_every = std::chrono::seconds(5);
// After this much silence nobody waits for the machine any more.
constexpr auto watched_for = std::chrono::minutes(15);

std::string who(const node_identity& node) {
  if (!node.name.empty()) return node.name;
  if (node.mac) return node.mac->to_string();
  if (node.uuid) return node.uuid->to_string();
  if (node.address) return node.address->to_string();
  return node.serial.empty() ? "?" : node.serial;
}

} // namespace

story::story(host& h) : host_(h) {}
story::~story() = default;

void story::start() {
  auto& world = host_.world();
  timeline_options options;
  if (!host_.state_folder().empty()) options.history = host_.state_path("timeline.sqlite");
  timeline_ = std::make_unique<timeline>(options, world.clock, world.scheduler, world.log, world.metrics,
                                         &host_.nodes());
  host_.on_boot_event([this](const boot_event& e) { step(e); });
  host_.on_control("timeline", [this](const json& request) -> result<json> {
    auto node =
        request.contains("node") && request["node"].is_string() ? request["node"].get<std::string>() : "";
    json out = json::array();
    for (const auto& boot : timeline_->boots()) {
      auto facts = evidence(boot);
      auto why = diagnose(boot, facts);
      if (!node.empty() && boot.label != node &&
          timeline_->boot(node).value_or(boot_record{}).label != boot.label)
        continue;
      auto entry = to_json(boot, why);
      entry["text"] = format_story(boot, why);
      out.push_back(std::move(entry));
    }
    if (!node.empty() && out.empty())
      return fail(errc::not_found, "no boot of \"" + node + "\" was seen", "timeline");
    return out;
  });
}

boot_evidence story::evidence(const boot_record& boot) const {
  boot_evidence out;
  for (const auto& fn : evidence_) fn(boot, out);
  return out;
}

void story::step(const boot_event& event) {
  timeline_->record(event);
  auto& log = host_.world().log;
  // Refusals carry a catalogued message of their own room already; here they are a step like others.
  auto level = event.stage == boot_stage::refused || event.stage == boot_stage::nak ? log_level::warn
               : event.done                                                         ? log_level::info
                                                                                    : log_level::debug;
  if (log.enabled(level)) {
    log_fields fields;
    if (event.node.mac) fields.emplace_back("mac", event.node.mac->to_string());
    if (event.node.address) fields.emplace_back("ip", event.node.address->to_string());
    if (event.bytes) fields.emplace_back("bytes", std::to_string(event.bytes));
    if (event.elapsed.count()) fields.emplace_back("took", format_elapsed(event.elapsed));
    if (!event.message_id.empty()) fields.emplace_back("why", event.message_id);
    std::string stage(to_string(event.stage));
    log.write(level, who(event.node) + " " + stage + (event.detail.empty() ? "" : ": " + event.detail),
              fields);
  }
  if (!watch_) watch_ = host_.world().scheduler.every(look_every, [this] { look(); });
}

void story::look() {
  bool active = false;
  for (const auto& boot : timeline_->boots()) {
    if (boot.ready() || boot.idle > watched_for) continue;
    active = true;
    auto why = diagnose(boot, evidence(boot));
    if (!why || !why->what) continue;
    auto& said = explained_[boot.label];
    if (said == boot.started) continue;
    said = boot.started;
    host_.world().log(*why->what, why->cause + " " + why->remedy, {{"node", boot.label}});
  }
  if (explained_.size() > 4096) explained_.clear();
  if (!active) watch_.cancel();
}

} // namespace netlab::lua
