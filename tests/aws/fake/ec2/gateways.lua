-- Ways out of a VPC: internet gateways, egress-only ones and NAT gateways.
local core = require "fake.core"
local interfaces = require "fake.ec2.interfaces"
local resources = require "fake.ec2.resources"

local actions = {}
local refuse = core.refuse
local add, get, each, describe, once, depends, done = resources.add, resources.get, resources.each, resources.describe, resources.once, resources.depends, resources.done

function actions.CreateInternetGateway(c) return { internetGateway = add(c, "igw", { attachmentSet = {} }) } end
function actions.DescribeInternetGateways(c) return describe(c, "igw") end

function actions.AttachInternetGateway(c)
  local r, vpc = get(c, "igw", c.p.InternetGatewayId), get(c, "vpc", c.p.VpcId)
  if r.attachmentSet[1] then
    refuse("Resource.AlreadyAssociated", ("resource %s is already attached to network %s"):format(r.internetGatewayId, r.attachmentSet[1].vpcId))
  end
  each(c, "igw", function(other)
    if other.attachmentSet[1] and other.attachmentSet[1].vpcId == vpc.vpcId then
      refuse("InvalidParameterValue", ("Network %s already has an internet gateway attached"):format(vpc.vpcId))
    end
  end)
  r.attachmentSet = { { vpcId = vpc.vpcId, state = "available" } }
  return done
end

function actions.DetachInternetGateway(c)
  local r = get(c, "igw", c.p.InternetGatewayId)
  if not r.attachmentSet[1] or r.attachmentSet[1].vpcId ~= c.p.VpcId then
    refuse("Gateway.NotAttached", ("resource %s is not attached to network %s"):format(r.internetGatewayId, tostring(c.p.VpcId)))
  end
  each(c, "eni", function(e)
    if e.vpcId == c.p.VpcId and e.association then
      refuse("DependencyViolation", ("Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."):format(c.p.VpcId))
    end
  end)
  r.attachmentSet = {}
  return done
end

function actions.DeleteInternetGateway(c)
  local r = get(c, "igw", c.p.InternetGatewayId)
  if r.attachmentSet[1] then depends("internetGateway", r.internetGatewayId) end
  c.region.all[r.internetGatewayId] = nil
  return done
end

function actions.CreateEgressOnlyInternetGateway(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    return { egressOnlyInternetGateway = add(c, "eigw", { attachmentSet = { { vpcId = vpc.vpcId, state = "attached" } } }) }
  end)
end
function actions.DescribeEgressOnlyInternetGateways(c) return describe(c, "eigw") end
function actions.DeleteEgressOnlyInternetGateway(c)
  local r = get(c, "eigw", c.p.EgressOnlyInternetGatewayId)
  c.region.all[r.egressOnlyInternetGatewayId] = nil
  return { returnCode = "true" }
end

function actions.CreateNatGateway(c)
  return once(c, function()
    local subnet, eip = get(c, "subnet", c.p.SubnetId), get(c, "eip", c.p.AllocationId)
    if eip.associationId then refuse("Resource.AlreadyAssociated", "Elastic IP address [" .. eip.allocationId .. "] is already associated") end
    local r = add(c, "nat", { vpcId = subnet.vpcId, subnetId = subnet.subnetId, state = "pending", natGatewayAddressSet = { { allocationId = eip.allocationId, publicIp = eip.publicIp } } })
    local eni = interfaces.managed(c, subnet.subnetId, "Interface for NAT Gateway " .. r.natGatewayId, "nat_gateway")
    interfaces.map_address(c, eip, eni)
    eip._nat, r._eni = r.natGatewayId, eni.networkInterfaceId
    r._ready, r._on_ready = core.now(c.world) + c.world.delay * 3, function(n) n.state = "available" end
    return { natGateway = r }
  end)
end
function actions.DescribeNatGateways(c) return describe(c, "nat") end

function actions.DeleteNatGateway(c)
  local r = get(c, "nat", c.p.NatGatewayId)
  if r.state == "deleting" or r.state == "deleted" then return { natGatewayId = r.natGatewayId } end
  r.state = "deleting"
  -- The interface and the address go a while after the gateway says that it is deleted.
  r._ready, r._on_ready = core.now(c.world) + c.world.delay * 2, function(n)
    n.state = "deleted"
    n._gone = core.now(c.world) + 3600
    local eni = c.region.all[n._eni]
    if eni then eni._gone = core.now(c.world) + c.world.delay * 0.5 end
    each(c, "eip", function(e)
      if e._nat == n.natGatewayId then
        interfaces.unmap_address(c, e)
        e._nat = nil
      end
    end)
  end
  return { natGatewayId = r.natGatewayId }
end

return { actions = actions }
