-- A lab in AWS as a declaration. There is no state file: the tags on what exists are the state, a scan is the truth.
local netlab = require "netlab"
local adopt = require "awslab.adopt"
local claim = require "awslab.claim"
local follow = require "awslab.follow"
local inventory = require "awslab.inventory"
local kinds = require "awslab.kinds"
local model = require "awslab.model"
local preflight = require "awslab.preflight"
local prices = require "awslab.prices"
local replace = require "awslab.replace"
local report = require "awslab.report"
local run = require "awslab.run"
local strangers = require "awslab.strangers"
local userdata = require "awslab.userdata"

netlab.plugin "machines"
local machines = require "machines.facts"

local lab = {}
lab.__index = lab

local function begin(self)
  local out = run.new(self.options)
  local o = self.options
  out.pace, out.patience = run.seconds(o.pace), run.seconds(o.visibility)
  out.visibility, out.limit = out.patience, run.seconds(o.deadline)
  return out
end

-- Failures travel as raised errors inside; a method returns nil, err.
local function guarded(fn)
  return function(self, options)
    local ok, got, err = pcall(fn, self, options or {})
    if ok then
      return got, err
    elseif type(got) == "table" and got.code then
      if got.code == "cancelled" then
        error(got, 0)
      end
      return nil, got
    end
    return nil, netlab.err.new("io", tostring(type(got) == "table" and got.message or got), "awslab")
  end
end

-- The account, before anything else: wrong credentials, an expired session and a wrong clock show here.
local function identify(self, r)
  local who = r:call("sts", "get_caller_identity", {})
  local wanted = self.options.account
  if wanted and who.account ~= wanted then
    error(netlab.err.new("denied", ("the credentials are of account %s, lab %s belongs into %s: use another profile"):format(who.account, self.options.name, wanted), "account"), 0)
  end
  self.account = who.account
  return who
end

local function total(steps, wanted)
  local hourly, monthly, session = 0, 0, 0
  for _, step in ipairs(steps) do
    for _, cost in ipairs { step.resource.cost or {}, step.resource.disk or {} } do
      if cost.session then
        session = session + (cost.hourly or 0)
      else
        hourly = hourly + (cost.hourly or 0)
        monthly = monthly + (cost.monthly or (cost.hourly or 0) * prices.month)
      end
    end
  end
  return { hourly = hourly, monthly = monthly, session = session, wanted = wanted }
end

local function make_plan(self, r, resources, part, hours)
  r:scan()
  local steps = r:plan(resources)
  local counts = { create = 0, change = 0, keep = 0, replace = 0 }
  for _, step in ipairs(steps) do
    counts[step.action] = counts[step.action] + 1
  end
  local wanted = {}
  for _, res in ipairs(resources) do
    wanted[res.key] = true
  end
  local unwanted = {}
  for key, raw in pairs(r.live) do
    local word = key:match "^[^/]+"
    local tags = kinds.tag_map(raw)
    -- Instances and volumes of the group, and the nodes of an evening, come and go by themselves.
    if not part and not wanted[key] and not tags["netlab:session"] and word ~= "instance" and word ~= "volume" and key ~= "role/" .. self.options.name .. "-reaper" then
      unwanted[#unwanted + 1] = key
    end
  end
  table.sort(unwanted)
  local plan = { steps = steps, counts = counts, cost = total(steps), unwanted = unwanted, resources = resources, replaced = r.replaced, calls = r.calls, lab = self.options, run = r, part = part, hours = hours or 3 }
  plan.code = counts.create + counts.change + counts.replace + #r.replaced > 0 and 2 or 0
  return setmetatable(plan, report.plan)
end

local function everything(self)
  local all = model.resources(self.options)
  if self.options.nodes then
    local o = self.options
    all[#all + 1] = { kind = "role", name = o.name .. "-reaper", key = "role/" .. o.name .. "-reaper", needs = {},
      spec = { service = "scheduler.amazonaws.com", policy = netlab.json.encode { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = { "ec2:TerminateInstances" }, Resource = "*", Condition = { StringEquals = { ["aws:ResourceTag/netlab:lab"] = o.name } } } } } } }
  end
  return all
end

---What apply would do, and what it costs; { nodes = n, hours = h }: what launch would. Changes nothing. plan.code: 0
---nothing to do, 2 there is.
lab.plan = guarded(function(self, options)
  local r = begin(self)
  identify(self, r)
  if options.nodes then
    return make_plan(self, r, model.nodes(self.options, options.nodes, { user_data = function() return "" end }), true, options.hours)
  end
  return make_plan(self, r, everything(self))
end)

