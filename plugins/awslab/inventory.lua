-- Everything in an account that exists or costs money, region by region, all regions at once.
local netlab = require "netlab"
local kinds = require "awslab.kinds"
local prices = require "awslab.prices"

local inventory = {}

local looked = { "instance", "volume", "elastic_ip", "nat_gateway", "network_interface", "vpc", "subnet", "internet_gateway", "egress_only_gateway", "vpc_endpoint", "route_table", "security_group", "dhcp_options", "launch_template", "key_pair", "auto_scaling_group" }

-- Amazon makes these for everybody, and they cost nothing.
local function default(word, raw)
  return word == "vpc" and raw.is_default or word == "subnet" and raw.default_for_az or word == "security_group" and raw.group_name == "default"
    or word == "route_table" and (raw.associations or {})[1] and raw.associations[1].main
end

local function cost(run, region, word, raw)
  local function price(what)
    return prices.of(region, what, run.lab.refreshed) or 0
  end
  if word == "instance" then
    local hourly = raw.state.name == "running" and price(raw.instance_type) or 0
    if raw.instance_type == prices.trial.type and prices.trial_runs(netlab.time()) then hourly = 0 end
    return hourly + (raw.public_ip_address and price "public_ipv4" or 0)
  elseif word == "volume" then
    return price "gp3_gb_month" * (raw.size or 0) / prices.month
  elseif word == "elastic_ip" then
    return price "public_ipv4"
  elseif word == "nat_gateway" then
    return price "nat_gateway"
  end
  return 0
end

local function region_of(run, region)
  local tasks, items = {}, {}
  local function ask(word, service, action, list, id, flatten, here)
    tasks[#tasks + 1] = netlab.spawn(function()
      local got, err = run.aws:call(service, action, word == "snapshot" and { owner_ids = { "self" } } or {}, { region = region })
      if not got then
        return nil, err
      end
      for _, raw in ipairs(flatten and flatten(got[list]) or got[list] or {}) do
        if (not here or here(raw)) and not default(word, raw) then
          local tags = kinds.tag_map(raw)
          local hourly = word == "snapshot" and prices.of(region, "snapshot_gb_month", run.lab.refreshed) * (raw.volume_size or 0) / prices.month or cost(run, region, word, raw)
          items[#items + 1] = { kind = word, id = raw[id], region = region, name = tags.Name, lab = tags["netlab:lab"], hourly = hourly, monthly = hourly * prices.month, raw = raw }
        end
      end
      return true
    end)
  end
  for _, word in ipairs(looked) do
    local kind = kinds[word]
    ask(word, kind.service or "ec2", kind.action, kind.list, kind.id, kind.flatten, kind.here)
  end
  ask("snapshot", "ec2", "describe_snapshots", "snapshots", "snapshot_id")
  for _, task in ipairs(tasks) do
    local ok, err = task:wait()
    if not ok then
      for _, other in ipairs(tasks) do other:cancel() end
      return nil, err
    end
  end
  return items
end

---{ regions = { name = count or error text }, items, hourly, monthly }; regions that are not enabled are left out.
function inventory.take(run, options)
  local regions = { run.lab.region }
  if options.all_regions then
    regions = {}
    for _, r in ipairs(run:call("ec2", "describe_regions", {}).regions) do
      regions[#regions + 1] = r.region_name
    end
    table.sort(regions)
  end
  local out, tasks = { regions = {}, items = {}, hourly = 0, monthly = 0 }, {}
  for i, region in ipairs(options.regions or regions) do
    tasks[i] = { region, netlab.spawn(region_of, run, region) }
  end
  local failed
  for _, entry in ipairs(tasks) do
    local items, err = entry[2]:wait()
    out.regions[entry[1]] = items and #items or err.message
    failed = failed or (not items and err) or nil
    for _, item in ipairs(items or {}) do
      out.items[#out.items + 1] = item
      out.hourly, out.monthly = out.hourly + item.hourly, out.monthly + item.monthly
    end
  end
  if failed and not options.partial then
    error(failed, 0)
  end
  table.sort(out.items, function(a, b) return a.region .. a.kind .. a.id < b.region .. b.kind .. b.id end)
  return out
end

return inventory
