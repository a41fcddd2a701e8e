-- The other services of the stand-in: auto scaling, IAM, STS, SSM, scheduler and what tells of money.
local netlab = require "netlab"
local core = require "fake.core"
local ec2 = require "fake.ec2"
local identity = require "fake.identity"

local others = {}
local refuse, need = core.refuse, core.need

-- ---- Auto Scaling

local scaling = {}

local function scaling_filter(list, p)
  local out = {}
  for _, group in ipairs(list) do
    local good = true
    for _, f in ipairs(core.structures(p, "Filters", ".member.")) do
      local key, one = f.Name:match "^tag:(.*)$", false
      for _, t in ipairs(group.Tags) do
        for _, v in ipairs(core.list(f, "Values", ".member.")) do
          one = one or (t.Key == key and t.Value == v)
        end
      end
      good = good and one
    end
    if good then out[#out + 1] = group end
  end
  table.sort(out, function(a, b) return a.AutoScalingGroupName < b.AutoScalingGroupName end)
  return out
end

local function groups_of(c)
  c.region.groups = c.region.groups or {}
  return c.region.groups
end

local function group(c)
  return groups_of(c)[c.p.AutoScalingGroupName or ""] or refuse("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '" .. tostring(c.p.AutoScalingGroupName) .. "' not found")
end

-- The group's instances follow its desired number.
local function reconcile(c, g)
  local kept = {}
  for _, id in ipairs(g._instances) do
    local r = c.region.all[id]
    if r and (r.instanceState.name == "pending" or r.instanceState.name == "running") then kept[#kept + 1] = id end
  end
  g._instances = kept
  while #g._instances > tonumber(g.DesiredCapacity) do
    ec2.terminate(c, c.region.all[table.remove(g._instances)])
  end
  while #g._instances < tonumber(g.DesiredCapacity) do
    local t = ec2.get(c, "lt", g._template)
    local version = g._version
    local data = t._versions[version == "$Latest" and #t._versions or tonumber(version == "$Default" and t.defaultVersionNumber or version) or 1]
    local tags = { { key = "aws:autoscaling:groupName", value = g.AutoScalingGroupName } }
    for _, tag in ipairs(g.Tags) do
      if tag.PropagateAtLaunch == "true" then tags[#tags + 1] = { key = tag.Key, value = tag.Value } end
    end
    local extra = {}
    if g.VPCZoneIdentifier and not (data.NetworkInterface and data.NetworkInterface[1] and data.NetworkInterface[1].NetworkInterfaceId) then
      extra.SubnetId = g.VPCZoneIdentifier:match "[^,]+"
      if data.NetworkInterface then
        extra.NetworkInterface = { {} }
        for k, v in pairs(data.NetworkInterface[1]) do extra.NetworkInterface[1][k] = v end
        extra.NetworkInterface[1].SubnetId = extra.SubnetId
      end
    end
    local p = c.p
    c.p = {}
    local ok, r = pcall(ec2.launch_from, c, data, extra, tags)
    c.p = p
    if not ok then
      g._problem = type(r) == "table" and r.message or tostring(r)
      return
    end
    g._instances[#g._instances + 1] = r.instanceId
  end
end

function scaling.CreateAutoScalingGroup(c)
  local p = c.p
  need(p, "AutoScalingGroupName", "MinSize", "MaxSize")
  if groups_of(c)[p.AutoScalingGroupName] then refuse("AlreadyExists", "AutoScalingGroup by this name already exists") end
  local t = ec2.find_template(c, { LaunchTemplateId = p["LaunchTemplate.LaunchTemplateId"], LaunchTemplateName = p["LaunchTemplate.LaunchTemplateName"] })
  if not p.VPCZoneIdentifier and not p["AvailabilityZones.member.1"] then
    refuse("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
  end
  local tags = {}
  for i, tag in ipairs(core.structures(p, "Tags", ".member.")) do
    tags[i] = { Key = tag.Key, Value = tag.Value, PropagateAtLaunch = tag.PropagateAtLaunch or "false", ResourceId = p.AutoScalingGroupName, ResourceType = "auto-scaling-group" }
  end
  local g = { AutoScalingGroupName = p.AutoScalingGroupName, MinSize = p.MinSize, MaxSize = p.MaxSize, DesiredCapacity = p.DesiredCapacity or p.MinSize,
    VPCZoneIdentifier = p.VPCZoneIdentifier, AvailabilityZones = core.list(p, "AvailabilityZones", ".member."), Tags = tags, DefaultCooldown = "300", HealthCheckType = "EC2",
    LaunchTemplate = { LaunchTemplateId = t.launchTemplateId, LaunchTemplateName = t.launchTemplateName, Version = p["LaunchTemplate.Version"] or "$Default" },
    _template = t.launchTemplateId, _version = p["LaunchTemplate.Version"] or "$Default", _instances = {}, _actions = {} }
  groups_of(c)[p.AutoScalingGroupName] = g
  reconcile(c, g)
  return ""
end

local function shown(c, g)
  reconcile(c, g)
  local out = {}
  for k, v in pairs(g) do out[k] = v end
  out.Instances = {}
  for i, id in ipairs(g._instances) do
    local r = c.region.all[id]
    out.Instances[i] = { InstanceId = id, LifecycleState = r.instanceState.name == "running" and "InService" or "Pending", HealthStatus = "Healthy", AvailabilityZone = r.placement.availabilityZone, InstanceType = r.instanceType }
  end
  out.AutoScalingGroupARN = ("arn:aws:autoscaling:%s:%s:autoScalingGroup:x:autoScalingGroupName/%s"):format(c.region.name, core.account, g.AutoScalingGroupName)
  if g._deleting then out.Status = "Delete in progress" end
  return out
end

function scaling.DescribeAutoScalingGroups(c)
  local all, names = {}, core.list(c.p, "AutoScalingGroupNames", ".member.")
  for name, g in pairs(groups_of(c)) do
    if g._deleting then
      local left = false
      for _, id in ipairs(g._instances) do
        local r = c.region.all[id]
        left = left or (r and r.instanceState.name ~= "terminated")
      end
      if not left then groups_of(c)[name] = nil end
    end
  end
  for name, g in pairs(groups_of(c)) do
    local wanted = #names == 0
    for _, n in ipairs(names) do wanted = wanted or n == name end
    if wanted then all[#all + 1] = g end
  end
  local page, token = core.pages(c.world, c.p, scaling_filter(all, c.p))
  local out = {}
  for i, g in ipairs(page) do out[i] = g._deleting and g or shown(c, g) end
  return { AutoScalingGroups = out, NextToken = token }
end

function scaling.UpdateAutoScalingGroup(c)
  local g = group(c)
  for _, key in ipairs { "MinSize", "MaxSize", "DesiredCapacity", "VPCZoneIdentifier" } do g[key] = c.p[key] or g[key] end
  if c.p["LaunchTemplate.LaunchTemplateId"] then
    g._template = ec2.get(c, "lt", c.p["LaunchTemplate.LaunchTemplateId"]).launchTemplateId
    g._version = c.p["LaunchTemplate.Version"] or g._version
    g.LaunchTemplate.Version = g._version
  end
  if tonumber(g.DesiredCapacity) > tonumber(g.MaxSize) or tonumber(g.DesiredCapacity) < tonumber(g.MinSize) then
    refuse("ValidationError", "Desired capacity:" .. g.DesiredCapacity .. " must be between the specified min size:" .. g.MinSize .. " and max size:" .. g.MaxSize)
  end
  reconcile(c, g)
  return ""
end
function scaling.SetDesiredCapacity(c)
  local g = group(c)
  g.DesiredCapacity = c.p.DesiredCapacity
  reconcile(c, g)
  return ""
end
function scaling.DeleteAutoScalingGroup(c)
  local g = group(c)
  if g._deleting then return "" end
  if #g._instances > 0 and c.p.ForceDelete ~= "true" then
    refuse("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
  end
  for _, id in ipairs(g._instances) do
    if c.region.all[id] then ec2.terminate(c, c.region.all[id]) end
  end
  g._deleting = true
  return ""
end
function scaling.CreateOrUpdateTags(c)
  for _, tag in ipairs(core.structures(c.p, "Tags", ".member.")) do
    local g = groups_of(c)[tag.ResourceId] or refuse("ValidationError", "AutoScalingGroup not found")
    local found
    for _, t in ipairs(g.Tags) do
      if t.Key == tag.Key then t.Value, found = tag.Value, true end
    end
    if not found then table.insert(g.Tags, { Key = tag.Key, Value = tag.Value, PropagateAtLaunch = tag.PropagateAtLaunch or "false", ResourceId = tag.ResourceId, ResourceType = "auto-scaling-group" }) end
  end
  return ""
end
function scaling.PutScheduledUpdateGroupAction(c)
  local g = group(c)
  need(c.p, "ScheduledActionName")
  g._actions[c.p.ScheduledActionName] = { ScheduledActionName = c.p.ScheduledActionName, AutoScalingGroupName = g.AutoScalingGroupName, Recurrence = c.p.Recurrence, TimeZone = c.p.TimeZone, MinSize = c.p.MinSize, MaxSize = c.p.MaxSize, DesiredCapacity = c.p.DesiredCapacity }
  return ""
end
function scaling.DescribeScheduledActions(c)
  local out = {}
  for name, g in pairs(groups_of(c)) do
    if not c.p.AutoScalingGroupName or c.p.AutoScalingGroupName == name then
      for _, a in pairs(g._actions) do out[#out + 1] = a end
    end
  end
  table.sort(out, function(a, b) return a.AutoScalingGroupName .. a.ScheduledActionName < b.AutoScalingGroupName .. b.ScheduledActionName end)
  local page, token = core.pages(c.world, c.p, out)
  return { ScheduledUpdateGroupActions = page, NextToken = token }
end
function scaling.DeleteScheduledAction(c)
  local g = group(c)
  if not g._actions[c.p.ScheduledActionName] then refuse("ValidationError", "Scheduled action name not found") end
  g._actions[c.p.ScheduledActionName] = nil
  return ""
end

-- ---- IAM

local iam = {}

local function role(c) return c.world.iam.roles[c.p.RoleName or ""] or refuse("NoSuchEntity", ("The role with name %s cannot be found."):format(tostring(c.p.RoleName)), 404) end
local function profile(c) return c.world.iam.profiles[c.p.InstanceProfileName or ""] or refuse("NoSuchEntity", ("Instance Profile %s cannot be found."):format(tostring(c.p.InstanceProfileName)), 404) end
local function iam_tags(p)
  local out = {}
  for i, t in ipairs(core.structures(p, "Tags", ".member.")) do out[i] = { Key = t.Key, Value = t.Value } end
  return out
end

function iam.CreateRole(c)
  need(c.p, "RoleName", "AssumeRolePolicyDocument")
  if c.world.iam.roles[c.p.RoleName] then refuse("EntityAlreadyExists", ("Role with name %s already exists."):format(c.p.RoleName), 409) end
  if not netlab.json.decode(c.p.AssumeRolePolicyDocument) then refuse("MalformedPolicyDocument", "This policy contains invalid Json") end
  local r = { RoleName = c.p.RoleName, Arn = ("arn:aws:iam::%s:role%s%s"):format(core.account, c.p.Path or "/", c.p.RoleName), Path = c.p.Path or "/", RoleId = core.id(c.world, "AROA"), CreateDate = netlab.time(), AssumeRolePolicyDocument = c.p.AssumeRolePolicyDocument, Tags = iam_tags(c.p), _policies = {} }
  c.world.iam.roles[c.p.RoleName] = r
  return { Role = r }
end
function iam.UpdateRole(c)
  role(c).Description = c.p.Description
  return {}
end
function iam.GetRole(c) return { Role = role(c) } end
local function by_path(c, what, name, list)
  local all = {}
  for _, r in pairs(c.world.iam[what]) do
    if r.Path:sub(1, #(c.p.PathPrefix or "/")) == (c.p.PathPrefix or "/") then all[#all + 1] = r end
  end
  table.sort(all, function(a, b) return a[name] < b[name] end)
  local page, token = core.pages(c.world, c.p, all)
  return { [list] = page, IsTruncated = token and "true" or "false", Marker = token }
end
function iam.ListRoles(c) return by_path(c, "roles", "RoleName", "Roles") end
function iam.PutRolePolicy(c)
  if not netlab.json.decode(c.p.PolicyDocument or "") then refuse("MalformedPolicyDocument", "This policy contains invalid Json") end
  role(c)._policies[c.p.PolicyName] = c.p.PolicyDocument
  return ""
end
function iam.GetRolePolicy(c)
  local text = role(c)._policies[c.p.PolicyName or ""] or refuse("NoSuchEntity", "The role policy cannot be found.", 404)
  return { RoleName = c.p.RoleName, PolicyName = c.p.PolicyName, PolicyDocument = (text:gsub("[^%w%-%._~]", function(x) return ("%%%02X"):format(x:byte()) end)) }
end
function iam.ListRolePolicies(c)
  local out = {}
  for name in pairs(role(c)._policies) do out[#out + 1] = name end
  return { PolicyNames = out, IsTruncated = "false" }
end
function iam.DeleteRolePolicy(c)
  local r = role(c)
  if not r._policies[c.p.PolicyName] then refuse("NoSuchEntity", "The role policy cannot be found.", 404) end
  r._policies[c.p.PolicyName] = nil
  return ""
end
function iam.DeleteRole(c)
  local r = role(c)
  if next(r._policies) then refuse("DeleteConflict", "Cannot delete entity, must delete policies first.", 409) end
  if next(r._attached or {}) then refuse("DeleteConflict", "Cannot delete entity, must detach all policies first.", 409) end
  for _, p in pairs(c.world.iam.profiles) do
    if p.Roles[1] == r then refuse("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.", 409) end
  end
  c.world.iam.roles[r.RoleName] = nil
  return ""
end
function iam.ListAttachedRolePolicies(c)
  local out = {}
  for arn in pairs(role(c)._attached or {}) do out[#out + 1] = { PolicyArn = arn, PolicyName = arn:match "[^/]+$" } end
  return { AttachedPolicies = out, IsTruncated = "false" }
end
function iam.AttachRolePolicy(c)
  local r = role(c)
  r._attached = r._attached or {}
  r._attached[c.p.PolicyArn] = true
  return ""
end
function iam.DetachRolePolicy(c)
  local r = role(c)
  if not (r._attached or {})[c.p.PolicyArn] then refuse("NoSuchEntity", "The policy is not attached.", 404) end
  r._attached[c.p.PolicyArn] = nil
  return ""
end
local function retag(r, p)
  for _, new in ipairs(iam_tags(p)) do
    local there = false
    for _, t in ipairs(r.Tags) do
      if t.Key == new.Key then t.Value, there = new.Value, true end
    end
    if not there then r.Tags[#r.Tags + 1] = new end
  end
  return ""
end
function iam.TagRole(c) return retag(role(c), c.p) end
function iam.TagInstanceProfile(c) return retag(profile(c), c.p) end
function iam.CreateInstanceProfile(c)
  need(c.p, "InstanceProfileName")
  if c.world.iam.profiles[c.p.InstanceProfileName] then refuse("EntityAlreadyExists", ("Instance Profile %s already exists."):format(c.p.InstanceProfileName), 409) end
  local r = { InstanceProfileName = c.p.InstanceProfileName, Arn = ("arn:aws:iam::%s:instance-profile/%s"):format(core.account, c.p.InstanceProfileName), Path = c.p.Path or "/", Roles = {}, Tags = iam_tags(c.p), CreateDate = netlab.time(), _visible = core.now(c.world) + c.world.lag }
  c.world.iam.profiles[c.p.InstanceProfileName] = r
  return { InstanceProfile = r }
end
function iam.GetInstanceProfile(c) return { InstanceProfile = profile(c) } end
function iam.ListInstanceProfiles(c) return by_path(c, "profiles", "InstanceProfileName", "InstanceProfiles") end
function iam.AddRoleToInstanceProfile(c)
  local p, r = profile(c), role(c)
  if p.Roles[1] then refuse("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", 409) end
  p.Roles = { r }
  return ""
end
function iam.RemoveRoleFromInstanceProfile(c)
  local p = profile(c)
  if not p.Roles[1] then refuse("NoSuchEntity", "no role", 404) end
  p.Roles = {}
  return ""
end
function iam.DeleteInstanceProfile(c)
  local p = profile(c)
  if p.Roles[1] then refuse("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.", 409) end
  c.world.iam.profiles[p.InstanceProfileName] = nil
  return ""
end
function iam.ListUsers(c)
  local out = {}
  for i, u in ipairs(c.world.iam.users) do out[i] = { UserName = u.name, Arn = "arn:aws:iam::" .. core.account .. ":user/" .. u.name, Path = "/", UserId = "AIDA" .. i, CreateDate = "2024-01-01T00:00:00Z" } end
  return { Users = out, IsTruncated = "false" }
end
function iam.ListAccessKeys(c)
  local out = {}
  for _, u in ipairs(c.world.iam.users) do
    if u.name == c.p.UserName or not c.p.UserName then
      for i, k in ipairs(u.keys) do out[i] = { UserName = u.name, AccessKeyId = k.id, Status = "Active", CreateDate = k.created } end
    end
  end
  return { AccessKeyMetadata = out, IsTruncated = "false" }
end

-- ---- STS

local sts = {}
function sts.GetCallerIdentity(c)
  return { Account = core.account, UserId = "AIDATEST", Arn = c.world.keys[c.key].arn or ("arn:aws:iam::%s:user/%s"):format(core.account, c.key) }
end
function sts.AssumeRole(c)
  need(c.p, "RoleArn", "RoleSessionName")
  if c.p.SerialNumber and c.p.TokenCode ~= "123456" then refuse("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.", 403) end
  -- A code is good for one session.
  c.world.codes = c.world.codes or {}
  if c.p.TokenCode and c.world.codes[c.p.TokenCode] then refuse("AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.", 403) end
  if c.p.TokenCode then c.world.codes[c.p.TokenCode] = true end
  local arn = ("arn:aws:sts::%s:assumed-role/%s/%s"):format(core.account, c.p.RoleArn:match "[^/]+$", c.p.RoleSessionName)
  return { Credentials = identity.credentials(identity.issue(c.world, arn)), AssumedRoleUser = { Arn = arn, AssumedRoleId = "AROA:x" } }
end

-- ---- JSON services: (c, input) → output; refuse() as elsewhere

local json = {}

local parameters = {
  ["/aws/service/debian/release/12/latest/arm64"] = "ami-0debian12arm64000",
  ["/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"] = "ami-0ubuntu2404arm640",
}
json["AmazonSSM.GetParameter"] = function(_, input)
  local value = parameters[input.Name or ""] or refuse("ParameterNotFound", "")
  return { Parameter = { Name = input.Name, Type = "String", Value = value, Version = 1 } }
end
json["AWSFreeTierService.GetFreeTierUsage"] = function(c)
  return { freeTierUsages = c.world.free or {} }
end
json["AWSFreeTierService.GetAccountPlanState"] = function() return { accountId = core.account, accountPlanType = "PAID", accountPlanStatus = "ACTIVE" } end
json["AWSInsightsIndexService.GetCostAndUsage"] = function(c, input)
  c.world.paid = (c.world.paid or 0) + 1
  if not input.TimePeriod or not input.Granularity then refuse("ValidationException", "TimePeriod and Granularity are needed") end
  local groups = {}
  for i, g in ipairs(c.world.costs or {}) do
    groups[i] = { Keys = { g.service }, Metrics = { UnblendedCost = { Amount = tostring(g.amount), Unit = "USD" } } }
  end
  return { ResultsByTime = { { TimePeriod = input.TimePeriod, Estimated = true, Total = {}, Groups = groups } }, GroupDefinitions = input.GroupBy }
end
json["AWSPriceListService.GetProducts"] = function(c, input)
  local out = {}
  for _, product in ipairs(c.world.products or {}) do
    local good = product.service == input.ServiceCode
    for _, f in ipairs(input.Filters or {}) do good = good and product.attributes[f.Field] == f.Value end
    if good then
      out[#out + 1] = netlab.json.encode { product = { attributes = product.attributes, sku = product.sku },
        terms = { OnDemand = { ["a.b"] = { priceDimensions = { ["a.b.c"] = { unit = product.unit, pricePerUnit = { USD = product.price } } } } } } }
    end
  end
  local from = tonumber(input.NextToken or "1")
  return { FormatVersion = "aws_v1", PriceList = { out[from] }, NextToken = out[from + 1] and tostring(from + 1) or nil }
end
json["AWSBudgetServiceGateway.DescribeBudgets"] = function(c)
  return { Budgets = c.world.budgets }
end
json["AWSBudgetServiceGateway.CreateBudget"] = function(c, input)
  for _, b in ipairs(c.world.budgets) do
    if b.BudgetName == input.Budget.BudgetName then refuse("DuplicateRecordException", "the budget already exists") end
  end
  table.insert(c.world.budgets, input.Budget)
  c.world.budget_tags = c.world.budget_tags or {}
  c.world.budget_tags[input.Budget.BudgetName] = input.ResourceTags
  return {}
end
json["AWSBudgetServiceGateway.ListTagsForResource"] = function(c, input)
  local name = (input.ResourceARN or ""):match("^arn:aws:budgets::" .. core.account .. ":budget/(.+)$")
  return { ResourceTags = (c.world.budget_tags or {})[name or ""] or {} }
end
json["AWSBudgetServiceGateway.DeleteBudget"] = function(c, input)
  for i, b in ipairs(c.world.budgets) do
    if b.BudgetName == input.BudgetName then
      table.remove(c.world.budgets, i)
      return {}
    end
  end
  refuse("NotFoundException", "Unable to get budget: " .. tostring(input.BudgetName) .. " - the budget doesn't exist.")
end

-- ---- EventBridge Scheduler: REST and JSON

local function schedule(c, request)
  local name = request.path:match "^/schedules/([^/]+)$"
  local input = request.body ~= "" and netlab.json.decode(request.body) or {}
  if request.method == "GET" and request.path == "/schedules" then
    local out = {}
    for _, s in pairs(c.world.schedules) do
      if s._region == c.region.name and s.Name:sub(1, #(request.query.NamePrefix or "")) == (request.query.NamePrefix or "") then
        out[#out + 1] = { Name = s.Name, GroupName = "default", State = s.State or "ENABLED", Arn = "arn:aws:scheduler:x:" .. core.account .. ":schedule/default/" .. s.Name }
      end
    end
    table.sort(out, function(a, b) return a.Name < b.Name end)
    return { Schedules = out }
  elseif not name then
    refuse("UnknownOperationException", "no such address", 404)
  elseif request.method == "POST" then
    for _, key in ipairs { "ScheduleExpression", "FlexibleTimeWindow", "Target" } do
      if not input[key] then refuse("ValidationException", key .. " is missing") end
    end
    local role_name = (input.Target.RoleArn or ""):match "role/.-([^/]+)$"
    if not c.world.iam.roles[role_name or ""] then refuse("ValidationException", "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.") end
    if c.world.schedules[name] then
      if c.world.schedules[name]._token == input.ClientToken then return { ScheduleArn = "arn:" .. name } end
      refuse("ConflictException", "Schedule " .. name .. " already exists.", 409)
    end
    input.Name, input._token, input._region = name, input.ClientToken, c.region.name
    c.world.schedules[name] = input
    return { ScheduleArn = "arn:aws:scheduler:x:" .. core.account .. ":schedule/default/" .. name }
  end
  local found = c.world.schedules[name] or refuse("ResourceNotFoundException", "Schedule " .. name .. " does not exist.", 404)
  if request.method == "GET" then
    return found
  elseif request.method == "DELETE" then
    c.world.schedules[name] = nil
    return {}
  end
  refuse("UnknownOperationException", "no such method", 404)
end

for name, handler in pairs(require "fake.logs") do json[name] = handler end
json["ResourceGroupsTaggingAPI_20170126.GetResources"] = require "fake.tagging"

others.query = { autoscaling = { scaling, "http://autoscaling.amazonaws.com/doc/2011-01-01/" }, iam = { iam, "https://iam.amazonaws.com/doc/2010-05-08/" }, sts = { sts, "https://sts.amazonaws.com/doc/2011-06-15/" } }
for version, service in pairs(require "fake.balancers") do others.query["elasticloadbalancing " .. version] = service end
others.json, others.schedule = json, schedule
return others
