-- One run over a lab: calls with patience, the scan that is the only truth, and the order of things.
local netlab = require "netlab"
local connections = require "awslab.connections"
local kinds = require "awslab.kinds"
local replace = require "awslab.replace"

local run = {}
run.__index = run

local seconds_of = { ms = 0.001, s = 1, m = 60, h = 3600 }
local function seconds(text)
  local out = 0
  for number, unit in text:gmatch "([%d%.]+)(%a+)" do
    out = out + tonumber(number) * seconds_of[unit]
  end
  return out
end
run.seconds = seconds

-- What AWS tells of an image, asked once a run; nil, err when there is none.
function run:facts(image)
  local known, err = self.known_images[image], nil
  if not known then
    local got
    got, err = self:ask("ec2", "describe_images", { image_ids = { image } })
    known = got and got.images[1]
    self.known_images[image] = known
  end
  return known, err
end

function run.new(lab)
  return setmetatable({ lab = lab, aws = lab.aws, live = {}, kinds = kinds, calls = 0, images = {}, known_images = {}, foreign = {} }, run)
end

-- A call that returns nil, err. What was made a moment ago may not be known everywhere yet: while the run changes
-- things, "not found" is asked again for as long as that takes.
function run:try(service, action, input, options)
  local global = service == "iam" or service == "sts"
  local settings = { region = not global and (options and options.region or self.lab.region) or nil, pages = options and options.pages }
  local began = netlab.uptime()
  local pause = 0.05
  while true do
    self.calls = self.calls + 1
    local got, err = self.aws:call(service, action, input, settings)
    if got then
      return got
    end
    local late = err.code == "not_found" or (err.aws == "InvalidParameterValue" and err.message:find("Invalid IAM Instance Profile", 1, true))
    if not (late and self.patient) or options and options.at_once or netlab.uptime() - began > self.patience then
      return nil, err
    end
    netlab.sleep(("%dms"):format(math.max(1, pause * 1000)))
    pause = math.min(pause * 2, self.pace)
  end
end

function run:call(service, action, input, options)
  local got, err = self:try(service, action, input, options)
  if not got then
    error(err, 0)
  end
  return got
end

-- As try, but "not found" is an answer.
function run:ask(service, action, input)
  return self:try(service, action, input, { at_once = true })
end

function run:id(key)
  local raw = self.live[key]
  if not raw then
    error(netlab.err.new("not_found", key .. " is not there", "awslab"), 0)
  end
  return raw[kinds[key:match "^[^/]+"].id]
end

function run:path()
  return "/netlab/" .. self.lab.name .. "/"
end

function run:tags(r, more)
  local out = { ["netlab:lab"] = self.lab.name, ["netlab:name"] = r.name, Name = self.lab.name .. " " .. r.name }
  if r.session then
    out["netlab:session"] = "yes"
  end
  for _, map in ipairs { self.lab.tags or {}, more or {} } do
    for key, value in pairs(map) do
      out[key] = value
    end
  end
  return out
end

-- The same for the same resource of the same claim, whatever number of times netlab is started again.
-- On another ground it is another resource.
function run:token(r)
  local ground = {}
  for i, key in ipairs(kinds[r.kind].bound and kinds[r.kind].bound(r) or {}) do
    ground[i] = self.live[key] and self:id(key) or key
  end
  return netlab.digest.sha256(table.concat({ self.lab.name, self.claim and self.claim.id or "", r.key, netlab.json.encode(r.spec), table.concat(ground, " ") }, "\n")):sub(1, 48)
end

local parameters = {
  ["debian-12"] = "/aws/service/debian/release/12/latest/arm64",
  ["ubuntu-24.04"] = "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id",
}
function run:image(name)
  if name:find "^ami%-" then
    return name
  end
  if not self.images[name] then
    self.images[name] = self:call("ssm", "get_parameter", { name = parameters[name] or name }).parameter.value
  end
  return self.images[name]
end

-- Polls `fn` until it returns a value; its pauses grow from short to `pace`.
function run:await(r, fn, limit)
  local began, pause = netlab.uptime(), self.pace / 8
  limit = limit or self.limit
  while true do
    local got = fn()
    if got then
      return got
    end
    if netlab.uptime() - began > limit then
      error(netlab.err.new("timeout", ("%s was not done within %d s"):format(r.key or tostring(r), limit), "awslab"), 0)
    end
    netlab.sleep(("%dms"):format(math.max(1, math.floor(pause * 1000))))
    pause = math.min(pause * 1.5, self.pace)
  end
