-- Follows the boots of nodes as the bastion sees them, step by step, until each has come as far as is asked.
local netlab = require "netlab"

local follow = {}

local order = { "discover", "offer", "ack", "tftp", "http", "script", "kernel", "initrd", "uki", "config", "image", "ready" }
local rank = {}
for i, stage in ipairs(order) do
  rank[stage] = i
end

-- The latest boot of a node: by its MAC, or by its address, which tells where an image asks without one.
local function boot_of(boots, node)
  local found
  for _, boot in ipairs(boots) do
    if boot.mac == node.mac or (boot.address and boot.address == node.ip) then found = boot end
  end
  return found
end

local function line_of(step)
  return ("%-8s %s%s"):format(step.stage, step.detail or "", step.done == false and " (not done)" or "")
end

---`nodes` as lab.launch returns them; options: command (a list: prints `netlab status --boots --json`), stage, deadline,
---pace, tell(node, boot, step). Returns { there = { name, … }, stuck = { { node, furthest, why, remedy }, … } }.
function follow.boots(nodes, options)
  local stage = options.stage or "image"
  if not rank[stage] then
    return nil, netlab.err.new("invalid", ("no stage %q of a boot: %s"):format(stage, table.concat(order, ", ")), "stage")
  end
  local told, there, last, trouble = {}, {}, {}, nil
  local function look()
    local got, err = netlab.process.run { argv = options.command, timeout = "30s" }
    local status = got and got.exit_code == 0 and netlab.json.decode(got.output)
    if not status then
      -- The bastion may be on its way up.
      trouble = got and (got.errors:match "[^\n]+" or ("%s gives no status"):format(options.command[1])) or err.message
      return
    end
    trouble = nil
    for _, node in ipairs(nodes) do
      local boot = boot_of(status.boots or {}, node)
      for i, step in ipairs(boot and boot.steps or {}) do
        local key = ("%s/%s/%d"):format(node.name, boot.started, i)
        if not told[key] then
          told[key] = true
          options.tell(node, ("%7.1f s  %s"):format(step.at, line_of(step)))
        end
      end
      last[node.name] = boot
      if boot and (rank[boot.furthest] or 0) >= rank[stage] then there[node.name] = true end
    end
  end
  netlab.timeout(options.deadline or "10m", function()
    repeat
      look()
      local missing = false
      for _, node in ipairs(nodes) do missing = missing or not there[node.name] end
      if missing then netlab.sleep(options.pace or "2s") end
    until not missing
    return true
  end)
  local out = { there = {}, stuck = {}, trouble = trouble }
  for _, node in ipairs(nodes) do
    local boot = last[node.name]
    if there[node.name] then
      out.there[#out.there + 1] = node.name
    else
      out.stuck[#out.stuck + 1] = { node = node.name, furthest = boot and boot.furthest, why = boot and boot.why and boot.why.cause, remedy = boot and boot.why and boot.why.remedy }
    end
  end
  return out
end

return follow
