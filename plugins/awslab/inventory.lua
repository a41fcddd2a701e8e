-- Everything in an account that exists or costs money: region by region, all regions at once, and what belongs to none.
local netlab = require "netlab"
local kinds = require "awslab.kinds"
local prices = require "awslab.prices"

local inventory = {}

-- What a lab is made of, and what costs money in a VPC although no lab makes it.
local looked = {}
for _, word in ipairs { "instance", "volume", "elastic_ip", "nat_gateway", "network_interface", "vpc", "subnet", "internet_gateway", "egress_only_gateway", "vpc_endpoint", "route_table", "security_group", "dhcp_options", "launch_template", "key_pair", "auto_scaling_group" } do
  looked[word] = kinds[word]
end
looked.snapshot = { action = "describe_snapshots", list = "snapshots", id = "snapshot_id", input = { owner_ids = { "self" } } }
looked.load_balancer = { service = "elbv2", action = "describe_load_balancers", list = "load_balancers", id = "load_balancer_name" }
-- Schedules have no tags of their own: the lab is in the name.
looked.schedule = { service = "scheduler", action = "list_schedules", list = "schedules", id = "name",
  lab = function(raw) return raw.name:match "^netlab%-(.+)%-expiry$" end }

-- Amazon makes these for everybody, and they cost nothing. `theirs` are the ids of the default VPC and its DHCP options.
local function default(word, raw, theirs)
  return word == "vpc" and raw.is_default or word == "subnet" and raw.default_for_az or word == "security_group" and raw.group_name == "default"
    or word == "route_table" and (raw.associations or {})[1] and raw.associations[1].main
    or word == "internet_gateway" and theirs[((raw.attachments or {})[1] or {}).vpc_id or ""]
    or word == "dhcp_options" and theirs[raw.dhcp_options_id] and #(raw.tags or {}) == 0
end

