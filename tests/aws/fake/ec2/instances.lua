-- Instances: what they are started from, and what they leave behind.
local netlab = require "netlab"
local core = require "fake.core"
local interfaces = require "fake.ec2.interfaces"
local resources = require "fake.ec2.resources"
local templates = require "fake.ec2.templates"
local volumes = require "fake.ec2.volumes"

local instances = {}
local actions = {}
local refuse = core.refuse
local add, get, each, describe, once = resources.add, resources.get, resources.each, resources.describe, resources.once

local function merge(base, over)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  for k, v in pairs(over) do out[k] = v end
  return out
end

local states = { pending = "0", running = "16", ["shutting-down"] = "32", terminated = "48", stopping = "64", stopped = "80" }
local function set_state(r, name) r.instanceState = { name = name, code = states[name] } end

local function launch(c, spec, tags)
  local image = volumes.image(c, spec.ImageId)
  local kind = spec.InstanceType or "m1.small"
  local arm = kind:find "^t4g" ~= nil
  if arm ~= (image.architecture == "arm64") then
    refuse("InvalidParameterValue", ("The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI."):format(arm and "arm64" or "x86_64", image.architecture))
  end
  if spec.IamInstanceProfile then
    local profile = c.world.iam.profiles[spec.IamInstanceProfile.Name or ""]
    if not profile or core.now(c.world) < profile._visible then
      refuse("InvalidParameterValue", ("Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"):format(tostring(spec.IamInstanceProfile.Name)))
    end
  end
  if spec.KeyName and not each(c, "key", function(k) return k.keyName == spec.KeyName end) then
    refuse("InvalidKeyPair.NotFound", ("The key pair '%s' does not exist"):format(spec.KeyName))
  end
  local first = spec.NetworkInterface and spec.NetworkInterface[1] or {}
  local eni
  local r = add(c, "instance", { instanceType = kind, imageId = spec.ImageId, architecture = image.architecture, launchTime = netlab.time(), tagSet = tags, keyName = spec.KeyName,
    clientToken = c.p.ClientToken, rootDeviceName = "/dev/xvda", metadataOptions = { httpTokens = spec.MetadataOptions and spec.MetadataOptions.HttpTokens or "optional" },
    iamInstanceProfile = spec.IamInstanceProfile and { arn = "arn:aws:iam::" .. core.account .. ":instance-profile/" .. spec.IamInstanceProfile.Name } or nil })
  r._user_data = spec.UserData
  local ok, why = pcall(function()
    if first.NetworkInterfaceId then
      eni = get(c, "eni", first.NetworkInterfaceId)
      interfaces.attach(c, eni, r, 0, first.DeleteOnTermination == "true")
    else
      local subnet = get(c, "subnet", first.SubnetId or spec.SubnetId)
      eni = interfaces.new(c, subnet, { groups = first.SecurityGroupId or spec.SecurityGroupId, address = first.PrivateIpAddress or spec.PrivateIpAddress, tags = {}, ipv6 = subnet.assignIpv6AddressOnCreation == "true" or (tonumber(first.Ipv6AddressCount) or 0) > 0 })
      interfaces.attach(c, eni, r, 0, first.DeleteOnTermination ~= "false")
      if first.AssociatePublicIpAddress == "true" then eni.association = { publicIp = core.address(c.world) } end
    end
    for i = 2, #(spec.NetworkInterface or {}) do
      local other = spec.NetworkInterface[i]
      interfaces.attach(c, get(c, "eni", other.NetworkInterfaceId), r, tonumber(other.DeviceIndex) or i - 1, other.DeleteOnTermination == "true")
    end
  end)
  if not ok then
    c.region.all[r.instanceId] = nil
    error(why, 0)
  end
  r.subnetId, r.vpcId, r.privateIpAddress, r.groupSet = eni.subnetId, eni.vpcId, eni.privateIpAddress, eni.groupSet
  r.placement = { availabilityZone = eni.availabilityZone }
  local root, device, more = image.root or "/dev/xvda", {}, {}
  for _, mapping in ipairs(spec.BlockDeviceMapping or {}) do
    if mapping.DeviceName == root then device = mapping.Ebs or {} else more[#more + 1] = mapping end
  end
  if device.VolumeSize and tonumber(device.VolumeSize) < tonumber(image.size) then
    c.region.all[r.instanceId] = nil
    eni.status, eni.attachment = "available", nil
    refuse("InvalidBlockDeviceMapping", ("Volume of size %sGB is smaller than snapshot, expect size>= %sGB"):format(device.VolumeSize, image.size))
  end
  r.rootDeviceName, r.blockDeviceMapping = root, {}
  local function disk(name, ebs, size)
    local ends = ebs.DeleteOnTermination or "true"
    local volume = add(c, "volume", { size = ebs.VolumeSize or size, volumeType = ebs.VolumeType or "gp2", status = "in-use", availabilityZone = eni.availabilityZone, encrypted = ebs.Encrypted or "false", createTime = netlab.time(),
      tagSet = spec._volume_tags or {}, attachmentSet = { { instanceId = r.instanceId, device = name, status = "attached", deleteOnTermination = ends } } })
    table.insert(r.blockDeviceMapping, { deviceName = name, ebs = { volumeId = volume.volumeId, status = "attached", deleteOnTermination = ends } })
  end
  disk(root, device, image.size)
  for _, mapping in ipairs(more) do disk(mapping.DeviceName, mapping.Ebs or {}, "8") end
  r._cpu = spec.CreditSpecification and spec.CreditSpecification.CpuCredits or "unlimited"
  set_state(r, "pending")
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "running") end
  return r
