-- What the probes share: lines with the time since the start, and a failure that ends the run.
local netlab = require "netlab"

local steps = {}

local started

---Starts the clock of the lines.
function steps.begin()
  started = netlab.uptime()
end

---Prints one step of the chain.
---@param stage string
---@param text string
---@param at? number seconds since the start; now unless given
function steps.say(stage, text, at)
  print(("%+8.3fs  %-9s %s"):format(at or netlab.uptime() - started, stage, text))
end

---Prints why the chain stopped and what to look at; returns the exit code.
---@param stage string
---@param why string
---@param remedy? string
---@return integer
function steps.stop(stage, why, remedy)
  steps.say("STOPPED", ("at %s: %s"):format(stage, why))
  if remedy then
    print("           " .. remedy)
  end
  return 1
end

---@param bytes number
---@return string
function steps.size(bytes)
  if bytes < 1024 then
    return ("%d B"):format(bytes)
  elseif bytes < 1024 * 1024 then
    return ("%.1f KiB"):format(bytes / 1024)
  end
  return ("%.1f MiB"):format(bytes / 1024 / 1024)
end

---Prints the steps of a DHCP exchange.
---@param report table as netlab.dhcp.probe returns it
function steps.dhcp(report, since)
  for _, step in ipairs(report.steps) do
    steps.say(step.what, step.detail, since + step.at)
  end
end

-- What a recipe for such a network has.
local remedies = {
  server = "netlab.dhcp.server { range = … } gives addresses and boot options",
  proxy = "netlab.dhcp.proxy adds boot options and leaves addresses to that server",
}

---Prints what the offers say about the network.
---@param network table as netlab.dhcp.probe returns it
---@param as_boot_client boolean whether the probe asked what to boot
function steps.network(network, as_boot_client)
  print("network    " .. network.text)
  if as_boot_client and remedies[network.needs] then
    print("           " .. remedies[network.needs])
  end
end

---Seconds since the start.
function steps.now()
  return netlab.uptime() - started
end

return steps
