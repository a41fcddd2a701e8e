-- The claim: a launch template with the lab's name is made before anything else, because its name is unique and its
-- creation has an answer that cannot be missed. Its tags say who is at work and what is about to be made. A second
-- apply is kept out by it; one that is started again after a kill takes it over and knows what may still show up.
local netlab = require "netlab"
local kinds = require "awslab.kinds"

local claim = {}

-- The labs that this process is at work on, and how often it asked for a claim: each asking is a new one.
local held, asked = {}, 0

local function template_name(lab)
  return "netlab-claim-" .. lab.name
end

-- Who we are: this process of this boot of this machine.
local function ourselves()
  local stat = netlab.fs.read "/proc/self/stat" or ""
  local pid = stat:match "^(%d+)"
  local start = (stat:match "%)%s(.*)$" or ""):match(("%S+%s+"):rep(19) .. "(%S+)") or "0"
  local boot = (netlab.fs.read "/proc/sys/kernel/random/boot_id" or ""):match "%S+" or "?"
  return { boot = boot, pid = pid or "0", start = start, text = ("%s/%s/%s"):format(boot, pid or "0", start) }
end

-- Whether the holder of a claim is known to have ended: only on this machine can that be seen.
local function ended(holder)
  local boot, pid, start = holder:match "^([^/]+)/(%d+)/(%d+)$"
  local we = ourselves()
  if not boot or boot ~= we.boot then
    return false
  end
  local stat = netlab.fs.read("/proc/" .. pid .. "/stat")
  local now = stat and (stat:match "%)%s(.*)$" or ""):match(("%S+%s+"):rep(19) .. "(%S+)")
  return now ~= start or (pid == we.pid and start == we.start)
end

local function moment(offset)
  return tostring(math.floor(os.time() + offset))
end

