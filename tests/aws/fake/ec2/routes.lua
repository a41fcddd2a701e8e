-- Route tables, and endpoints of services in a VPC.
local core = require "fake.core"
local interfaces = require "fake.ec2.interfaces"
local resources = require "fake.ec2.resources"

local actions = {}
local refuse = core.refuse
local add, get, each, describe, once, depends, done = resources.add, resources.get, resources.each, resources.describe, resources.once, resources.depends, resources.done

function actions.CreateRouteTable(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    return { routeTable = add(c, "rtb", { vpcId = vpc.vpcId, associationSet = {}, routeSet = { { destinationCidrBlock = vpc.cidrBlock, gatewayId = "local", state = "active", origin = "CreateRouteTable" } } }) }
  end)
end
function actions.DescribeRouteTables(c) return describe(c, "rtb") end

local function route_of(c)
  local r = get(c, "rtb", c.p.RouteTableId)
  local key, value = "destinationCidrBlock", c.p.DestinationCidrBlock
  if not value then key, value = "destinationIpv6CidrBlock", c.p.DestinationIpv6CidrBlock end
  for i, route in ipairs(r.routeSet) do
    if route[key] == value then return r, key, value, route, i end
  end
  return r, key, value
end

local function route_target(c)
  local p = c.p
  if p.GatewayId and p.GatewayId:find "^igw" then get(c, "igw", p.GatewayId) end
  if p.NatGatewayId and get(c, "nat", p.NatGatewayId).state == "deleted" then refuse("InvalidNatGatewayID.NotFound", "The NAT gateway does not exist") end
  if p.NetworkInterfaceId then get(c, "eni", p.NetworkInterfaceId) end
  return { gatewayId = p.GatewayId, natGatewayId = p.NatGatewayId, networkInterfaceId = p.NetworkInterfaceId, egressOnlyInternetGatewayId = p.EgressOnlyInternetGatewayId, state = "active", origin = "CreateRoute" }
end

function actions.CreateRoute(c)
  local r, key, value, old = route_of(c)
  if old then refuse("RouteAlreadyExists", ("The route identified by %s already exists."):format(value)) end
  local new = route_target(c)
  new[key] = value
  table.insert(r.routeSet, new)
  return done
end
function actions.ReplaceRoute(c)
  local r, key, value, old, index = route_of(c)
  if not old then refuse("InvalidParameterValue", "There is no route defined for '" .. tostring(value) .. "' in the route table.") end
  local new = route_target(c)
  new[key] = value
  r.routeSet[index] = new
  return done
end
function actions.DeleteRoute(c)
  local r, _, value, old, index = route_of(c)
  if not old then refuse("InvalidRoute.NotFound", "no route with destination-cidr-block " .. tostring(value)) end
  table.remove(r.routeSet, index)
  return done
end

function actions.AssociateRouteTable(c)
  local r, subnet = get(c, "rtb", c.p.RouteTableId), get(c, "subnet", c.p.SubnetId)
  each(c, "rtb", function(t)
    for _, a in ipairs(t.associationSet) do
      if a.subnetId == subnet.subnetId then
        refuse("Resource.AlreadyAssociated", ("the specified association for route table %s conflicts with an existing association"):format(r.routeTableId))
      end
    end
  end)
  local id = core.id(c.world, "rtbassoc")
  table.insert(r.associationSet, { routeTableAssociationId = id, routeTableId = r.routeTableId, subnetId = subnet.subnetId, main = "false", associationState = { state = "associated" } })
  return { associationId = id }
end
function actions.DisassociateRouteTable(c)
  local found = each(c, "rtb", function(t)
    for i, a in ipairs(t.associationSet) do
      if a.routeTableAssociationId == c.p.AssociationId then
        if a.main == "true" then refuse("InvalidParameterValue", "cannot disassociate the main route table association " .. c.p.AssociationId) end
        table.remove(t.associationSet, i)
        return true
      end
    end
  end)
  if not found then refuse("InvalidAssociationID.NotFound", ("The association ID '%s' does not exist"):format(c.p.AssociationId)) end
  return done
end
function actions.DeleteRouteTable(c)
  local r = get(c, "rtb", c.p.RouteTableId)
  if #r.associationSet > 0 then depends("routeTable", r.routeTableId) end
  c.region.all[r.routeTableId] = nil
  return done
end

function actions.CreateVpcEndpoint(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    local tables = core.list(c.p, "RouteTableId")
    for _, id in ipairs(tables) do get(c, "rtb", id) end
    local endpoint = add(c, "endpoint", { vpcId = vpc.vpcId, serviceName = c.p.ServiceName, vpcEndpointType = c.p.VpcEndpointType or "Gateway", state = "available", routeTableIdSet = tables, subnetIdSet = core.list(c.p, "SubnetId") })
    for _, id in ipairs(endpoint.subnetIdSet) do interfaces.managed(c, id, "VPC Endpoint Interface " .. endpoint.vpcEndpointId, "vpc_endpoint") end
    return { vpcEndpoint = endpoint }
  end)
end
function actions.DescribeVpcEndpoints(c) return describe(c, "endpoint") end
function actions.ModifyVpcEndpoint(c)
  local r = get(c, "endpoint", c.p.VpcEndpointId)
  for _, id in ipairs(core.list(c.p, "AddRouteTableId")) do table.insert(r.routeTableIdSet, get(c, "rtb", id).routeTableId) end
  return done
end
function actions.DeleteVpcEndpoints(c)
  for _, id in ipairs(core.list(c.p, "VpcEndpointId")) do
    get(c, "endpoint", id)
    c.region.all[id] = nil
    interfaces.release(c, "VPC Endpoint Interface " .. id)
  end
  return { unsuccessful = {} }
end

return { actions = actions }
