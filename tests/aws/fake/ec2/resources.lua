-- What every kind of resource of EC2 shares: identifiers, tags, the time that passes over it, and how it is listed.
local core = require "fake.core"

local resources = {}
local refuse = core.refuse

-- Every kind: its field, its prefix, its word in TagSpecification, the code of "not found", and the list's name.
local kinds = {
  vpc = { "vpcId", "vpc", "vpc", "InvalidVpcID.NotFound", "vpcSet", "VpcId" },
  subnet = { "subnetId", "subnet", "subnet", "InvalidSubnetID.NotFound", "subnetSet", "SubnetId" },
  igw = { "internetGatewayId", "igw", "internet-gateway", "InvalidInternetGatewayID.NotFound", "internetGatewaySet", "InternetGatewayId" },
  eigw = { "egressOnlyInternetGatewayId", "eigw", "egress-only-internet-gateway", "InvalidGatewayID.NotFound", "egressOnlyInternetGatewaySet", "EgressOnlyInternetGatewayId" },
  nat = { "natGatewayId", "nat", "natgateway", "NatGatewayNotFound", "natGatewaySet", "NatGatewayId" },
  eip = { "allocationId", "eipalloc", "elastic-ip", "InvalidAllocationID.NotFound", "addressesSet", "AllocationId" },
  rtb = { "routeTableId", "rtb", "route-table", "InvalidRouteTableID.NotFound", "routeTableSet", "RouteTableId" },
  endpoint = { "vpcEndpointId", "vpce", "vpc-endpoint", "InvalidVpcEndpointId.NotFound", "vpcEndpointSet", "VpcEndpointId" },
  sg = { "groupId", "sg", "security-group", "InvalidGroup.NotFound", "securityGroupInfo", "GroupId" },
  dhcp = { "dhcpOptionsId", "dopt", "dhcp-options", "InvalidDhcpOptionsID.NotFound", "dhcpOptionsSet", "DhcpOptionsId" },
  eni = { "networkInterfaceId", "eni", "network-interface", "InvalidNetworkInterfaceID.NotFound", "networkInterfaceSet", "NetworkInterfaceId" },
  lt = { "launchTemplateId", "lt", "launch-template", "InvalidLaunchTemplateId.NotFound", "launchTemplates", "LaunchTemplateId" },
  key = { "keyPairId", "key", "key-pair", "InvalidKeyPair.NotFound", "keySet", "KeyPairId" },
  instance = { "instanceId", "i", "instance", "InvalidInstanceID.NotFound", "instancesSet", "InstanceId" },
  volume = { "volumeId", "vol", "volume", "InvalidVolume.NotFound", "volumeSet", "VolumeId" },
  snapshot = { "snapshotId", "snap", "snapshot", "InvalidSnapshot.NotFound", "snapshotSet", "SnapshotId" },
  image = { "imageId", "ami", "image", "InvalidAMIID.NotFound", "imagesSet", "ImageId" },
  cgw = { "customerGatewayId", "cgw", "customer-gateway", "InvalidCustomerGatewayID.NotFound", "customerGatewaySet", "CustomerGatewayId" },
  vgw = { "vpnGatewayId", "vgw", "vpn-gateway", "InvalidVpnGatewayID.NotFound", "vpnGatewaySet", "VpnGatewayId" },
  vpn = { "vpnConnectionId", "vpn", "vpn-connection", "InvalidVpnConnectionID.NotFound", "vpnConnectionSet", "VpnConnectionId" },
  tgw = { "transitGatewayId", "tgw", "transit-gateway", "InvalidTransitGatewayID.NotFound", "transitGatewaySet", "TransitGatewayIds" },
  attachment = { "transitGatewayAttachmentId", "tgw-attach", "transit-gateway-attachment", "InvalidTransitGatewayAttachmentID.NotFound", "transitGatewayAttachments", "TransitGatewayAttachmentIds" },
  peering = { "vpcPeeringConnectionId", "pcx", "vpc-peering-connection", "InvalidVpcPeeringConnectionID.NotFound", "vpcPeeringConnectionSet", "VpcPeeringConnectionId" },
  acl = { "networkAclId", "acl", "network-acl", "InvalidNetworkAclID.NotFound", "networkAclSet", "NetworkAclId" },
}
local function add(c, kind, resource)
  local spec = kinds[kind]
  local now = core.now(c.world)
  resource[spec[1]] = core.id(c.world, spec[2])
  resource.ownerId = core.account
  resource.tagSet = resource.tagSet or core.tags(c.p, spec[3])
  resource._kind, resource._made, resource._visible = kind, now, now + c.world.lag * core.random(c.world)
  c.region.all[resource[spec[1]]] = resource
  return resource
end

-- What most actions answer.
local done = { ["return"] = "true" }

