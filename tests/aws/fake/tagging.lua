-- The tagging service: what has a tag, of every service of a region. It names what is gone for a while longer:
-- `world.tagged` is a list of { region, arn, tags } that it tells beside what is there.
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local refuse = core.refuse

local function passes(tags, filters)
  for _, filter in ipairs(filters) do
    local good = false
    for _, t in ipairs(tags) do
      local wanted = #(filter.Values or {}) == 0
      for _, value in ipairs(filter.Values or {}) do wanted = wanted or value == t.value end
      good = good or t.key == filter.Key and wanted
    end
    if not good then return false end
  end
  return true
end

return function(c, input)
  if input.TagFilters and input.ResourceARNList then
    refuse("InvalidParameterException", "You can't specify both TagFilters and ResourceARNList")
  elseif input.ResourcesPerPage and (input.ResourcesPerPage < 1 or input.ResourcesPerPage > 100) then
    refuse("InvalidParameterException", "ResourcesPerPage must be between 1 and 100")
  end
  local found = {}
  local function tell(arn, tags)
    if #tags > 0 and passes(tags, input.TagFilters or {}) then
      local shown = {}
      for i, t in ipairs(tags) do shown[i] = { Key = t.key, Value = t.value } end
      found[#found + 1] = { ResourceARN = arn, Tags = shown }
    end
  end
  for id, r in pairs(c.region.all) do
    tell(("arn:aws:ec2:%s:%s:%s/%s"):format(c.region.name, core.account, resources.kinds[r._kind][3], id), r.tagSet or {})
  end
  local balancers = c.region.balancers or { today = {}, classic = {} }
  for _, list in ipairs { balancers.today, balancers.classic, c.region.logs or {} } do
    for _, r in pairs(list) do tell(r._arn, r._tags) end
  end
  for name, bucket in pairs(c.world.buckets) do
    local tags = {}
    for i, t in ipairs(bucket.tags) do tags[i] = { key = t[1], value = t[2] } end
    if bucket.region == c.region.name then tell("arn:aws:s3:::" .. name, tags) end
  end
  for _, other in ipairs(c.world.tagged or {}) do
    if other.region == c.region.name then tell(other.arn, other.tags) end
  end
  table.sort(found, function(a, b) return a.ResourceARN < b.ResourceARN end)
  local given = input.PaginationToken
  if given and given ~= "" and not given:find "^%d+$" then refuse("PaginationTokenExpiredException", "the token is none of these") end
  local page, token = core.pages(c.world, { MaxResults = input.ResourcesPerPage or 50, NextToken = given ~= "" and given or nil }, found)
  return { ResourceTagMappingList = page, PaginationToken = token or "" }
end
