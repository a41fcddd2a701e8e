-- Everything in an account that exists or costs money: region by region, all regions at once, and what belongs to none.
local netlab = require "netlab"
local costs = require "awslab.costs"
local kinds = require "awslab.kinds"
local looked = require "awslab.looked"
local prices = require "awslab.prices"
local tagged = require "awslab.tagged"

local inventory = {}

-- Amazon makes these for everybody, and they cost nothing. `theirs` are the ids of the default VPC and its DHCP options.
local function default(word, raw, theirs)
  return word == "vpc" and raw.is_default or word == "subnet" and raw.default_for_az or word == "security_group" and raw.group_name == "default"
    or word == "route_table" and (raw.associations or {})[1] and raw.associations[1].main
    or word == "internet_gateway" and theirs[((raw.attachments or {})[1] or {}).vpc_id or ""]
    or word == "dhcp_options" and theirs[raw.dhcp_options_id] and #(raw.tags or {}) == 0
end

-- Who may not look is told what was not looked at; every other mistake ends the inventory.
local function not_allowed(err)
  return err.aws and (err.aws:find "^AccessDenied" or err.aws:find "^UnauthorizedOperation" or err.aws == "NotAuthorized")
end

local function entry(run, region, word, raw, id, lab)
  local hourly, note, unpriced = costs(run, region, word, raw)
  local tags = kinds.tag_map(raw)
  return { kind = word, id = id, region = region, name = tags.Name, lab = lab or tags["netlab:lab"], hourly = hourly, monthly = hourly * prices.month, note = note, unpriced = unpriced, raw = raw }
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
      if not got and (err.aws == "InvalidAction" or err.aws == "UnsupportedOperation") then
        return {} -- a young region does not have everything
      elseif not got then
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
  local labs = {}
  asks[#asks + 1] = { what = "what other services have with a lab's tag", fn = function()
    local got, err = tagged.find(run, region)
    if not got then
      return nil, err
    end
    labs = got.labs
    local items = {}
    for i, other in ipairs(got.others) do
      items[i] = entry(run, region, other.kind, other.raw, other.arn)
      items[i].note, items[i].unpriced = "only the bill tells what it costs", true
    end
    return items
  end }
  local got, err = gather(asks)
  if not got then
    return nil, err
  end
  local theirs, kept, images = {}, {}, {}
  for _, item in ipairs(got.items) do
    if item.kind == "vpc" and item.raw.is_default then
      theirs[item.id], theirs[item.raw.dhcp_options_id or ""] = true, true
    end
    for _, device in ipairs(item.kind == "image" and item.raw.block_device_mappings or {}) do
      if device.ebs and device.ebs.snapshot_id then images[device.ebs.snapshot_id] = item end
    end
  end
  for _, item in ipairs(got.items) do
    local kind = looked[item.kind]
    item.lab = item.lab or kind and kind.arn and labs[tagged.key(kind.arn(item.raw, region))]
    -- A snapshot that is an image's disk is called by the image, which has to go first.
    local image = item.kind == "snapshot" and images[item.id]
    if image then
      item.name = ("%s (%s)"):format(image.raw.name or image.name or "", image.id)
    elseif item.kind == "image" then
      item.name = item.name or item.raw.name
    end
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
---out. An item is { kind, id, region, name, lab, hourly, monthly, note, unpriced, raw }; `unpriced` says that it may
---cost something and nothing here knows how much; `unseen` is what the credentials may not look at: { region, what, why }.
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
