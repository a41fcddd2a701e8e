-- What ties a VPC to elsewhere: VPN gateways and connections, transit gateways, peering, and its network ACLs.
local core = require "fake.core"
local interfaces = require "fake.ec2.interfaces"
local resources = require "fake.ec2.resources"

local connections = {}
local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, done = resources.add, resources.get, resources.each, resources.describe, resources.done

-- What is deleted is shown for an hour.
local function going(c, r, set, after)
  set(r, "deleting")
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function()
    set(r, "deleted")
    r._gone = core.now(c.world) + 3600
    if after then after() end
  end
end
local function state(r, word) r.state = word end

-- ---- VPN

function actions.CreateCustomerGateway(c)
  need(c.p, "Type", "IpAddress")
  return { customerGateway = add(c, "cgw", { state = "available", type = c.p.Type, ipAddress = c.p.IpAddress }) }
end

function actions.CreateVpnGateway(c)
  need(c.p, "Type")
  return { vpnGateway = add(c, "vgw", { state = "available", type = c.p.Type, attachments = {} }) }
end
function actions.DescribeVpnGateways(c) return describe(c, "vgw") end
function actions.AttachVpnGateway(c)
  local r, vpc = get(c, "vgw", c.p.VpnGatewayId), get(c, "vpc", c.p.VpcId)
  if r.attachments[1] then refuse("VpnGatewayAttachmentLimitExceeded", "The maximum number of attachments has been reached.") end
  r.attachments = { { vpcId = vpc.vpcId, state = "attached" } }
  return { attachment = r.attachments[1] }
end
function actions.DetachVpnGateway(c)
  local r = get(c, "vgw", c.p.VpnGatewayId)
  if not r.attachments[1] or r.attachments[1].vpcId ~= c.p.VpcId then
    refuse("InvalidVpnGatewayAttachment.NotFound", ("The attachment with vpn gateway ID '%s' and vpc ID '%s' does not exist"):format(r.vpnGatewayId, tostring(c.p.VpcId)))
  end
  r.attachments = {}
  return done
end
function actions.DeleteVpnGateway(c)
  local r = get(c, "vgw", c.p.VpnGatewayId)
  if r.attachments[1] then refuse("IncorrectState", ("The vpnGateway '%s' is attached to a VPC."):format(r.vpnGatewayId)) end
  going(c, r, state)
  return done
end

function actions.CreateVpnConnection(c)
  need(c.p, "CustomerGatewayId", "Type")
  local gateway = get(c, "cgw", c.p.CustomerGatewayId)
  return { vpnConnection = add(c, "vpn", { state = "available", type = c.p.Type, customerGatewayId = gateway.customerGatewayId, vpnGatewayId = c.p.VpnGatewayId and get(c, "vgw", c.p.VpnGatewayId).vpnGatewayId }) }
end
function actions.DescribeVpnConnections(c) return describe(c, "vpn") end
function actions.DeleteVpnConnection(c)
  going(c, get(c, "vpn", c.p.VpnConnectionId), state)
  return done
end

-- ---- transit gateways

function actions.CreateTransitGateway(c)
  local r = add(c, "tgw", { state = "pending", description = c.p.Description })
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function() r.state = "available" end
  return { transitGateway = r }
end
function actions.DescribeTransitGateways(c) return describe(c, "tgw") end
function actions.DeleteTransitGateway(c)
  local r = get(c, "tgw", c.p.TransitGatewayId)
  each(c, "attachment", function(a)
    if a.transitGatewayId == r.transitGatewayId and a.state ~= "deleted" then
      refuse("IncorrectState", ("%s has non-deleted VPC Attachments: %s."):format(r.transitGatewayId, a.transitGatewayAttachmentId))
    end
  end)
  going(c, r, state)
  return { transitGateway = r }
end

