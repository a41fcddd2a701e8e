-- What every service of the stand-in shares: its clock, identifiers, XML, the parameters of a request, tags,
-- filters, and errors as AWS words them.
local netlab = require "netlab"

local core = {}

core.account = "123456789012"

-- A world: `options` are lag (seconds until what was made is shown), throttle and lose (shares of requests that are
-- refused, or carried out and not answered), and delay (seconds that gateways and instances take).
function core.new(options)
  return {
    lag = options.lag or 0, throttle = options.throttle or 0, lose = options.lose or 0, delay = options.delay or 0,
    page = options.page or 100, seed = options.seed or 1, denied = options.denied or {}, skew = options.skew or 0,
    regions = {}, iam = { roles = {}, profiles = {}, users = {} }, buckets = {}, schedules = {}, budgets = {}, serial = 0,
    calls = {}, tokens = {}, keys = options.keys or { AKIDTEST = { secret = "secret-of-the-test" } },
    enabled = options.enabled or { "eu-west-1", "us-east-1" }, offset = 0,
  }
end

-- Seconds; `world.offset` lets tests step over hours.
function core.now(world)
  return netlab.uptime() + world.offset
end

-- A small generator of our own, so that a seed gives the same refusals everywhere.
function core.random(world)
  world.seed = (world.seed * 16807) % 2147483647
  return world.seed / 2147483647
end

function core.region(world, name)
  local found = world.regions[name]
  if not found then
    found = { name = name, all = {}, tokens = {} }
    world.regions[name] = found
    for _, zone in ipairs { "a", "b", "c" } do
      found["zone_" .. zone] = name .. zone
    end
  end
  return found
end

function core.id(world, prefix)
  world.serial = world.serial + 1
  return ("%s-%s%09x"):format(prefix, netlab.digest.sha256(prefix .. world.serial):sub(1, 8), world.serial)
end

function core.address(world)
  world.serial = world.serial + 1
  return ("203.0.113.%d"):format(world.serial % 250 + 1)
end

-- An error as a value: { code, message, status }.
function core.refuse(code, message, status)
  error({ fake = true, code = code, message = message or code, status = status or 400 }, 0)
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
function core.escape(text)
  return (tostring(text):gsub('[&<>"]', entities))
end

-- A table as XML: lists become <item> (or `item`), names that begin with "_" are ours.
function core.xml(value, item)
  if type(value) ~= "table" then
    return core.escape(value)
  end
  local out = {}
  if #value > 0 then
    for _, entry in ipairs(value) do
      out[#out + 1] = ("<%s>%s</%s>"):format(item, core.xml(entry, item), item)
    end
    return table.concat(out)
  end
  local keys = {}
  for key in pairs(value) do
    if key:sub(1, 1) ~= "_" then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    out[#out + 1] = ("<%s>%s</%s>"):format(key, core.xml(value[key], item), key)
  end
  return table.concat(out)
end

---A form's parameters: a=b&c=d.
function core.form(body)
  local out = {}
  local function decode(text)
    return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end))
  end
  for pair in body:gmatch "[^&]+" do
    local key, value = pair:match "^([^=]*)=?(.*)$"
    out[decode(key)] = decode(value)
  end
  return out
end

-- What `get` gives for 1, 2, 3 … until it gives nothing.
local function numbered(get)
  local out = {}
  for index = 1, 1000 do
    local value = get(index)
    if value == nil then
      break
    end
    out[index] = value
  end
  return out
end

-- Name.1, Name.2 … as a list (`joint` is ".member." in query services).
function core.list(p, name, joint)
  return numbered(function(index) return p[name .. (joint or ".") .. index] end)
end

