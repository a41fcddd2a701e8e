-- CloudWatch Logs: groups, and how much they hold.
local core = require "fake.core"

local logs = {}
local refuse = core.refuse

local function groups(c)
  c.region.logs = c.region.logs or {}
  return c.region.logs
end

logs["Logs_20140328.CreateLogGroup"] = function(c, input)
  local name = input.logGroupName or refuse("InvalidParameterException", "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint")
  if groups(c)[name] then refuse("ResourceAlreadyExistsException", "The specified log group already exists") end
  local arn = ("arn:aws:logs:%s:%s:log-group:%s"):format(c.region.name, core.account, name)
  local tags = {}
  for key, value in pairs(input.tags or {}) do tags[#tags + 1] = { key = key, value = value } end
  groups(c)[name] = { logGroupName = name, arn = arn .. ":*", logGroupArn = arn, storedBytes = 0, metricFilterCount = 0, creationTime = 1767225600000, logGroupClass = "STANDARD", _arn = arn, _tags = tags }
  return {}
end

logs["Logs_20140328.DescribeLogGroups"] = function(c, input)
  local all = {}
  for _, g in pairs(groups(c)) do
    local shown = {}
    for key, value in pairs(g) do
      if key:sub(1, 1) ~= "_" then shown[key] = value end
    end
    all[#all + 1] = shown
  end
  table.sort(all, function(a, b) return a.logGroupName < b.logGroupName end)
  local page, token = core.pages(c.world, { MaxResults = input.limit or 50, NextToken = input.nextToken }, all)
  return { logGroups = page, nextToken = token }
end

logs["Logs_20140328.DeleteLogGroup"] = function(c, input)
  if not groups(c)[input.logGroupName or ""] then refuse("ResourceNotFoundException", "The specified log group does not exist.") end
  groups(c)[input.logGroupName] = nil
  return {}
end

return logs