-- The values of Modify…Attribute: { field = "Parameter" }.
local function take_values(c, r, fields)
  for field, name in pairs(fields) do r[field] = c.p[name .. ".Value"] or r[field] end
  return done
end

-- Time passes: what was pending is there, what was going is gone.
local function settle(c)
  local now = core.now(c.world)
  for id, r in pairs(c.region.all) do
    if r._ready and now >= r._ready then
      r._ready = nil
      r._on_ready(r)
    end
    if r._gone and now >= r._gone then
      c.region.all[id] = nil
    end
  end
end

local function get(c, kind, id)
  local found = c.region.all[id or ""]
  if not found or found._kind ~= kind then
    refuse(kinds[kind][4], ("The %s ID '%s' does not exist"):format(kinds[kind][3], tostring(id)))
  end
  return found
end

local function each(c, kind, fn)
  for _, r in pairs(c.region.all) do
    if r._kind == kind then
      local out = fn(r)
      if out then
        return out
      end
    end
  end
end

local function depends(what, id)
  refuse("DependencyViolation", ("The %s '%s' has dependencies and cannot be deleted."):format(what, id))
end

-- Once for each ClientToken: the same answer again, or a refusal when the request is another.
local function once(c, make)
  local token = c.p.ClientToken
  if not token then
    return make()
  end
  local key = c.action .. token
  local parts = {}
  for name, value in pairs(c.p) do
    parts[#parts + 1] = name .. "=" .. value
  end
  table.sort(parts)
  local same = table.concat(parts, "&")
  local known = c.region.tokens[key]
  if known then
    if known.same ~= same then
      refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
    end
    return known.answer
  end
  local answer = make()
  c.region.tokens[key] = { same = same, answer = answer }
  return answer
end

local special = {
  vpc = {},
  igw = { ["attachment.vpc-id"] = function(r) return r.attachmentSet[1] and r.attachmentSet[1].vpcId or "" end },
  rtb = { ["association.subnet-id"] = function(r)
    local out = {}
    for i, a in ipairs(r.associationSet) do out[i] = a.subnetId or "" end
    return out
  end },
  eni = {
    ["attachment.instance-id"] = function(r) return r.attachment and r.attachment.instanceId or "" end,
    ["group-id"] = function(r)
      local out = {}
      for i, g in ipairs(r.groupSet) do out[i] = g.groupId end
      return out
    end,
  },
  instance = {
    ["instance-state-name"] = function(r) return r.instanceState.name end,
    ["instance.group-id"] = function(r) return r.groupSet[1] and r.groupSet[1].groupId or "" end,
  },
  nat = { state = function(r) return r.state end },
  vgw = { ["attachment.vpc-id"] = function(r)
    local out = {}
    for i, a in ipairs(r.attachments) do out[i] = a.vpcId end
    return out
  end },
  peering = {
    ["requester-vpc-info.vpc-id"] = function(r) return r.requesterVpcInfo.vpcId end,
    ["accepter-vpc-info.vpc-id"] = function(r) return r.accepterVpcInfo.vpcId end,
  },
  volume = { status = function(r) return r.status end, ["attachment.instance-id"] = function(r) return r.attachmentSet[1] and r.attachmentSet[1].instanceId or "" end },
}

local function describe(c, kind, reshape)
  local p, spec = c.p, kinds[kind]
  local filters, found, wanted = core.filters(p), {}, {}
  local ids = core.list(p, spec[6])
  for _, id in ipairs(ids) do
    wanted[id] = true
  end
  local names = kind == "lt" and core.list(p, "LaunchTemplateName") or kind == "key" and core.list(p, "KeyName") or {}
  local now = core.now(c.world)
  local seen = {}
  for id, r in pairs(c.region.all) do
    if r._kind == kind and now >= r._visible and (#ids == 0 or wanted[id]) then
      local good = #names == 0
      for _, name in ipairs(names) do
        good = good or r.launchTemplateName == name or r.keyName == name
      end
      if good and core.passes(r, filters, special[kind]) then
        found[#found + 1] = r
      end
      seen[id] = true
    end
  end
  for _, id in ipairs(ids) do
    if not seen[id] then
      refuse(spec[4], ("The %s ID '%s' does not exist"):format(spec[3], id))
    end
  end
  if #names > 0 and #found == 0 then
    refuse(kind == "lt" and "InvalidLaunchTemplateName.NotFoundException" or spec[4], "At least one of the names does not exist")
  end
  table.sort(found, function(a, b) return a[spec[1]] < b[spec[1]] end)
  local page, token = core.pages(c.world, p, found)
  local out = {}
  for i, r in ipairs(page) do
    out[i] = reshape and reshape(r) or r
  end
  return { [spec[5]] = out, nextToken = token }
end

resources.kinds = kinds
resources.add, resources.get, resources.each, resources.describe, resources.once = add, get, each, describe, once
resources.depends, resources.take_values, resources.done, resources.settle = depends, take_values, done, settle
return resources