-- Its interfaces are Amazon's, and keep the subnets.
local function interface_of(r) return "Network Interface for Transit Gateway Attachment " .. r.transitGatewayAttachmentId end
function actions.CreateTransitGatewayVpcAttachment(c)
  need(c.p, "TransitGatewayId", "VpcId")
  local gateway, vpc = get(c, "tgw", c.p.TransitGatewayId), get(c, "vpc", c.p.VpcId)
  if gateway.state ~= "available" then refuse("IncorrectState", gateway.transitGatewayId .. " is in invalid state") end
  local r = add(c, "attachment", { state = "available", transitGatewayId = gateway.transitGatewayId, resourceType = "vpc", resourceId = vpc.vpcId })
  for _, id in ipairs(core.list(c.p, "SubnetIds")) do interfaces.managed(c, id, interface_of(r), "transit_gateway") end
  return { transitGatewayVpcAttachment = { transitGatewayAttachmentId = r.transitGatewayAttachmentId, transitGatewayId = r.transitGatewayId, vpcId = vpc.vpcId, state = r.state } }
end
function actions.DescribeTransitGatewayAttachments(c) return describe(c, "attachment") end
function actions.DeleteTransitGatewayVpcAttachment(c)
  local r = get(c, "attachment", c.p.TransitGatewayAttachmentId)
  going(c, r, state, function() interfaces.release(c, interface_of(r)) end)
  return { transitGatewayVpcAttachment = { transitGatewayAttachmentId = r.transitGatewayAttachmentId, state = r.state } }
end

-- ---- peering

local function status(r, word) r.status = { code = word } end
function actions.CreateVpcPeeringConnection(c)
  need(c.p, "VpcId", "PeerVpcId")
  local from = get(c, "vpc", c.p.VpcId)
  return { vpcPeeringConnection = add(c, "peering", { status = { code = "pending-acceptance" }, requesterVpcInfo = { vpcId = from.vpcId, ownerId = core.account }, accepterVpcInfo = { vpcId = c.p.PeerVpcId, ownerId = core.account } }) }
end
function actions.AcceptVpcPeeringConnection(c)
  local r = get(c, "peering", c.p.VpcPeeringConnectionId)
  if r.status.code ~= "pending-acceptance" then refuse("InvalidStateTransition", "Invalid state transition for " .. r.vpcPeeringConnectionId) end
  status(r, "active")
  return { vpcPeeringConnection = r }
end
function actions.DescribeVpcPeeringConnections(c) return describe(c, "peering") end
function actions.DeleteVpcPeeringConnection(c)
  going(c, get(c, "peering", c.p.VpcPeeringConnectionId), status)
  return done
end

-- ---- network ACLs

---The one that every VPC has.
function connections.default_acl(c, vpc)
  add(c, "acl", { vpcId = vpc.vpcId, default = "true", tagSet = {} })
end
function actions.CreateNetworkAcl(c)
  return { networkAcl = add(c, "acl", { vpcId = get(c, "vpc", c.p.VpcId).vpcId, default = "false" }) }
end
function actions.DescribeNetworkAcls(c) return describe(c, "acl") end
function actions.DeleteNetworkAcl(c)
  local r = get(c, "acl", c.p.NetworkAclId)
  if r.default == "true" then refuse("InvalidParameterValue", "Cannot delete default network ACL") end
  c.region.all[r.networkAclId] = nil
  return done
end

---Whether it is one of these, and keeps the VPC from being deleted; nothing when it is none of these.
function connections.hold(r, vpc)
  if r._kind == "vgw" then
    return r.attachments[1] ~= nil and r.attachments[1].vpcId == vpc
  elseif r._kind == "attachment" then
    return r.resourceId == vpc and r.state ~= "deleted"
  elseif r._kind == "peering" then
    return (r.requesterVpcInfo.vpcId == vpc or r.accepterVpcInfo.vpcId == vpc) and r.status.code ~= "deleted"
  elseif r._kind == "acl" then
    return r.vpcId == vpc and r.default ~= "true"
  end
end

connections.actions = actions
return connections