end

-- Waits for a state of AWS' own: returns the answer that shows it, or raises.
function run:wait(service, state, input)
  self.calls = self.calls + 1
  local got, err = self.aws[service]:wait(state, input, { region = self.lab.region, pace = self.lab.pace, deadline = self.lab.deadline })
  return got or error(err, 0)
end

-- ---- the scan: one call a kind, all at once

local function name_of(kind, raw)
  if kind.named then
    return raw[kind.id]
  end
  return kinds.tag_map(raw)["netlab:name"] or raw[kind.id]
end

-- Everything of the lab in one region, by kind: { kind = { raw, … } }. `which` may leave kinds out.
function run:find(which)
  local tasks, out = {}, {}
  for word, kind in pairs(kinds) do
    if type(kind) == "table" and kind.find and (not which or which[word]) then
      tasks[#tasks + 1] = netlab.spawn(function()
        local ok, list = pcall(kind.find, self)
        if not ok then
          return nil, list
        end
        return { word = word, list = list }
      end)
    elseif type(kind) == "table" and kind.action and (not which or which[word]) then
      tasks[#tasks + 1] = netlab.spawn(function()
        local input = { filters = { ["tag:netlab:lab"] = self.lab.name } }
        if word == "nat_gateway" then
          input = { filter = { { name = "tag:netlab:lab", values = { self.lab.name } } } }
        end
        local got, err = self.aws:call(kind.service or "ec2", kind.action, input, { region = not kind.global and self.lab.region or nil })
        self.calls = self.calls + 1
        if not got then
          return nil, err
        end
        local list = kind.flatten and kind.flatten(got[kind.list] or {}) or got[kind.list] or {}
        local here = {}
        for _, raw in ipairs(list) do
          if not kind.here or kind.here(raw) then
            here[#here + 1] = raw
          end
        end
        return { word = word, list = here }
      end)
    end
  end
  for _, task in ipairs(tasks) do
    local got, err = task:wait()
    if not got then
      for _, other in ipairs(tasks) do
        other:cancel()
      end
      error(err, 0)
    end
    out[got.word] = got.list
  end
  return out
end

-- The scan by "kind/name". The claim is not one of the lab's resources.
function run:scan(which)
  local found = self:find(which)
  self.found, self.extra, self.replaced = found, {}, {}
  local live = which and self.live or {}
  if not which then
    self.claim_seen = nil
  end
  for word, list in pairs(found) do
    local kind = kinds[word]
    for _, raw in ipairs(list) do
      local tags = kinds.tag_map(raw)
      if tags["netlab:claim"] then
        self.claim_seen = raw
      elseif tags["netlab:replaced"] then
        self.replaced[#self.replaced + 1] = { word = word, raw = raw }
      elseif tags["netlab:name"] or kind.named then
        local key = word .. "/" .. name_of(kind, raw)
        if not (kind.going and kind.going(raw)) then
          if live[key] and live[key][kind.id] ~= raw[kind.id] then
            self.extra[#self.extra + 1] = { key = key, raw = raw }
          else
            live[key] = raw
          end
        end
      end
    end
  end
  self.live = live
  return live
end

-- ---- the plan

---{ { action = "create" | "change" | "replace" | "keep" | "delete", resource, differences } … } in the list's order.
function run:plan(resources)
  local out = {}
  for _, r in ipairs(resources) do
    local kind = kinds[r.kind]
    local raw = self.live[r.of or kind.of and kind.of .. "/" .. r.name or r.key]
    local step = { resource = r, action = "create", differences = {} }
    if raw then
      step.differences = kind.differ and kind.differ(self, r, raw) or {}
      step.action = "keep"
      for _, d in ipairs(step.differences) do
        step.action = (d.replace or step.action == "replace") and "replace" or "change"
      end
    end
    out[#out + 1] = step
  end
  replace.spread(out)
  return out
end

-- ---- making

-- Makes what has no token of its own: after an answer that did not come, the resource may be there or show later.
function run:make(r)
  local kind = kinds[r.kind]
  for _ = 1, 5 do
    local ok, got = pcall(kind.create, self, r)
    if ok then
      return got
    end
    if type(got) ~= "table" then
      error(got, 0)
    end
    -- The name is taken: by us, in an attempt whose answer was lost.
    local taken = got.code == "exists"
    if not (got.ambiguous or taken) then
      error(got, 0)
    end
    local began = netlab.uptime()
    repeat
      self:scan({ [r.kind] = true })
      if self.live[r.key] then
        return self.live[r.key]
      end
      netlab.sleep(("%dms"):format(math.max(1, math.floor(self.pace * 250))))
    until netlab.uptime() - began > self.visibility
    if taken then
      error(netlab.err.new("exists", ("%s; it does not belong to lab %s: adopt it, or take another name"):format(got.message, self.lab.name), "awslab"), 0)
    end
  end
  error(netlab.err.new("timeout", r.key .. ": AWS gives no answer", "awslab"), 0)
end

-- Runs `fn(node)` for every node of a graph, each as soon as what it needs is done. Returns the errors by key.
function run.graph(nodes, fn)
  local tasks, failed, keys = {}, {}, {}
  for _, node in ipairs(nodes) do
    keys[node.key] = true
  end
  local function start(node)
    local task = netlab.spawn(function()
      for _, need in ipairs(node.needs) do
        if keys[need] then
          while not tasks[need] do
            netlab.sleep "1ms"
          end
          tasks[need]:wait()
          if failed[need] then
            failed[node.key] = { skipped = true, message = "needs " .. need }
            return true
          end
        end
      end
      local ok, err = pcall(fn, node)
      if not ok then
        failed[node.key] = type(err) == "table" and err or { message = tostring(err), code = "io" }
      end
      return true
    end)
    tasks[node.key] = task
  end
  for _, node in ipairs(nodes) do
    start(node)
  end
  for _, node in ipairs(nodes) do
    tasks[node.key]:wait()
  end
  return failed
end

function run:perform(steps, tell)
  local by_key, nodes = {}, {}
  for _, step in ipairs(steps) do
    by_key[step.resource.key] = step
    nodes[#nodes + 1] = step.resource
  end
  self.patient = true
  local failed = run.graph(nodes, function(r)
    local step, kind = by_key[r.key], kinds[r.kind]
    if step.action == "keep" then
      return
    end
    local began = netlab.uptime()
    if kind.of then
      kind.change(self, r)
    elseif step.action == "change" then
      local raw = self.live[r.key]
      local again = kind.change(self, r, raw)
      self.live[r.key] = again or raw
    else
      if step.action == "replace" then
        replace.retire(self, self.live[r.key], kind)
        self.replaced[#self.replaced + 1] = { word = r.kind, raw = self.live[r.key] }
      end
      local raw = self:make(r)
      self.live[r.key] = raw
      local again = kind.finish and kind.finish(self, r, raw)
      self.live[r.key] = again or raw
    end
    step.done = true
    tell(step, netlab.uptime() - began)
  end)
  self.patient = false
  return failed
end

-- ---- going

-- Who keeps a resource from being deleted, as words.
function run:blockers(word, raw)
  local filters = ({
    subnet = { ["subnet-id"] = raw.subnet_id }, security_group = { ["group-id"] = raw.group_id }, vpc = { ["vpc-id"] = raw.vpc_id },
    internet_gateway = raw.attachments and raw.attachments[1] and { ["vpc-id"] = raw.attachments[1].vpc_id } or nil,
  })[word]
  local out = {}
  if not filters then
    return out
  end
  for _, found in ipairs(word == "vpc" and connections(self, { raw.vpc_id }) or {}) do
    out[#out + 1] = ("%s (%s)"):format(found.id, (found.kind:gsub("_", " ")))
  end
  for _, e in ipairs(self:call("ec2", "describe_network_interfaces", { filters = filters }).network_interfaces) do
    local by = e.attachment and e.attachment.instance_id or e.interface_type ~= "interface" and e.interface_type or e.description
    out[#out + 1] = ("%s (%s%s)"):format(e.network_interface_id, e.status, by and by ~= "" and ", " .. by or "")
  end
  return out
end

local states = { exists = true, conflict = true, busy = true }

-- Deletes one resource and returns when it is gone.
function run:remove(word, raw, tell)
  local kind = kinds[word]
  local id = raw[kind.id]
  local began, pause = netlab.uptime(), self.pace / 8
  while true do
    local ok, err = pcall(kind.delete, self, raw)
    if ok or (type(err) == "table" and err.code == "not_found") then
      break
    end
    if type(err) ~= "table" then
      error(err, 0)
    end
    local busy = states[err.code] or err.aws == "InvalidParameterValue" or err.aws == "OperationNotPermitted" or err.aws == "AuthFailure" or err.aws == "ScalingActivityInProgress" or err.aws == "VolumeInUse" or err.ambiguous
    if not busy or netlab.uptime() - began > self.limit then
      local who = busy and self:blockers(word, raw) or {}
      local names = #who > 0 and "; in the way: " .. table.concat(who, ", ") or ""
      error(netlab.err.new(err.code, ("%s %s cannot be deleted: %s%s"):format(word, id, err.message, names), "awslab"), 0)
    end
    netlab.sleep(("%dms"):format(math.max(1, math.floor(pause * 1000))))
    pause = math.min(pause * 1.5, self.pace)
  end
  tell(word, raw)
end

-- Deletes what was found, step by step; waits until each step is gone.
function run:teardown(found, tell, keep)
  local function mine(word)
    local out = {}
    for _, raw in ipairs(found[word] or {}) do
      local tags = kinds.tag_map(raw)
      if not tags["netlab:claim"] and not (keep and keep(word, raw)) and not raw._gone then
        out[#out + 1] = raw
      end
    end
    return out
  end
  -- Groups that refer to each other hold each other: their rules go first.
  local failed = {}
  local function empty_groups()
    for _, raw in ipairs(mine "security_group") do
      for side, list in pairs { ingress = raw.ip_permissions, egress = raw.ip_permissions_egress } do
        for _, p in ipairs(list) do
          for _, pair in ipairs(p.user_id_group_pairs) do
            if pair.group_id ~= raw.group_id then
              local ok, err = self:try("ec2", "revoke_security_group_" .. side, { group_id = raw.group_id, ip_permissions = { { ip_protocol = p.ip_protocol, from_port = p.from_port, to_port = p.to_port, user_id_group_pairs = { { group_id = pair.group_id } } } } })
              if not ok and err.code ~= "not_found" and err.aws ~= "InvalidPermission.NotFound" then
                error(err, 0)
              end
            end
          end
        end
      end
    end
  end
  for _, step in ipairs(kinds.teardown) do
    if step[1] == "security_group" then
      empty_groups()
    elseif step[1] == "dhcp_options" then
      for _, raw in ipairs(mine "vpc") do
        self:try("ec2", "associate_dhcp_options", { dhcp_options_id = "default", vpc_id = raw.vpc_id })
      end
    end
    local nodes = {}
    for _, word in ipairs(step) do
      for _, raw in ipairs(mine(word)) do
        nodes[#nodes + 1] = { key = word .. " " .. raw[kinds[word].id], needs = {}, word = word, raw = raw }
      end
    end
    if #nodes > 0 then
      local went = run.graph(nodes, function(node)
        self:remove(node.word, node.raw, tell)
      end)
      for key, err in pairs(went) do
        failed[#failed + 1] = { key = key, err = err }
      end
      -- What ends slowly must have ended before the next step.
      local slow = {}
      for _, word in ipairs(step) do
        if word == "instance" or word == "nat_gateway" or word == "auto_scaling_group" then slow[word] = true end
      end
      if next(slow) and #failed == 0 then
        self:await(step[1], function()
          for word, list in pairs(self:find_gone(slow)) do
            for _, raw in ipairs(list) do
              if not (keep and keep(word, raw)) then return false end
            end
          end
          return true
        end)
      end
    end
    if #failed > 0 then
      break
    end
  end
  return failed
end

-- As find(), but groups that are being deleted still count.
function run:find_gone(which)
  local here = kinds.auto_scaling_group.here
  kinds.auto_scaling_group.here = nil
  local ok, got = pcall(self.find, self, which)
  kinds.auto_scaling_group.here = here
  if not ok then
    error(got, 0)
  end
  return got
end

return run
