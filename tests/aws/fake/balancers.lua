-- Load balancers: those of today, and the classic ones by the same address and another version of the protocol.
local netlab = require "netlab"
local core = require "fake.core"
local ec2 = require "fake.ec2"

local refuse, need = core.refuse, core.need

-- What a region has of one sort, by name.
local function those(c, sort)
  c.region.balancers = c.region.balancers or { today = {}, classic = {} }
  return c.region.balancers[sort]
end

local function tags_of(p)
  local out = {}
  for i, t in ipairs(core.structures(p, "Tags", ".member.")) do out[i] = { key = t.Key, value = t.Value } end
  return out
end

-- An interface in each subnet, with a public address when the internet reaches it.
local function stand(c, r, description, kind)
  for _, id in ipairs(core.list(c.p, "Subnets", ".member.")) do
    local eni = ec2.managed_interface(c, id, description, kind)
    r._vpc = eni.vpcId
    if r.Scheme == "internet-facing" then eni.association = { publicIp = core.address(c.world), ipOwnerId = "amazon-elb" } end
  end
end

local function page_of(c, sort)
  local all = {}
  for _, r in pairs(those(c, sort)) do all[#all + 1] = r end
  table.sort(all, function(a, b) return a.LoadBalancerName < b.LoadBalancerName end)
  return core.pages(c.world, c.p, all)
end

local today = {}
function today.CreateLoadBalancer(c)
  need(c.p, "Name")
  if those(c, "today")[c.p.Name] then refuse("DuplicateLoadBalancerName", ("A load balancer with the same name '%s' exists, but with different settings"):format(c.p.Name)) end
  local arn = ("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/app/%s/%s"):format(c.region.name, core.account, c.p.Name, core.id(c.world, "x"))
  local r = { LoadBalancerArn = arn, LoadBalancerName = c.p.Name, Type = c.p.Type or "application", Scheme = c.p.Scheme or "internet-facing", State = { Code = "active" }, CreatedTime = netlab.time(), _arn = arn, _tags = tags_of(c.p) }
  stand(c, r, "ELB app/" .. c.p.Name, "interface")
  r.VpcId = r._vpc
  those(c, "today")[c.p.Name] = r
  return { LoadBalancers = { r } }
end
function today.DescribeLoadBalancers(c)
  local page, marker = page_of(c, "today")
  return { LoadBalancers = page, NextMarker = marker }
end
function today.DeleteLoadBalancer(c)
  for name, r in pairs(those(c, "today")) do
    if r.LoadBalancerArn == c.p.LoadBalancerArn then
      those(c, "today")[name] = nil
      ec2.release_interfaces(c, "ELB app/" .. name)
    end
  end
  return {}
end

local classic = {}
function classic.CreateLoadBalancer(c)
  need(c.p, "LoadBalancerName", "Listeners.member.1.LoadBalancerPort")
  local name = c.p.LoadBalancerName
  if those(c, "classic")[name] then refuse("DuplicateLoadBalancerName", ("Load Balancer named %s already exists and it is not configured as specified"):format(name)) end
  local r = { LoadBalancerName = name, DNSName = name .. ".elb.amazonaws.com", Scheme = c.p.Scheme or "internet-facing", CreatedTime = netlab.time(),
    _arn = ("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/%s"):format(c.region.name, core.account, name), _tags = tags_of(c.p) }
  stand(c, r, "ELB " .. name, "interface")
  r.VPCId = r._vpc
  those(c, "classic")[name] = r
  return { DNSName = r.DNSName }
end
function classic.DescribeLoadBalancers(c)
  local page, marker = page_of(c, "classic")
  return { LoadBalancerDescriptions = page, NextMarker = marker }
end
-- To delete what is not there succeeds.
function classic.DeleteLoadBalancer(c)
  need(c.p, "LoadBalancerName")
  those(c, "classic")[c.p.LoadBalancerName] = nil
  ec2.release_interfaces(c, "ELB " .. c.p.LoadBalancerName)
  return {}
end

return {
  ["2015-12-01"] = { today, "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/" },
  ["2012-06-01"] = { classic, "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/" },
}
