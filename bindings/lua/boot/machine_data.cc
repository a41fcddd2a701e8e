#include "boot/machine_data.h"

#include <nlohmann/json.hpp>

namespace netlab::lua {

json machine_data(const boot::machine_facts& facts, const std::optional<ip_address>& address) {
  json out = json::object();
  auto text = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) out[std::string(key)] = value;
  };
  text("name", facts.name);
  text("uuid", facts.uuid);
  text("serial", facts.serial);
  text("role", facts.role);
  text("ip", facts.address);
  text("firmware", facts.firmware);
  text("hostname", facts.hostname);
  if (address) out["address"] = address->to_string();
  if (facts.cpu != boot::cpu::unknown) out["arch"] = std::string(boot::to_string(facts.cpu));
  for (auto key : boot::told_by_loader())
    if (auto found = facts.query.find(std::string(key)); found != facts.query.end()) text(key, found->second);
  json macs = json::array();
  for (const auto& mac : facts.macs) macs.push_back(mac.to_string());
  if (!macs.empty()) out["mac"] = macs.front();
  out["macs"] = std::move(macs);
  out["labels"] = facts.labels;
  out["query"] = facts.query;
  return out;
}

} // namespace netlab::lua