end

local function with_public(c, r)
  local out = merge(r, {})
  local interfaces = {}
  each(c, "eni", function(e)
    if e.attachment and e.attachment.instanceId == r.instanceId then
      interfaces[#interfaces + 1] = e
      if e.attachment.deviceIndex == "0" then
        out.ipAddress = e.association and e.association.publicIp or nil
        out.ipv6Address = e.ipv6AddressesSet[1] and e.ipv6AddressesSet[1].ipv6Address or nil
      end
    end
  end)
  out.networkInterfaceSet = interfaces
  return out
end

local function tags_of(data, kind)
  local out = {}
  for _, s in ipairs(data.TagSpecification or {}) do
    if s.ResourceType == kind then
      for _, t in ipairs(s.Tag or {}) do out[#out + 1] = { key = t.Key, value = t.Value } end
    end
  end
  return out
end

function instances.launch_from(c, template, extra, tags)
  local data = merge(template or {}, extra or {})
  data._volume_tags = tags_of(data, "volume")
  local all = tags_of(data, "instance")
  for _, t in ipairs(tags or {}) do all[#all + 1] = t end
  return launch(c, data, all)
end

function actions.RunInstances(c)
  return once(c, function()
    local own = templates.unflatten(c.p)
    local data = {}
    if own.LaunchTemplate then
      local t = templates.find(c, own.LaunchTemplate)
      local v = own.LaunchTemplate.Version
      data = t._versions[(v == "$Latest" and #t._versions) or tonumber((v == "$Default" or not v) and t.defaultVersionNumber or v)]
    end
    own.LaunchTemplate = nil
    local out = {}
    for i = 1, tonumber(c.p.MaxCount) or 1 do
      out[i] = with_public(c, instances.launch_from(c, data, own))
    end
    return { reservationId = core.id(c.world, "r"), ownerId = core.account, instancesSet = out }
  end)
end

function actions.DescribeInstances(c)
  local answer = describe(c, "instance", function(r) return with_public(c, r) end)
  local out = {}
  for i, r in ipairs(answer.instancesSet) do
    out[i] = { reservationId = "r-" .. r.instanceId:sub(3), ownerId = core.account, instancesSet = { r } }
  end
  return { reservationSet = out, nextToken = answer.nextToken }
end

function instances.terminate(c, r)
  if r.instanceState.name == "terminated" or r.instanceState.name == "shutting-down" then return end
  set_state(r, "shutting-down")
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i)
    set_state(i, "terminated")
    i._gone = core.now(c.world) + 3600
    for id, e in pairs(c.region.all) do
      if e._kind == "eni" and e.attachment and e.attachment.instanceId == i.instanceId then
        each(c, "eip", function(a) if a.networkInterfaceId == id and e.attachment.deleteOnTermination == "true" then interfaces.unmap_address(c, a) end end)
        if e.attachment.deleteOnTermination == "true" then
          -- Still there for a while after its instance is gone.
          e._gone = core.now(c.world) + c.world.delay * 0.5
        else
          e.status, e.attachment = "available", nil
        end
      elseif e._kind == "volume" and e.attachmentSet[1] and e.attachmentSet[1].instanceId == i.instanceId then
        if e.attachmentSet[1].deleteOnTermination == "true" then
          e._gone = core.now(c.world)
        else
          e.status, e.attachmentSet = "available", {}
        end
      end
    end
  end
end

local function change_state(c, fn)
  local out = {}
  for i, id in ipairs(core.list(c.p, "InstanceId")) do
    local r = get(c, "instance", id)
    local before = r.instanceState
    fn(r)
    out[i] = { instanceId = id, previousState = before, currentState = r.instanceState }
  end
  return { instancesSet = out }
end
function actions.TerminateInstances(c) return change_state(c, function(r) instances.terminate(c, r) end) end
function actions.StopInstances(c)
  return change_state(c, function(r)
    if r.instanceState.name ~= "running" and r.instanceState.name ~= "stopped" then refuse("IncorrectInstanceState", "The instance is not in a state from which it can be stopped.") end
    set_state(r, "stopping")
    r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "stopped") end
  end)
end
function actions.StartInstances(c)
  return change_state(c, function(r)
    if r.instanceState.name ~= "stopped" and r.instanceState.name ~= "running" then refuse("IncorrectInstanceState", "The instance is not in a state from which it can be started.") end
    set_state(r, "pending")
    r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "running") end
  end)
end

instances.actions = actions
return instances
