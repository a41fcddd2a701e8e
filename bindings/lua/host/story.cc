#include "host/story.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/host.h"
#include "host/messages.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr auto look_every = std::chrono::seconds(5);
constexpr auto repeat_after = std::chrono::minutes(1);
constexpr std::size_t max_said = 4096;
// After this much silence nobody waits for the machine any more.
constexpr auto watched_for = std::chrono::minutes(15);

std::string who(const node_identity& node) {
  if (!node.name.empty()) return node.name;
  if (node.mac) return node.mac->to_string();
  if (node.uuid) return node.uuid->to_string();
  if (node.address) return node.address->to_string();
  return node.serial.empty() ? "?" : node.serial;
}

// A refusal is explained by the message that came with it: its remedy is of use, the general one is not.
std::optional<diagnosis> explain(const boot_record& boot, const boot_evidence& evidence, bool hears_ready) {
  auto why = diagnose(boot, evidence);
  // Silence after the config tells nothing where nobody reports that machines are ready.
  std::string_view id = why ? why->what->id : "";
  if (!hears_ready && (id == "NL-BOOT-113" || id == "NL-BOOT-116")) return {};
  if (id != "NL-BOOT-101" || boot.steps.back().event.stage != boot_stage::refused) return why;
  const message* said = nullptr;
  for (const auto& step : boot.steps) {
    if (step.event.stage != boot_stage::refused) continue;
    for (const auto* m : all_messages())
      if (step.event.message_id == m->id && *m->remedy) said = m;
  }
  if (said) {
    why->what = said;
    why->remedy = said->remedy;
  }
  return why;
}

// The last offer to firmware or a boot loader: "x64-uefi → snponly.efi", or only an address.
void read_offer(const boot_record& boot, boot_evidence& out) {
  constexpr std::string_view arrow = " → ";
  for (auto step = boot.steps.rbegin(); step != boot.steps.rend(); ++step) {
    const auto& e = step->event;
    if (e.stage != boot_stage::offer || e.architecture.empty()) continue;
    auto at = e.detail.find(arrow);
    out.boot_file_offered = at != std::string::npos;
    if (out.boot_file_offered) out.boot_file = e.detail.substr(at + arrow.size());
    return;
  }
}

bool any_ready(const std::vector<boot_record>& boots) {
  return std::any_of(boots.begin(), boots.end(), [](const auto& b) { return b.ready(); });
}

} // namespace

story::story(host& h) : host_(h) {
  host_.on_control("timeline", [this](const json& request) { return tell(request); });
}
story::~story() = default;

void story::start() {
  auto& world = host_.world();
  timeline_options options;
  if (!host_.state_folder().empty()) options.history = host_.state_path("timeline.sqlite");
  timeline_ = std::make_unique<timeline>(options, world.clock, world.scheduler, world.log, world.metrics,
                                         &host_.nodes());
  host_.on_boot_event([this](const boot_event& e) { step(e); });
}

result<json> story::tell(const json& request) const {
  json boots = json::array();
  std::string text;
  auto wanted = request.value("node", "");
  if (timeline_) {
    auto all = timeline_->boots();
    bool hears_ready = any_ready(all);
    for (const auto& boot : all) {
      const auto* known = wanted.empty() ? nullptr : host_.nodes().find(boot.node);
      if (!wanted.empty() && boot.label != wanted && !(known && known->name == wanted)) continue;
      auto why = explain(boot, evidence(boot), hears_ready);
      auto told = format_story(boot, why);
      boots.push_back(to_json(boot, why));
      boots.back()["text"] = told;
      text += (text.empty() ? "" : "\n") + told;
    }
  }
  if (!wanted.empty() && boots.empty())
    return fail(errc::not_found, "no boot of \"" + printable(wanted) + "\" was seen", "timeline");
  return json{{"boots", std::move(boots)}, {"text", std::move(text)}};
}

boot_evidence story::evidence(const boot_record& boot) const {
  boot_evidence out;
  read_offer(boot, out);
  for (const auto& fn : evidence_) fn(boot, out);
  return out;
}

bool story::boots(const boot_event& event) const {
  if (!event.node.mac) return true; // HTTP and TFTP know the machine by its address only
  bool asks = event.stage == boot_stage::discover || event.stage == boot_stage::offer ||
              event.stage == boot_stage::ack || event.stage == boot_stage::nak;
  return !asks || !event.architecture.empty() || booting_.contains(*event.node.mac);
}

std::vector<boot_record> story::boots() const {
  return timeline_ ? timeline_->boots() : std::vector<boot_record>{};
}

bool story::wants(const boot_event& event) const {
  bool passing = event.stage == boot_stage::discover || event.stage == boot_stage::offer;
  return !passing || boots(event) || host_.world().log.enabled(log_level::debug);
}

bool story::wants(const mac_address& mac, std::string_view architecture) const {
  return !architecture.empty() || booting_.contains(mac) || host_.world().log.enabled(log_level::debug);
}

void story::step(const boot_event& event) {
  bool boot = boots(event);
  if (boot) {
    if (event.node.mac) {
      if (booting_.size() > max_said) booting_.clear();
      booting_.insert(*event.node.mac);
    }
    timeline_->record(event);
  }
  auto& log = host_.world().log;
  // A machine that is refused asks again every few seconds; its log says it once a minute.
  if (!event.message_id.empty()) {
    auto& last = said_[who(event.node)];
    auto now = host_.world().clock.now();
    if (last.second == event.detail && now - last.first < repeat_after) return;
    if (said_.size() > max_said) said_.clear();
    said_[who(event.node)] = {now, event.detail};
  }
  // Refusals carry a catalogued message of their own room already; here they are a step like others.
  auto level = event.stage == boot_stage::refused || event.stage == boot_stage::nak ? log_level::warn
               // Of an exchange that is no boot, only the result is worth a line.
               : event.done && (boot || (event.stage == boot_stage::ack && !event.overheard))
                   ? log_level::info
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
  if (boot && !watch_) watch_ = host_.world().scheduler.every(look_every, [this] { look(); });
}

void story::look() {
  bool active = false;
  auto all = timeline_->boots();
  bool hears_ready = any_ready(all);
  for (const auto& boot : all) {
    if (boot.ready() || boot.idle > watched_for) continue;
    active = true;
    auto why = explain(boot, evidence(boot), hears_ready);
    if (!why || !why->what) continue;
    auto& said = explained_[boot.label];
    if (said == boot.started) continue;
    said = boot.started;
    host_.world().log(*why->what, why->cause + " " + why->remedy, {{"node", boot.label}});
  }
  if (explained_.size() > max_said) explained_.clear();
  if (!active) watch_.cancel();
}

} // namespace netlab::lua