-- Creates without tokens, in pieces that fit a tag. What somebody else has under that name is none of them.
local function intents(steps, foreign)
  local out, line = {}, ""
  for _, step in ipairs(steps) do
    local kind = kinds[step.resource.kind]
    if (step.action == "create" or step.action == "replace") and not kind.of and not (kind.named and kind.service ~= "s3") and not kind.token and not foreign[step.resource.key] then
      local word = step.resource.key
      if #line + #word > 240 then
        out[#out + 1], line = line, ""
      end
      line = line .. (line == "" and "" or " ") .. word
    end
  end
  out[#out + 1] = line ~= "" and line or nil
  local tags = {}
  for i, text in ipairs(out) do
    tags["netlab:intent:" .. i] = text
  end
  return tags
end

---Takes the claim, or raises with who holds it. The run then knows what an earlier one may have made.
function claim.take(run, steps)
  if held[run.lab.name] then
    error(netlab.err.new("busy", "this netlab is already at work on lab " .. run.lab.name, "awslab"), 0)
  end
  held[run.lab.name] = true
  local ok, err = pcall(claim.acquire, run, steps)
  if not ok then
    held[run.lab.name] = nil
    error(err, 0)
  end
end

function claim.acquire(run, steps)
  local lab, we = run.lab, ourselves()
  local tags = intents(steps, run.foreign)
  tags["netlab:lab"], tags["netlab:claim"], tags.Name = lab.name, we.text, "netlab claim of " .. lab.name
  tags["netlab:until"] = moment(lab.lease)
  local name = template_name(lab)
  local data = { instance_type = "t4g.nano" }
  local function create()
    asked = asked + 1
    return run:try("ec2", "create_launch_template", { launch_template_name = name, launch_template_data = data, client_token = netlab.digest.sha256(name .. we.text .. netlab.uptime() .. "/" .. asked):sub(1, 40),
      tag_specifications = { { resource_type = "launch-template", tags = tags } } })
  end
  -- Whether it is ours now; somebody else's is no mistake yet.
  local function created()
    local made, err = create()
    if made then
      run.claim = { id = made.launch_template.launch_template_id }
      claim.renew(run)
      return true
    elseif err.code ~= "exists" then
      error(err, 0)
    end
  end
  if created() then
    return true
  end
  -- It is there. It may not show yet, and it may go while we look.
  local there
  local began = netlab.uptime()
  while not there do
    local got = run:try("ec2", "describe_launch_templates", { launch_template_names = { name } })
    there = got and got.launch_templates[1]
    if not there then
      if created() then
        return true
      elseif netlab.uptime() - began > run.visibility * 2 + 5 then
        error(netlab.err.new("busy", "the lab's claim " .. name .. " is there but does not show", "awslab"), 0)
      end
      netlab.sleep(("%dms"):format(math.max(1, math.floor(run.pace * 250))))
    end
  end
  local old = kinds.tag_map(there)
  if old["netlab:lab"] ~= lab.name or not old["netlab:claim"] then
    error(netlab.err.new("exists", ("launch template %s is not lab %s's claim: rename one of them"):format(name, lab.name), "awslab"), 0)
  end
  local late = tonumber(old["netlab:until"] or "0") < os.time()
  if not late and not ended(old["netlab:claim"]) then
    error(netlab.err.new("busy", ("another netlab is at work on lab %s (claim %s, until %s): wait for it"):format(lab.name, there.launch_template_id, os.date("!%H:%M:%SZ", tonumber(old["netlab:until"]))), "awslab"), 0)
  end
  -- Of several that see the same old holder, one gets the next version's number.
  local seen = tonumber(there.latest_version_number)
  local version = run:call("ec2", "create_launch_template_version", { launch_template_id = there.launch_template_id, launch_template_data = data, client_token = netlab.digest.sha256(there.launch_template_id .. we.text .. seen):sub(1, 40) }).launch_template_version.version_number
  if tonumber(version) ~= seen + 1 then
    error(netlab.err.new("busy", "another netlab has just taken over lab " .. lab.name, "awslab"), 0)
  end
  run.claim = { id = there.launch_template_id }
  local expected = {}
  run.expected = {}
  for key, value in pairs(old) do
    if key:find "^netlab:intent:" then
      for word in value:gmatch "%S+" do
        expected[#expected + 1] = word
        run.expected[word] = true
      end
      -- What the earlier run meant to make stays noted until all of it is known.
      local n = key:match "%d+$"
      tags["netlab:intent:" .. (tonumber(n) + 10)] = value
    end
  end
  run:call("ec2", "create_tags", { resources = { there.launch_template_id }, tags = tags })
  claim.renew(run)
  -- The earlier run has ended; what it made shows within the time that tags need.
  began = netlab.uptime()
  while netlab.uptime() - began <= run.visibility do
    run:scan()
    local missing = false
    for _, key in ipairs(expected) do
      missing = missing or not run.live[key]
    end
    if not missing then
      break
    end
    netlab.sleep(("%dms"):format(math.max(1, math.floor(run.pace * 250))))
  end
  return true
end

-- Holds the claim for as long as the task that took it lives.
function claim.renew(run)
  run.claim.task = netlab.every(("%dms"):format(run.lab.lease * 333), function()
    run:try("ec2", "create_tags", { resources = { run.claim.id }, tags = { ["netlab:until"] = moment(run.lab.lease) } })
  end)
end

local function let_go(run)
  held[run.lab.name] = nil
  if run.claim and run.claim.task then
    run.claim.task:cancel()
  end
end

---After a failure: the claim stays, with what may still show, and the next start takes it over at once.
function claim.abandon(run)
  let_go(run)
  if run.claim then
    run:try("ec2", "create_tags", { resources = { run.claim.id }, tags = { ["netlab:until"] = "0" } })
    run.claim = nil
  end
end

---After success.
function claim.release(run)
  let_go(run)
  if not run.claim then
    return
  end
  local ok, err = run:try("ec2", "delete_launch_template", { launch_template_id = run.claim.id })
  run.claim = nil
  if not ok and err.code ~= "not_found" then
    error(err, 0)
  end
end

---Does `fn` under the claim. Its result's code 1, or an error, leaves the claim for the next start.
function claim.hold(run, steps, fn)
  claim.take(run, steps)
  local ok, out = pcall(fn)
  if not ok or out.code == 1 then
    claim.abandon(run)
  else
    claim.release(run)
  end
  return ok and out or error(out, 0)
end

return claim
