-- Security groups and their rules.
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local groups = {}
local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, done = resources.add, resources.get, resources.each, resources.describe, resources.done

---A group with what every new one lets out.
function groups.new(c, name, description, vpc, tags)
  return add(c, "sg", {
    groupName = name, groupDescription = description, vpcId = vpc, tagSet = tags or {}, ipPermissions = {},
    ipPermissionsEgress = { { ipProtocol = "-1", ipRanges = { { cidrIp = "0.0.0.0/0" } }, ipv6Ranges = {}, groups = {}, prefixListIds = {} } },
  })
end

function actions.CreateSecurityGroup(c)
  need(c.p, "GroupName", "GroupDescription", "VpcId")
  get(c, "vpc", c.p.VpcId)
  each(c, "sg", function(g)
    if g.vpcId == c.p.VpcId and g.groupName == c.p.GroupName then
      refuse("InvalidGroup.Duplicate", ("The security group '%s' already exists for VPC '%s'"):format(c.p.GroupName, c.p.VpcId))
    end
  end)
  local g = groups.new(c, c.p.GroupName, c.p.GroupDescription, c.p.VpcId, core.tags(c.p, "security-group"))
  return { groupId = g.groupId, ["return"] = "true" }
end
function actions.DescribeSecurityGroups(c) return describe(c, "sg") end

-- One rule each: protocol, ports and one source.
local function rules_of(c)
  local out = {}
  for _, permission in ipairs(core.structures(c.p, "IpPermissions")) do
    local base = { permission.IpProtocol, permission.FromPort or "", permission.ToPort or "" }
    local function rule(kind, value, text)
      out[#out + 1] = { key = table.concat(base, "/") .. "/" .. kind .. "/" .. value, kind = kind, value = value, description = text, protocol = base[1], from = permission.FromPort, to = permission.ToPort }
    end
    for _, r in ipairs(core.structures(permission, "IpRanges")) do rule("ipRanges", r.CidrIp, r.Description) end
    for _, r in ipairs(core.structures(permission, "Ipv6Ranges")) do rule("ipv6Ranges", r.CidrIpv6, r.Description) end
    for _, r in ipairs(core.structures(permission, "Groups")) do
      get(c, "sg", r.GroupId)
      rule("groups", r.GroupId, r.Description)
    end
  end
  return out
end

local fields = { ipRanges = "cidrIp", ipv6Ranges = "cidrIpv6", groups = "groupId" }
local function find_rule(list, rule)
  for index, p in ipairs(list) do
    if p.ipProtocol == rule.protocol and p.fromPort == rule.from and p.toPort == rule.to then
      for at, source in ipairs(p[rule.kind]) do
        if source[fields[rule.kind]] == rule.value then return p, index, at end
      end
    end
  end
end

local function authorize(c, field)
  local g = get(c, "sg", c.p.GroupId)
  local rules = rules_of(c)
  for _, rule in ipairs(rules) do
    if find_rule(g[field], rule) then
      refuse("InvalidPermission.Duplicate", ("the specified rule \"peer: %s\" already exists"):format(rule.value))
    end
  end
  for _, rule in ipairs(rules) do
    local p = { ipProtocol = rule.protocol, fromPort = rule.from, toPort = rule.to, ipRanges = {}, ipv6Ranges = {}, groups = {}, prefixListIds = {} }
    p[rule.kind] = { { [fields[rule.kind]] = rule.value, description = rule.description, userId = rule.kind == "groups" and core.account or nil } }
    table.insert(g[field], p)
  end
  return done
end
local function revoke(c, field)
  local g = get(c, "sg", c.p.GroupId)
  for _, rule in ipairs(rules_of(c)) do
    local _, index = find_rule(g[field], rule)
    if not index then refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.") end
    table.remove(g[field], index)
  end
  return done
end
function actions.AuthorizeSecurityGroupIngress(c) return authorize(c, "ipPermissions") end
function actions.AuthorizeSecurityGroupEgress(c) return authorize(c, "ipPermissionsEgress") end
function actions.RevokeSecurityGroupIngress(c) return revoke(c, "ipPermissions") end
function actions.RevokeSecurityGroupEgress(c) return revoke(c, "ipPermissionsEgress") end

function actions.DeleteSecurityGroup(c)
  local g = get(c, "sg", c.p.GroupId)
  if g.groupName == "default" then refuse("CannotDelete", "the specified group: \"" .. g.groupId .. "\" name: \"default\" cannot be deleted by a user") end
  local function used() refuse("DependencyViolation", ("resource %s has a dependent object"):format(g.groupId)) end
  each(c, "eni", function(e)
    for _, one in ipairs(e.groupSet) do
      if one.groupId == g.groupId then used() end
    end
  end)
  each(c, "sg", function(other)
    for _, field in ipairs { "ipPermissions", "ipPermissionsEgress" } do
      for _, p in ipairs(other[field]) do
        for _, source in ipairs(p.groups) do
          if source.groupId == g.groupId and other.groupId ~= g.groupId then used() end
        end
      end
    end
  end)
  c.region.all[g.groupId] = nil
  return { ["return"] = "true", groupId = g.groupId }
end

groups.actions = actions
return groups
