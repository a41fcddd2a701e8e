-- What has a lab's tag in any service of a region, by the tagging service. It may go on naming for hours what is gone:
-- of what the inventory looks at itself it is asked for tags only.
local kinds = require "awslab.kinds"
local looked = require "awslab.looked"

local tagged = {}

-- "service:type" of what the inventory sees by itself.
local seen = { ["s3:"] = true, ["iam:role"] = true, ["iam:instance-profile"] = true, ["budgets:budget"] = true, ["autoscaling:autoScalingGroup"] = true,
  ["elasticloadbalancing:loadbalancer"] = true, ["logs:log-group"] = true, ["scheduler:schedule"] = true }
for _, kind in pairs(looked) do
  if kind.word then seen["ec2:" .. kind.word] = true end
end

local function parts(arn)
  local service, rest = arn:match "^arn:[^:]*:([^:]*):[^:]*:[^:]*:(.*)$"
  return service or "", rest or arn
end

---The same for every account and region: { "logs", "log-group:/x" } → "logs log-group:/x".
function tagged.key(arn)
  local service, rest = parts(arn)
  return service .. " " .. rest:gsub(":%*$", "")
end

---{ labs = { [key] = lab }, others = { { kind = "rds db", arn, raw = { tags } }, … } }; nil, err.
function tagged.find(run, region)
  local got, err = run.aws:call("resourcegroupstaggingapi", "get_resources", { tag_filters = { { key = "netlab:lab" } } }, { region = region })
  if not got then
    return nil, err
  end
  local out = { labs = {}, others = {} }
  for _, raw in ipairs(got.resource_tag_mapping_list or {}) do
    local arn, lab = raw.resource_arn, kinds.tag_map(raw)["netlab:lab"]
    local service, rest = parts(arn)
    local type = rest:match "^([%w%-]+)[/:]" or ""
    out.labs[tagged.key(arn)] = lab
    if lab and not seen[service .. ":" .. type] then
      out.others[#out.others + 1] = { kind = type ~= "" and service .. " " .. type or service, arn = arn, raw = raw }
    end
  end
  return out
end

return tagged
