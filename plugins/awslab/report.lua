-- Plans and prices as text, and saved plans.
local netlab = require "netlab"
local model = require "awslab.model"
local prices = require "awslab.prices"

local report = {}

local plan = {}
plan.__index = plan
report.plan = plan

local marks = { create = "+", change = "~", replace = "!", keep = " " }

local function money(value)
  if value == 0 then
    return "$0"
  end
  return (value >= 0.095 and "$%.2f" or "$%.4f"):format(value)
end
report.money = money

---The plan as lines.
function plan:text()
  local out = {}
  local lab = self.lab
  out[#out + 1] = ("lab %s in %s: %d to create, %d to change, %d to replace, %d kept"):format(lab.name, lab.region, self.counts.create, self.counts.change, self.counts.replace, self.counts.keep)
  -- What costs something has its price beside it, and below it a second one.
  local width = 0
  for _, step in ipairs(self.steps) do
    width = math.max(width, (step.resource.cost or step.resource.disk) and #step.resource.key or 0)
  end
  for _, step in ipairs(self.steps) do
    local r = step.resource
    local costs = {}
    for _, c in ipairs { r.cost or {}, r.disk or {} } do
      if c.hourly then
        local month = c.session and "" or (", %s/month"):format(money(c.monthly or c.hourly * prices.month))
        costs[#costs + 1] = ("%s/h%s (%s)"):format(money(c.hourly), month, c.note or "")
      end
    end
    if step.action ~= "keep" or #costs > 0 then
      local pad = #costs > 0 and (" "):rep(width - #r.key + 2) or ""
      out[#out + 1] = ("  %s %s%s%s"):format(marks[step.action], r.key, pad, costs[1] or "")
    end
    for i = 2, #costs do
      out[#out + 1] = (" "):rep(width + 6) .. costs[i]
    end
    for _, d in ipairs(step.differences) do
      out[#out + 1] = d.have == "" and ("      %s: %s"):format(d.field, tostring(d.want)) or ("      %s: %s → %s"):format(d.field, tostring(d.have), tostring(d.want))
    end
  end
  for _, old in ipairs(self.replaced) do
    out[#out + 1] = ("  - %s has been replaced, and goes"):format(old.word)
  end
  for _, key in ipairs(self.unwanted) do
    out[#out + 1] = ("  ? %s has the lab's tag and is not declared"):format(key)
  end
  if not self.part then
    out[#out + 1] = ("cost: %s/h while the bastion runs, %s/month; budget $%.2f"):format(money(self.cost.hourly), money(self.cost.monthly), lab.budget)
  end
  if self.cost.session > 0 then
    out[#out + 1] = ("nodes: %s/h while they run, %s for an evening of %g h"):format(money(self.cost.session), money(self.cost.session * self.hours), self.hours)
  end
  if self.cost.monthly > lab.budget then
    out[#out + 1] = ("the lab costs more than its budget: %s of $%.2f a month"):format(money(self.cost.monthly), lab.budget)
  end
  for _, line in ipairs(self.part and { prices.age(lab.now, lab.region, lab.refreshed) } or report.notes(lab)) do
    out[#out + 1] = line
  end
  return table.concat(out, "\n")
end

---A text that is the same for the same plan.
function plan:digest()
  local out = {}
  for _, step in ipairs(self.steps) do
    local line = step.action .. " " .. step.resource.key
    for _, d in ipairs(step.differences) do
      line = line .. "|" .. d.field .. "|" .. tostring(d.have) .. "|" .. tostring(d.want)
    end
    out[#out + 1] = line .. "|" .. netlab.json.encode(step.resource.spec)
  end
  return netlab.digest.sha256(table.concat(out, "\n"))
end

---Saves it, for apply { plan = path }.
function plan:save(path)
  return netlab.fs.write(path, netlab.json.encode { lab = self.lab.name, region = self.lab.region, digest = self:digest(), text = self:text() })
end

function report.load(path)
  local text, err = netlab.fs.read(path)
  if not text then
    error(err, 0)
  end
  local data, problem = netlab.json.decode(text)
  if not data or type(data.digest) ~= "string" then
    error(netlab.err.new("invalid", path .. " is no saved plan" .. (problem and ": " .. problem.message or ""), "plan"), 0)
  end
  return data.digest
end

---What the operator should know of the declaration: ways out and what they cost, the trial's end, old prices.
function report.notes(o)
  local out = {}
  local region = o.region
  local _, own = prices.of(region, "public_ipv4", o.refreshed)
  if not own then
    out[#out + 1] = ("no prices of %s are known: those of eu-west-1 are shown"):format(region)
  end
  out[#out + 1] = prices.age(o.now, region, o.refreshed)
  local gateway, address = prices.of(region, "nat_gateway", o.refreshed), prices.of(region, "public_ipv4", o.refreshed)
  if o.nat == "gateway" then
    out[#out + 1] = ("the NAT gateway is never free: %s a month with its address, idle; nat = \"instance\" is the bastion, %s/h while nodes run"):format(money((gateway + address) * prices.month), money(address))
  end
  if o.nat == "instance" then
    out[#out + 1] = ("way out of the private subnets: the bastion, %s/h for its public address while nodes run; a NAT gateway would be %s a month, %.0f times the budget"):format(
      money(address), money((gateway + address) * prices.month), (gateway + address) * prices.month / math.max(o.budget, 0.01))
  end
  local b = o.bastion
  if b then
    local disk, gb = model.gib(b.disk), prices.of(region, "gp3_gb_month", o.refreshed)
    out[#out + 1] = ("the bastion's volume of %d GB holds a registry cache of up to %d GB (registry.proxy { cache = { max_size } }); 10 GB more would be %s a month"):format(
      disk, math.max(1, disk - 2), money(gb * 10 * model.bastion_hours(o) / prices.month))
    local hours = model.bastion_hours(o)
    local cost = prices.of(region, b.type, o.refreshed)
    if b.type == prices.trial.type and hours * 1 > 0 and prices.trial_runs(o.now) then
      out[#out + 1] = ("the %s trial ends on %s: the bastion then costs %s a month at %.1f h a day; t4g.nano would be %s"):format(
        prices.trial.type, prices.trial.ends, money(cost * hours), hours * 12 / 365, money(prices.of(region, "t4g.nano", o.refreshed) * hours))
    elseif b.type == prices.trial.type then
      out[#out + 1] = ("the %s trial ended on %s: the bastion costs %s a month at %.1f h a day; t4g.nano would be %s, fewer hours less"):format(
        prices.trial.type, prices.trial.ends, money(cost * hours), hours * 12 / 365, money(prices.of(region, "t4g.nano", o.refreshed) * hours))
    end
  end
  if o.nodes and o.nodes.type == "t4g.small" then
    out[#out + 1] = "t4g.small has 2 GiB and no nested virtualisation: Talos and small workloads fit, CozyStack and KubeVirt do not"
  end
  return out
end

return report