-- The parameters below a prefix, the prefix taken off: { ["Ebs.VolumeSize"] = "8" }; nil when there is none.
function core.below(p, prefix)
  local out
  for key, value in pairs(p) do
    if key:sub(1, #prefix) == prefix then
      out = out or {}
      out[key:sub(#prefix + 1)] = value
    end
  end
  return out
end

-- Structures of a list: Name.1.X, Name.2.X.
function core.structures(p, name, joint)
  return numbered(function(index) return core.below(p, name .. (joint or ".") .. index .. ".") end)
end

function core.need(p, ...)
  for _, name in ipairs { ... } do
    if p[name] == nil or p[name] == "" then
      core.refuse("MissingParameter", "The request must contain the parameter " .. name)
    end
  end
end

function core.tags(p, kind)
  for _, specification in ipairs(core.structures(p, "TagSpecification")) do
    if specification.ResourceType == kind then
      local out = {}
      for _, tag in ipairs(core.structures(specification, "Tag")) do
        out[#out + 1] = { key = tag.Key, value = tag.Value or "" }
      end
      return out
    end
  end
  return {}
end

function core.tag(resource, key)
  for _, tag in ipairs(resource.tagSet or {}) do
    if tag.key == key then
      return tag.value
    end
  end
end

function core.set_tag(resource, key, value)
  resource.tagSet = resource.tagSet or {}
  for _, tag in ipairs(resource.tagSet) do
    if tag.key == key then
      tag.value = value
      return
    end
  end
  table.insert(resource.tagSet, { key = key, value = value })
end

local function matches(value, patterns)
  for _, pattern in ipairs(patterns) do
    local lua = pattern:gsub("[%-%.%+%[%]%(%)%$%^%%]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
    if tostring(value):find("^" .. lua .. "$") then
      return true
    end
  end
  return false
end

-- "vpc-id" → resource.vpcId; `special` are a kind's own filters: function(resource) → value or list of values.
local function filter_value(resource, name, special)
  if special and special[name] then
    return special[name](resource)
  end
  local field = name:gsub("%-(%w)", string.upper)
  return resource[field]
end

function core.passes(resource, filters, special)
  for _, filter in ipairs(filters) do
    local key = filter.name:match "^tag:(.*)$"
    local good = false
    if key then
      local value = core.tag(resource, key)
      good = value ~= nil and matches(value, filter.values)
    elseif filter.name == "tag-key" then
      for _, tag in ipairs(resource.tagSet or {}) do
        good = good or matches(tag.key, filter.values)
      end
    else
      local value = filter_value(resource, filter.name, special)
      if value == nil and not (special and special[filter.name]) and not core.known_filters[filter.name] then
        core.refuse("InvalidParameterValue", ("The filter '%s' is invalid"):format(filter.name))
      end
      for _, one in ipairs(type(value) == "table" and value or { value }) do
        good = good or matches(one, filter.values)
      end
    end
    if not good then
      return false
    end
  end
  return true
end

core.known_filters = {}
for name in ("vpc-id subnet-id instance-id state status group-name key-name launch-template-name network-interface-id"):gmatch "%S+" do
  core.known_filters[name] = true
end

function core.filters(p)
  local out = {}
  for index, filter in ipairs(core.structures(p, "Filter")) do
    core.need(filter, "Name")
    out[index] = { name = filter.Name, values = core.list(filter, "Value") }
  end
  return out
end

-- One page of a list, and the token of the next.
function core.pages(world, p, list)
  local size = math.min(tonumber(p.MaxResults or p.MaxRecords or p.MaxItems) or world.page, world.page)
  local from = tonumber(p.NextToken or p.Marker or "1")
  if not from then
    core.refuse("InvalidNextToken", "The token is invalid")
  end
  local out = {}
  for index = from, math.min(#list, from + size - 1) do
    out[#out + 1] = list[index]
  end
  return out, from + size <= #list and tostring(from + size) or nil
end

-- IPv4 networks as numbers.
function core.network(cidr)
  local a, b, c, d, bits = tostring(cidr):match "^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$"
  if not a or tonumber(bits) > 32 then
    core.refuse("InvalidParameterValue", ("Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block."):format(tostring(cidr)))
  end
  local first = ((a * 256 + b) * 256 + c) * 256 + d
  local size = 2 ^ (32 - bits)
  return { first = first - first % size, last = first - first % size + size - 1, bits = tonumber(bits) }
end

function core.number(ip)
  local a, b, c, d = ip:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  return a and ((a * 256 + b) * 256 + c) * 256 + d
end

function core.text(number)
  return ("%d.%d.%d.%d"):format(math.floor(number / 16777216) % 256, math.floor(number / 65536) % 256, math.floor(number / 256) % 256, number % 256)
end

return core
