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

-- The command that asks the bastion by SSH: { host, user, identity, known_hosts, accept_host_key }. It never asks
-- anything back, and takes no host key that nobody vouched for unless it is told to.
local function over_ssh(ssh)
  local out = { "ssh", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2",
    "-o", "StrictHostKeyChecking=" .. (ssh.accept_host_key and "accept-new" or "yes") }
  if ssh.known_hosts then
    out[#out + 1], out[#out + 2] = "-o", "UserKnownHostsFile=" .. ssh.known_hosts
  end
  if ssh.identity then
    out[#out + 1], out[#out + 2] = "-i", ssh.identity
  end
  out[#out + 1] = ssh.user .. "@" .. ssh.host
  out[#out + 1] = (ssh.user == "root" and "" or "sudo -n ") .. "netlab status --boots --json"
  return out
end

-- What does not get better by waiting, and what to do. Any other trouble may be a bastion on its way up.
local function hopeless(ssh, errors)
  local at = ssh.user .. "@" .. ssh.host
  if errors:find("REMOTE HOST IDENTIFICATION HAS CHANGED", 1, true) then
    return ("%s has another host key than it had. The Auto Scaling group makes a new machine every day: compare the key with what aws ec2 get-console-output shows, then ssh-keygen -R %s%s"):format(
      at, ssh.host, ssh.known_hosts and " -f " .. ssh.known_hosts or "")
  elseif errors:find("Host key verification failed", 1, true) then
    return ("nobody has vouched for the host key of %s: connect once with ssh and compare it with what aws ec2 get-console-output shows, or take it unseen with --accept-host-key"):format(at)
  elseif errors:find("Permission denied", 1, true) then
    return ("%s lets nobody in with this key: see --user and --identity, and lab.lua --key"):format(at)
  elseif errors:find("a password is required", 1, true) then
    return ("%s may not use sudo without a password: see --user"):format(at)
  end
end

---`nodes` as lab.launch returns them; options: ssh, or command (a list: prints `netlab status --boots --json`), stage,
---deadline, pace, tell(node, text), and waiting(text) for what is in the way. Returns { there = { name, … }, stuck =
---{ { node, furthest, why, remedy }, … }, trouble }, or nil, err when waiting is of no use.
function follow.boots(nodes, options)
  local stage = options.stage or "image"
  if not rank[stage] then
    return nil, netlab.err.new("invalid", ("no stage %q of a boot: %s"):format(stage, table.concat(order, ", ")), "stage")
  end
  local command = options.command or over_ssh(options.ssh)
  local told, there, last, trouble, never = {}, {}, {}, nil, nil
  local function in_the_way(text)
    if text ~= trouble and options.waiting then options.waiting(text) end
    trouble = text
  end
  local function look()
    local got, err = netlab.process.run { argv = command, timeout = "30s" }
    local status = got and got.exit_code == 0 and netlab.json.decode(got.output)
    if not status then
      never = got and options.ssh and hopeless(options.ssh, got.errors)
      in_the_way(got and (got.errors:match "[^\r\n]+" or ("%s gives no status"):format(command[1])) or err.message)
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
      if missing and not never then netlab.sleep(options.pace or "2s") end
    until never or not missing
    return true
  end)
  if never then
    return nil, netlab.err.new("denied", never, "follow")
  end
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
