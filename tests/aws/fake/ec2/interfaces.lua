-- Elastic addresses and network interfaces.
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local interfaces = {}
local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, once, take_values, done = resources.add, resources.get, resources.each, resources.describe, resources.once, resources.take_values, resources.done

function actions.AllocateAddress(c)
  local n = 0
  each(c, "eip", function() n = n + 1 end)
  if n >= 5 then refuse("AddressLimitExceeded", "The maximum number of addresses has been reached.") end
  local r = add(c, "eip", { publicIp = core.address(c.world), domain = "vpc" })
  return { publicIp = r.publicIp, allocationId = r.allocationId, domain = "vpc" }
end
function actions.DescribeAddresses(c) return describe(c, "eip") end

local function map_address(c, eip, eni)
  eip.associationId = core.id(c.world, "eipassoc")
  eip.networkInterfaceId, eip.instanceId = eni.networkInterfaceId, eni.attachment and eni.attachment.instanceId or nil
  eip.privateIpAddress = eni.privateIpAddress
  eni.association = { publicIp = eip.publicIp, allocationId = eip.allocationId, associationId = eip.associationId }
end

local function unmap_address(c, eip)
  local eni = c.region.all[eip.networkInterfaceId or ""]
  if eni then eni.association = nil end
  eip.associationId, eip.networkInterfaceId, eip.instanceId, eip.privateIpAddress = nil, nil, nil, nil
end

function actions.AssociateAddress(c)
  local eip = get(c, "eip", c.p.AllocationId)
  local eni
  if c.p.NetworkInterfaceId then
    eni = get(c, "eni", c.p.NetworkInterfaceId)
  else
    local instance = get(c, "instance", c.p.InstanceId)
    each(c, "eni", function(e)
      if e.attachment and e.attachment.instanceId == instance.instanceId and e.attachment.deviceIndex == "0" then eni = e end
    end)
  end
  if eip.associationId and c.p.AllowReassociation == "false" then
    refuse("Resource.AlreadyAssociated", "resource " .. eip.allocationId .. " is already associated with associate-id " .. eip.associationId)
  end
  local igw = each(c, "igw", function(g) return g.attachmentSet[1] and g.attachmentSet[1].vpcId == eni.vpcId end)
  if not igw then refuse("Gateway.NotAttached", ("Network %s is not attached to any internet gateway"):format(eni.vpcId)) end
  if eip.associationId then unmap_address(c, eip) end
  map_address(c, eip, eni)
  return { ["return"] = "true", associationId = eip.associationId }
end

function actions.DisassociateAddress(c)
  local eip = each(c, "eip", function(r) return r.associationId == c.p.AssociationId and r end)
  if not eip then refuse("InvalidAssociationID.NotFound", ("The association ID '%s' does not exist"):format(tostring(c.p.AssociationId))) end
  if eip._nat then refuse("AuthFailure", "You do not have permission to access the specified resource.", 400) end
  unmap_address(c, eip)
  return done
end

function actions.ReleaseAddress(c)
  local r = get(c, "eip", c.p.AllocationId)
  if r.associationId then refuse("InvalidIPAddress.InUse", ("Address %s is in use."):format(r.publicIp)) end
  c.region.all[r.allocationId] = nil
  return done
end

local function free_address(c, subnet, wanted)
  local n, taken = core.network(subnet.cidrBlock), {}
  each(c, "eni", function(e)
    if e.subnetId == subnet.subnetId then taken[e.privateIpAddress] = true end
  end)
  if wanted then
    local at = core.number(wanted)
    if not at or at < n.first + 4 or at >= n.last then
      refuse("InvalidParameterValue", ("Address %s does not fall within the subnet's address range"):format(wanted))
    elseif taken[wanted] then
      refuse("InvalidIPAddress.InUse", ("The specified address is already in use: %s"):format(wanted))
    end
    return wanted
  end
  for at = n.first + 4, n.last - 1 do
    if not taken[core.text(at)] then return core.text(at) end
  end
  refuse("InsufficientFreeAddressesInSubnet", "not enough free addresses")
end