-- Dollars an hour, and what there is to say of them. A public address counts where it is: an elastic one by itself, any other at its interface.
local function cost(run, region, word, raw)
  local function price(what)
    return prices.of(region, what, run.lab.refreshed) or 0
  end
  if word == "instance" then
    if raw.state.name ~= "running" then
      return 0, raw.state.name
    elseif raw.instance_type == prices.trial.type and prices.trial_runs(netlab.time()) then
      return 0, ("free in the %s trial, until %s"):format(prices.trial.type, prices.trial.ends)
    end
    return price(raw.instance_type)
  elseif word == "volume" then
    return price "gp3_gb_month" * (raw.size or 0) / prices.month
  elseif word == "snapshot" then
    return price "snapshot_gb_month" * (raw.volume_size or 0) / prices.month
  elseif word == "elastic_ip" then
    return price "public_ipv4"
  elseif word == "network_interface" then
    return raw.association and not raw.association.allocation_id and price "public_ipv4" or 0
  elseif word == "nat_gateway" then
    return raw.state ~= "deleting" and price "nat_gateway" or 0
  elseif word == "vpc_endpoint" then
    -- Those that are a route cost nothing, the others by the hour and zone.
    return raw.vpc_endpoint_type ~= "Gateway" and price "interface_endpoint" * math.max(1, #(raw.subnet_ids or {})) or 0
  elseif word == "load_balancer" then
    return price "load_balancer"
  elseif word == "bucket" then
    return 0, "costs by its size, which only listing it tells"
  end
  return 0
end

-- Who may not look is told what was not looked at; every other mistake ends the inventory.
local function not_allowed(err)
  return err.aws and (err.aws:find "^AccessDenied" or err.aws:find "^UnauthorizedOperation" or err.aws == "NotAuthorized")
end

local function entry(run, region, word, raw, id, lab)
  local hourly, note = cost(run, region, word, raw)
  local tags = kinds.tag_map(raw)
  return { kind = word, id = id, region = region, name = tags.Name, lab = lab or tags["netlab:lab"], hourly = hourly, monthly = hourly * prices.month, note = note, raw = raw }
end

-- Runs all of `asks` at once; each returns a list of items, or nil, err.
local function gather(asks)
  local tasks, out = {}, { items = {}, unseen = {} }
  for i, ask in ipairs(asks) do
    tasks[i] = netlab.spawn(ask.fn)
  end
  local refused = 0
  local first
  for i, task in ipairs(tasks) do
    local items, err = task:wait()
    if not items and not_allowed(err) then
      refused, first = refused + 1, first or err
      out.unseen[#out.unseen + 1] = { what = asks[i].what, why = err.message }
    elseif not items then
      for _, other in ipairs(tasks) do other:cancel() end
      return nil, err
    end
    for _, item in ipairs(items or {}) do
      out.items[#out.items + 1] = item
    end
  end
  -- A region that an organisation has closed is one line.
  if refused == #asks and refused > 1 then
    out.unseen = { { what = "all of it", why = first.message } }
  end
  return out
end

local function region_of(run, region)
  local asks = {}
  for word, kind in pairs(looked) do
    asks[#asks + 1] = { what = word, fn = function()
      local got, err = run.aws:call(kind.service or "ec2", kind.action, kind.input or {}, { region = region })
      if not got then
        return nil, err
      end
      local items = {}
      for _, raw in ipairs(kind.flatten and kind.flatten(got[kind.list]) or got[kind.list] or {}) do
        if not kind.here or kind.here(raw) then
          items[#items + 1] = entry(run, region, word, raw, raw[kind.id], kind.lab and kind.lab(raw))
        end
      end
      return items
    end }
  end
  local got, err = gather(asks)
  if not got then
    return nil, err
  end
  local theirs, kept = {}, {}
  for _, item in ipairs(got.items) do
    if item.kind == "vpc" and item.raw.is_default then
      theirs[item.id], theirs[item.raw.dhcp_options_id or ""] = true, true
    end
  end
  for _, item in ipairs(got.items) do
    if not default(item.kind, item.raw, theirs) then kept[#kept + 1] = item end
  end
  got.items = kept
  return got
end

-- ---- what is of no region, or is found without one

local function buckets(run, regions)
  local got, err = run.aws:call("s3", "list_buckets", { max_buckets = 1000 }, { region = run.lab.region })
  if not got then
    return nil, err
  end
  local asks = {}
  for _, bucket in ipairs(got.buckets or {}) do
    asks[#asks + 1] = { what = "bucket " .. bucket.name, fn = function()
      local region = bucket.bucket_region
      if not region then
        local place, why = run.aws:call("s3", "get_bucket_location", { bucket = bucket.name }, { region = run.lab.region })
        if not place then
          return nil, why
        end
        local told = place.location_constraint
        region = (told == nil or told == "") and "us-east-1" or told == "EU" and "eu-west-1" or told
      end
      if not regions[region] then
        return {}
      end
      local tags, why = run.aws:call("s3", "get_bucket_tagging", { bucket = bucket.name }, { region = region })
      if not tags and why.aws ~= "NoSuchTagSet" and why.code ~= "not_found" then
        return nil, why
      elseif not tags and why.aws ~= "NoSuchTagSet" then
        return {} -- gone meanwhile
      end
      return { entry(run, region, "bucket", { name = bucket.name, tags = tags and tags.tag_set or {} }, bucket.name) }
    end }
  end
  return gather(asks)
end

-- IAM costs nothing and is full of Amazon's own: what labs have made is below a path of theirs.
local function of_labs(run, what, list_action, list, id)
  return { what = what, fn = function()
    local got, err = run.aws:call("iam", list_action, { path_prefix = "/netlab/" })
    if not got then
      return nil, err
    end
    local items = {}
    for _, raw in ipairs(got[list]) do
      items[#items + 1] = entry(run, "global", what, raw, raw[id], raw.path:match "^/netlab/(.+)/$")
    end
    return items
  end }
end

---The name of a lab's AWS Budget.
function inventory.budget_name(lab)
  return "netlab-" .. lab
end

---The account's budgets: a list of { budget_name, tags }, tags asked only of those that have a lab's name.
function inventory.budgets(run)
  local who, why = run.aws:call("sts", "get_caller_identity", {})
  if not who then
    return nil, why
  end
  local got, err = run.aws:call("budgets", "describe_budgets", { account_id = who.account })
  if not got then
    return nil, err
  end
  local out = {}
  for _, raw in ipairs(got.budgets or {}) do
    local tags
    if raw.budget_name:find "^netlab%-" then
      tags, err = run.aws:call("budgets", "list_tags_for_resource", { resource_arn = ("arn:aws:budgets::%s:budget/%s"):format(who.account, raw.budget_name) })
      if not tags and err.code ~= "not_found" then
        return nil, err
      end
    end
    out[#out + 1] = { budget_name = raw.budget_name, account_id = who.account, tags = tags and tags.resource_tags or {} }
  end
  return out
end

local function global(run)
  return gather {
    of_labs(run, "role", "list_roles", "roles", "role_name"),
    of_labs(run, "instance_profile", "list_instance_profiles", "instance_profiles", "instance_profile_name"),
    { what = "budget", fn = function()
      local all, err = inventory.budgets(run)
      local items = {}
      for _, raw in ipairs(all or {}) do
        items[#items + 1] = entry(run, "global", "budget", raw, raw.budget_name)
      end
      return all and items, err
    end },
  }
end

---{ regions = { name = count or error text }, items, unseen, hourly, monthly }; regions that are not enabled are left
---out. An item is { kind, id, region, name, lab, hourly, monthly, note, raw }; `unseen` is what the credentials may not
---look at: { region, what, why }.
function inventory.take(run, options)
  local names = { run.lab.region }
  if options.all_regions then
    names = {}
    for _, r in ipairs(run:call("ec2", "describe_regions", {}).regions) do
      names[#names + 1] = r.region_name
    end
    table.sort(names)
  end
  local out, tasks, wanted = { regions = {}, items = {}, unseen = {}, hourly = 0, monthly = 0 }, {}, {}
  for i, region in ipairs(names) do
    wanted[region] = true
    tasks[i] = { region, netlab.spawn(region_of, run, region) }
  end
  tasks[#tasks + 1] = { "all regions", netlab.spawn(buckets, run, wanted), true }
  tasks[#tasks + 1] = { "all regions", netlab.spawn(global, run), true }
  local failed
  for _, task in ipairs(tasks) do
    local got, err = task[2]:wait()
    if not got and task[3] and not_allowed(err) then
      got = { items = {}, unseen = { { what = "bucket", why = err.message } } }
    end
    failed = failed or (not got and err) or nil
    if got then
      for _, item in ipairs(got.items) do
        out.items[#out.items + 1] = item
        out.regions[item.region] = (out.regions[item.region] or 0) + 1
        out.hourly, out.monthly = out.hourly + item.hourly, out.monthly + item.monthly
      end
      for _, missing in ipairs(got.unseen) do
        missing.region = task[1]
        out.unseen[#out.unseen + 1] = missing
      end
      if not task[3] then out.regions[task[1]] = out.regions[task[1]] or 0 end
    end
  end
  if failed then
    error(failed, 0)
  end
  out.regions.global = nil
  table.sort(out.items, function(a, b) return a.region .. a.kind .. a.id < b.region .. b.kind .. b.id end)
  table.sort(out.unseen, function(a, b) return a.region .. a.what < b.region .. b.what end)
  return out
end

return inventory