local function carry_out(self, r, plan, options, part)
  replace.refuse(plan, options.replace)
  local began = netlab.uptime()
  local tell = options.tell or function() end
  local out = { made = {}, gone = {}, failed = {} }
  local function went(word, raw)
    out.gone[#out.gone + 1] = word .. " " .. raw[kinds[word].id]
    tell({ action = "delete", resource = { key = out.gone[#out.gone] } }, netlab.uptime() - began)
  end
  if replace.clear(r, plan, went) then
    plan = make_plan(self, r, plan.resources, part)
  end
  local failed = r:perform(plan.steps, tell)
  if not next(failed) then
    replace.sweep(r, went)
  end
  out.plan, out.seconds, out.calls = plan, netlab.uptime() - began, r.calls
  for _, step in ipairs(plan.steps) do
    if step.done then
      out.made[#out.made + 1] = step.resource.key
    end
  end
  for key, err in pairs(failed) do
    if not err.skipped then
      out.failed[#out.failed + 1] = { key = key, message = err.message, code = err.code }
    end
  end
  table.sort(out.failed, function(a, b) return a.key < b.key end)
  out.code = #out.failed > 0 and 1 or #out.made + #out.gone > 0 and 2 or 0
  return out
end

local function outputs(self, r)
  local out = { region = self.options.region, account = self.account }
  for key, raw in pairs(r.live) do
    out[key] = raw[kinds[key:match "^[^/]+"].id]
  end
  local b = self.options.bastion
  local outer = r.live["network_interface/bastion-public"] or r.live["network_interface/bastion"]
  if b and outer then
    local six = outer.ipv6_addresses
    out.bastion_ipv6 = six and six[1] and six[1].ipv6_address or nil
    out.bastion_ip = b.address
  end
  return out
end

-- Takes the claim around what changes things; a failure leaves it for the next start, success ends it.
local function claimed(self, options, resources, part, again)
  local r = begin(self)
  identify(self, r)
  local plan = make_plan(self, r, resources, part)
  if part then
    local inside = {}
    for _, res in ipairs(resources) do
      inside[res.key] = true
    end
    for _, res in ipairs(resources) do
      for _, need in ipairs(res.needs) do
        if not inside[need] and not r.live[need] then
          error(netlab.err.new("not_found", ("lab %s has no %s: raise the lab first"):format(self.options.name, need), "awslab"), 0)
        end
      end
    end
  end
  if options.plan then
    local saved = report.load(options.plan)
    if saved ~= plan:digest() then
      error(netlab.err.new("conflict", "the lab is no longer as it was when the plan was saved: plan again", "plan"), 0)
    end
  end
  if plan.code == 0 and not r.claim_seen then
    return { made = {}, failed = {}, seconds = 0, code = 0, calls = r.calls, outputs = outputs(self, r), plan = plan }
  end
  replace.refuse(plan, options.replace)
  if plan.counts.create + plan.counts.change + plan.counts.replace > 0 then
    preflight(r, plan.steps)
  end
  return claim.hold(r, plan.steps, function()
    -- Under the claim nobody else changes it: this is the plan that counts.
    plan = make_plan(self, r, resources, part)
    local got = carry_out(self, r, plan, options, part)
    plan = got.plan
    if again and got.code ~= 1 then
      again(r, got)
    end
    got.outputs = outputs(self, r)
    -- What was made must show before the claim goes: the next run sees it, or the claim.
    if got.code ~= 1 then
      local last
      local shown, why = pcall(r.await, r, "what was made", function()
        r:scan()
        last = nil
        for _, step in ipairs(plan.steps) do
          if not kinds[step.resource.kind].of and not r.live[step.resource.key] then
            last = step.resource.key
          end
        end
        return not last
      end, r.visibility + 5)
      if not shown then
        error(last and netlab.err.new("timeout", ("%s was made and does not show: is visibility too short?"):format(last), "awslab") or why, 0)
      end
    end
    return got
  end)
end

---Makes what is missing and changes what differs. { code, made, failed, outputs }: 0 nothing to do, 2 done, 1 failed.
lab.apply = guarded(function(self, options)
  return claimed(self, options, everything(self))
end)

---What is not as declared: a list of { key, action, differences }; empty when all is.
lab.drift = guarded(function(self)
  local r = begin(self)
  identify(self, r)
  local plan = make_plan(self, r, everything(self))
  local out = {}
  for _, step in ipairs(plan.steps) do
    if step.action ~= "keep" then
      out[#out + 1] = { key = step.resource.key, action = step.action, differences = step.differences }
    end
  end
  for _, key in ipairs(plan.unwanted) do
    out[#out + 1] = { key = key, action = "not declared", differences = {} }
  end
  return out
end)

local function expiry_name(self)
  return "netlab-" .. self.options.name .. "-expiry"
end

---Starts nodes: { count, image, user_data = function(name, index), expires = "2026-11-21T22:00:00Z" }.
lab.launch = guarded(function(self, options)
  local o = self.options
  if not o.nodes then
    error(netlab.err.new("invalid", "the lab declares no nodes", "nodes"), 0)
  end
  if not (options.image or o.nodes.image) then
    error(netlab.err.new("invalid", "no image for the nodes: name an AMI, of iPXE or of Talos (--image ami-…)", "nodes.image"), 0)
  end
  local count = options.count or 1
  local nodes = model.nodes(o, count, {
    image = options.image, expires = options.expires, public_address = options.public_address,
    user_data = options.user_data or function(name) return userdata.ipxe(o.bastion and o.bastion.address or "", name) end,
  })
  local out = claimed(self, options, nodes, true, function(r)
    if not options.expires then
      return
    end
    local ids = {}
    for _, node in ipairs(nodes) do
      if node.kind == "instance" then ids[#ids + 1] = r:id(node.key) end
    end
    local role = r:call("iam", "get_role", { role_name = o.name .. "-reaper" }).role
    local input = { name = expiry_name(self), schedule_expression = "at(" .. options.expires:sub(1, 19) .. ")", flexible_time_window = { mode = "OFF" },
      target = { arn = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", role_arn = role.arn, input = netlab.json.encode { InstanceIds = ids } }, action_after_completion = "DELETE" }
    r:await(expiry_name(self), function()
      r:try("scheduler", "delete_schedule", { name = expiry_name(self) })
      local ok, err = r:try("scheduler", "create_schedule", input)
      if ok then return true end
      -- The role is a moment old, or an earlier answer was lost.
      if err.code ~= "exists" and err.code ~= "conflict" and err.code ~= "invalid" and not err.ambiguous then error(err, 0) end
    end, r.visibility + 10)
  end)
  out.nodes = {}
  for i = 1, count do
    local name = ("%s-%d"):format(o.nodes.name, i)
    local raw, eni = out.plan.run.live["instance/" .. name], out.plan.run.live["network_interface/" .. name]
    out.nodes[i] = { name = name, id = raw and raw.instance_id, ip = eni and eni.private_ip_address, mac = eni and eni.mac_address }
  end
  return out
end)

---Follows the boots of what launch returned, as the bastion's `netlab status --boots --json` tells them:
---{ nodes, ssh = { host, user } or command, stage = "image", deadline = "10m", tell = function(node, line) }: see follow.lua.
lab.follow = guarded(function(_, options)
  return follow.boots(options.nodes, options)
end)

---The nodes that run, with their addresses and the time they have left.
lab.nodes = guarded(function(self)
  local r = begin(self)
  r:scan { instance = true, network_interface = true }
  local out = {}
  for key, raw in pairs(r.live) do
    local tags = kinds.tag_map(raw)
    if key:find "^instance/" and tags["netlab:session"] then
      out[#out + 1] = { name = tags["netlab:name"], id = raw.instance_id, state = raw.state.name, ip = raw.private_ip_address, type = raw.instance_type, launched = raw.launch_time, expires = tags["netlab:expires-at"] }
    end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end)

---Ends the nodes whose time is over; the bastion does it every minute. Returns their names.
lab.reap = guarded(function(self)
  local now, ids, names = netlab.time(), {}, {}
  local all, err = self:nodes_of()
  if not all then
    error(err, 0)
  end
  for _, node in ipairs(all) do
    if node.expires and node.expires < now and node.state ~= "shutting-down" then
      ids[#ids + 1], names[#names + 1] = node.id, node.name
    end
  end
  if #ids > 0 then
    begin(self):call("ec2", "terminate_instances", { instance_ids = ids })
  end
  return names
end)
lab.nodes_of = lab.nodes

-- By its whole name: lab "a" has nothing to do with the schedule of lab "a-b".
local function end_schedule(self, r)
  local ok, err = r:try("scheduler", "delete_schedule", { name = expiry_name(self) })
  if not ok and err.code ~= "not_found" then error(err, 0) end
end

-- The AWS Budget that cost-check makes. Who may not see budgets has made none, and the inventory says that it could not look.
local function end_budget(self, r)
  for _, budget in ipairs(inventory.budgets(r) or {}) do
    if budget.budget_name == inventory.budget_name(self.options.name) and kinds.tag_map(budget)["netlab:lab"] == self.options.name then
      r:call("budgets", "delete_budget", { account_id = budget.account_id, budget_name = budget.budget_name })
    end
  end
end

local function teardown(self, options, keep)
  local r = begin(self)
  r.thorough = true
  identify(self, r)
  r:scan()
  local began = netlab.uptime()
  local out = { gone = {}, failed = {}, code = 0 }
  local some = false
  for _, list in pairs(r.found) do
    some = some or #list > 0
  end
  if not some then
    end_schedule(self, r)
    if not keep then end_budget(self, r) end
    return out
  end
  return claim.hold(r, {}, function()
    r:scan()
    local blocking = keep and {} or strangers(r, r.found)
    if #blocking > 0 then
      local words = {}
      for i, s in ipairs(blocking) do
        words[i] = ("%s %s%s"):format((s.kind:gsub("_", " ")), s.id, s.name and (" (%s)"):format(s.name) or "")
      end
      claim.release(r)
      error(netlab.err.new("conflict", ("nothing was deleted: in the network of lab %s there is what does not belong to it: %s. Remove it, or adopt it"):format(self.options.name, table.concat(words, ", ")), "awslab"), 0)
    end
    end_schedule(self, r)
    if not keep then end_budget(self, r) end
    local tell = options.tell or function() end
    local failed
    for _ = 1, 3 do
      failed = r:teardown(r.found, function(word, raw)
        local id = raw[kinds[word].id]
        out.gone[#out.gone + 1] = word .. " " .. id
        tell(word, id)
      end, keep)
      if #failed > 0 then
        break
      end
      -- What shows late is found by looking again.
      local left = 0
      r:scan()
      for word, list in pairs(r.found) do
        for _, raw in ipairs(list) do
          if not kinds.tag_map(raw)["netlab:claim"] and not (keep and keep(word, raw)) then left = left + 1 end
        end
      end
      if left == 0 then
        break
      end
    end
    for _, f in ipairs(failed) do
      out.failed[#out.failed + 1] = { key = f.key, message = f.err.message, code = f.err.code }
    end
    out.seconds, out.calls = netlab.uptime() - began, r.calls
    out.code = #out.failed > 0 and 1 or 2
    return out
  end)
end

---What lies in the lab's network without being the lab's, and would stop destroy: a list of { kind, id, name }.
lab.strangers = guarded(function(self)
  local r = begin(self)
  r:scan()
  return strangers(r, r.found)
end)

---Deletes everything that has the lab's tag, in the order that its dependencies ask for. Stops before the first
---deletion when something else lies in its network.
lab.destroy = guarded(function(self, options)
  return teardown(self, options)
end)

---Ends an evening: nodes, their addresses and the public address go, the lab stays. { stop_bastion = true } stops that.
lab.end_session = guarded(function(self, options)
  local b = self.options.bastion
  local out = teardown(self, options, function(_, raw)
    return kinds.tag_map(raw)["netlab:session"] == nil
  end)
  if options.stop_bastion and b then
    local r = begin(self)
    local ok, err = r:try("autoscaling", "update_auto_scaling_group", { auto_scaling_group_name = b.group, min_size = 0, desired_capacity = 0 })
    if not ok and err.code ~= "not_found" then error(err, 0) end
    out.stopped = ok and b.group or nil
  end
  return out
end)

---Starts the bastion now, whatever its schedule says; it ends by its schedule.
lab.start_bastion = guarded(function(self)
  local b = self.options.bastion
  begin(self):call("autoscaling", "update_auto_scaling_group", { auto_scaling_group_name = b.group, min_size = 0, max_size = 1, desired_capacity = 1 })
  return true
end)

---Takes existing resources under the lab's tags: { ["security_group/bastion-sg"] = "sg-…", … }. Shows the differences;
---nothing is tagged without `yes = true`.
lab.adopt = guarded(function(self, options)
  local r = begin(self)
  identify(self, r)
  r:scan()
  return adopt(r, everything(self), options)
end)

---What one hour, GB or month of `what` costs in the lab's region, by the refreshed prices when there are any.
function lab:price(what)
  return (prices.of(self.options.region, what, self.options.refreshed))
end

---How old those prices are, as a sentence; nil when they are young.
function lab:prices_age()
  return prices.age(netlab.time(), self.options.region, self.options.refreshed)
end

---Everything in the account that exists or costs, by region: { regions, items, unseen, hourly, monthly }.
lab.inventory = guarded(function(self, options)
  return inventory.take(begin(self), options)
end)

---The regions that are enabled in the account.
lab.regions = guarded(function(self)
  local out = {}
  for i, r in ipairs(begin(self):call("ec2", "describe_regions", {}).regions) do
    out[i] = r.region_name
  end
  return out
end)

---What has the lab's tag anywhere, and what it costs a month; empty after a teardown. `unseen` is what the credentials
---may not look at, as in the inventory: then nothing is proven. What no teardown deletes has `stays`.
lab.leftovers = guarded(function(self)
  local got = inventory.take(begin(self), { all_regions = true })
  local out, listed = { monthly = 0, regions = got.regions, unseen = got.unseen }, {}
  for _, item in ipairs(got.items) do
    if item.lab == self.options.name then
      item.stays = not kinds.goes[item.kind] or nil
      out[#out + 1] = item
      listed[item.kind .. "/" .. item.id] = true
      out.monthly = out.monthly + item.monthly
    end
  end
  -- Adopted ones have other paths, and a bucket that was just made has no tags yet.
  local r = begin(self)
  r.thorough = true
  for _, word in ipairs { "role", "instance_profile", "bucket" } do
    local kind = kinds[word]
    for _, raw in ipairs(kind.find(r)) do
      if not listed[word .. "/" .. raw[kind.id]] then
        out[#out + 1] = { kind = word, id = raw[kind.id], region = kind.global and "global" or self.options.region, lab = self.options.name, monthly = 0, hourly = 0, raw = raw }
      end
    end
  end
  return out
end)

local function create(given)
  given.now = netlab.time()
  for key, group in pairs(given.groups) do
    group.name = key
  end
  local refreshed, no_prices = prices.read(given.prices)
  if no_prices then
    return nil, no_prices
  end
  given.refreshed = refreshed
  if given.bucket and given.bucket.package then
    local content, why = netlab.fs.read(given.bucket.package)
    if not content then
      return nil, why
    end
    given.bucket.sha256, given.bucket.size = netlab.digest.sha256(content), #content
    given.bucket.key = ("packages/%s/%s"):format(given.bucket.sha256:sub(1, 16), given.bucket.package:match "[^/]+$")
  end
  for _, name in ipairs(given.nodes and given.nodes.runs or {}) do
    local known, why = machines.known_software(name)
    if not known then
      return nil, netlab.err.new("invalid", "nodes.runs: " .. why, "nodes")
    end
  end
  local ok, err = model.check(given)
  if not ok then
    return nil, err
  end
  return setmetatable({ options = given }, lab)
end

local methods = {}
for _, name in ipairs { "plan", "apply", "drift", "launch", "follow", "nodes", "reap", "strangers", "destroy", "end_session", "start_bastion", "adopt", "inventory", "leftovers", "regions", "price", "prices_age" } do
  methods[name] = function(self, given)
    return lab[name](self, given)
  end
end

return {
  lab = {
    help = "A lab in AWS: VPC, subnets, gateways, groups, bastion and nodes, with prices; the tags are the state.",
    example = 'local aws = netlab.aws.client { region = "eu-west-1" }\n'
      .. 'local lab = netlab.plugin("awslab").lab {\n'
      .. '  name = "lab", aws = aws, region = "eu-west-1", cidr = "10.20.0.0/16",\n'
      .. '  subnets = { public = { cidr = "10.20.1.0/24", public = true }, private = { cidr = "10.20.13.0/24" } },\n'
      .. '  groups = { ["bastion-sg"] = { ingress = { { cidr = "2001:db8::1/128", port = 22 } } } },\n'
      .. "}\n"
      .. "netlab.main(function() return lab:apply().code end)",
    options = require "awslab.options",
    create = create,
    check = function(self)
      local nodes = self.options.nodes
      local machine = nodes and machines.machine(nodes.type)
      return machine and machines.misfits(nodes.name, nodes.type, machine, nodes.runs) or {}
    end,
    methods = methods,
  },
}