local function new_interface(c, subnet, options)
  local groups = {}
  for i, id in ipairs(options.groups or {}) do
    local g = get(c, "sg", id)
    if g.vpcId ~= subnet.vpcId then refuse("InvalidGroup.NotFound", "The security group '" .. id .. "' does not exist in VPC '" .. subnet.vpcId .. "'") end
    groups[i] = { groupId = g.groupId, groupName = g.groupName }
  end
  if #groups == 0 then
    each(c, "sg", function(g)
      if g.vpcId == subnet.vpcId and g.groupName == "default" then groups[1] = { groupId = g.groupId, groupName = "default" } end
    end)
  end
  local address = free_address(c, subnet, options.address)
  c.world.serial = c.world.serial + 1
  return add(c, "eni", {
    subnetId = subnet.subnetId, vpcId = subnet.vpcId, availabilityZone = subnet.availabilityZone, privateIpAddress = address, status = "available",
    macAddress = ("02:%02x:%02x:%02x:%02x:%02x"):format(7, 1, math.floor(c.world.serial / 65536) % 256, math.floor(c.world.serial / 256) % 256, c.world.serial % 256),
    groupSet = groups, sourceDestCheck = options.check or "true", description = options.description or "", interfaceType = options.kind or "interface",
    tagSet = options.tags, requesterManaged = options.managed or "false", privateIpAddressesSet = { { privateIpAddress = address, primary = "true" } },
    ipv6AddressesSet = options.ipv6 and { { ipv6Address = (subnet.ipv6CidrBlockAssociationSet and subnet.ipv6CidrBlockAssociationSet[1].ipv6CidrBlock:gsub("::/64", ("::%x"):format(c.world.serial)) or refuse("InvalidParameterValue", "the subnet has no IPv6 block")) } } or {},
  })
end

-- Interfaces of a service of Amazon's: nobody else may delete them, and they stay for a while when it is gone.
function interfaces.managed(c, subnet_id, description, kind)
  local eni = new_interface(c, get(c, "subnet", subnet_id), { description = description, kind = kind, tags = {}, managed = "true" })
  eni.status = "in-use"
  return eni
end
function interfaces.release(c, description)
  each(c, "eni", function(e)
    if e.description == description then e._gone = core.now(c.world) + c.world.delay end
  end)
end

function actions.CreateNetworkInterface(c)
  return once(c, function()
    need(c.p, "SubnetId")
    local subnet = get(c, "subnet", c.p.SubnetId)
    return { networkInterface = new_interface(c, subnet, { groups = core.list(c.p, "SecurityGroupId"), address = c.p.PrivateIpAddress, description = c.p.Description, ipv6 = (tonumber(c.p.Ipv6AddressCount) or 0) > 0 }) }
  end)
end
function actions.DescribeNetworkInterfaces(c) return describe(c, "eni") end

function actions.ModifyNetworkInterfaceAttribute(c)
  local r = get(c, "eni", c.p.NetworkInterfaceId)
  take_values(c, r, { sourceDestCheck = "SourceDestCheck" })
  local groups = core.list(c.p, "SecurityGroupId")
  if groups[1] then
    r.groupSet = {}
    for i, id in ipairs(groups) do r.groupSet[i] = { groupId = get(c, "sg", id).groupId, groupName = get(c, "sg", id).groupName } end
  end
  return done
end

function actions.DeleteNetworkInterface(c)
  local r = get(c, "eni", c.p.NetworkInterfaceId)
  if r.requesterManaged == "true" then
    refuse("OperationNotPermitted", "You do not have permission to delete this network interface: it is managed by another service.")
  elseif r.status ~= "available" then
    refuse("InvalidParameterValue", ("Network interface '%s' is currently in use."):format(r.networkInterfaceId))
  end
  each(c, "eip", function(e) if e.networkInterfaceId == r.networkInterfaceId then unmap_address(c, e) end end)
  c.region.all[r.networkInterfaceId] = nil
  return done
end

local function attach(c, eni, instance, index, delete)
  if eni.status ~= "available" then refuse("InvalidNetworkInterface.InUse", ("Interface %s is in use."):format(eni.networkInterfaceId)) end
  eni.status = "in-use"
  eni.attachment = { attachmentId = core.id(c.world, "eni-attach"), instanceId = instance.instanceId, deviceIndex = tostring(index), status = "attached", deleteOnTermination = delete and "true" or "false" }
end

function actions.AttachNetworkInterface(c)
  local eni, instance = get(c, "eni", c.p.NetworkInterfaceId), get(c, "instance", c.p.InstanceId)
  if instance.instanceState.name ~= "running" and instance.instanceState.name ~= "stopped" then
    refuse("IncorrectState", ("The instance '%s' is not in the 'running' state."):format(instance.instanceId))
  end
  attach(c, eni, instance, c.p.DeviceIndex, false)
  return { attachmentId = eni.attachment.attachmentId }
end

function actions.DetachNetworkInterface(c)
  local eni = each(c, "eni", function(e) return e.attachment and e.attachment.attachmentId == c.p.AttachmentId and e end)
  if not eni then refuse("InvalidAttachmentID.NotFound", "The attachment does not exist") end
  if eni.attachment.deviceIndex == "0" then refuse("OperationNotPermitted", "The network interface at device index 0 cannot be detached.") end
  eni.status, eni.attachment = "available", nil
  return done
end

interfaces.new, interfaces.attach, interfaces.map_address, interfaces.unmap_address = new_interface, attach, map_address, unmap_address
interfaces.actions = actions
return interfaces
