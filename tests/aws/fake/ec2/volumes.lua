-- Volumes, snapshots and images.
local netlab = require "netlab"
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local volumes = {}
local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, done = resources.add, resources.get, resources.each, resources.describe, resources.done

local images = {
  ["ami-0debian12arm64000"] = { architecture = "arm64", name = "debian-12-arm64", size = "2" },
  ["ami-0ubuntu2404arm640"] = { architecture = "arm64", name = "ubuntu-24.04-arm64", size = "8", root = "/dev/sda1" },
  ["ami-0talosarm64000000"] = { architecture = "arm64", name = "talos-v1.11.3-eu-west-1-arm64", size = "2" },
  ["ami-0ipxearm640000000"] = { architecture = "arm64", name = "ipxe-arm64", size = "1" },
}

---Anybody's image by its id, or one of the account's own.
function volumes.image(c, id)
  local own = c.region.all[id or ""]
  if own and own._kind == "image" then
    return { architecture = own.architecture, name = own.name, size = own._size }
  end
  return images[id or ""] or refuse("InvalidAMIID.NotFound", ("The image id '[%s]' does not exist"):format(tostring(id)))
end

function actions.DescribeImages(c)
  if core.list(c.p, "Owner")[1] == "self" then
    return describe(c, "image")
  end
  local out = {}
  for _, id in ipairs(core.list(c.p, "ImageId")) do
    local image = volumes.image(c, id)
    out[#out + 1] = { imageId = id, architecture = image.architecture, name = image.name, imageState = "available", rootDeviceName = image.root or "/dev/xvda", blockDeviceMapping = { { deviceName = image.root or "/dev/xvda", ebs = { volumeSize = image.size } } } }
  end
  return { imagesSet = out }
end

-- A snapshot of every volume of the instance, which stays when the image is given up.
function actions.CreateImage(c)
  need(c.p, "InstanceId", "Name")
  local instance = get(c, "instance", c.p.InstanceId)
  each(c, "image", function(i)
    if i.name == c.p.Name then refuse("InvalidAMIName.Duplicate", ("AMI name %s is already in use by AMI %s"):format(i.name, i.imageId)) end
  end)
  local r = add(c, "image", { name = c.p.Name, architecture = instance.architecture, imageState = "available", imageOwnerId = core.account, rootDeviceName = "/dev/xvda", blockDeviceMapping = {} })
  each(c, "volume", function(volume)
    if volume.attachmentSet[1] and volume.attachmentSet[1].instanceId == instance.instanceId then
      local snapshot = add(c, "snapshot", { volumeId = volume.volumeId, volumeSize = volume.size, status = "completed", startTime = netlab.time(), description = "Created by CreateImage for " .. r.imageId, tagSet = {} })
      r._size = volume.size
      table.insert(r.blockDeviceMapping, { deviceName = "/dev/xvda", ebs = { snapshotId = snapshot.snapshotId, volumeSize = volume.size, volumeType = volume.volumeType } })
    end
  end)
  return { imageId = r.imageId }
end
function actions.DeregisterImage(c)
  c.region.all[get(c, "image", c.p.ImageId).imageId] = nil
  return done
end

function actions.DescribeVolumes(c) return describe(c, "volume") end
function actions.DescribeSnapshots(c) return describe(c, "snapshot") end
function actions.CreateSnapshot(c)
  local volume = get(c, "volume", c.p.VolumeId)
  return add(c, "snapshot", { volumeId = volume.volumeId, volumeSize = volume.size, status = "completed", startTime = netlab.time() })
end
function actions.DeleteSnapshot(c)
  local r = get(c, "snapshot", c.p.SnapshotId)
  each(c, "image", function(i)
    for _, device in ipairs(i.blockDeviceMapping) do
      if device.ebs.snapshotId == r.snapshotId then refuse("InvalidSnapshot.InUse", ("The snapshot %s is currently in use by %s"):format(r.snapshotId, i.imageId)) end
    end
  end)
  c.region.all[r.snapshotId] = nil
  return done
end
function actions.DeleteVolume(c)
  local v = get(c, "volume", c.p.VolumeId)
  if v.status ~= "available" then refuse("VolumeInUse", ("Volume %s is currently attached to %s"):format(v.volumeId, v.attachmentSet[1] and v.attachmentSet[1].instanceId or "?")) end
  c.region.all[v.volumeId] = nil
  return done
end

volumes.actions = actions
return volumes
