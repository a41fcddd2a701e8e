-- Volumes, snapshots and images.
local netlab = require "netlab"
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local actions = {}
local refuse = core.refuse
local add, get, describe, done = resources.add, resources.get, resources.describe, resources.done

local images = {
  ["ami-0debian12arm64000"] = { architecture = "arm64", name = "debian-12-arm64", size = "2" },
  ["ami-0ubuntu2404arm640"] = { architecture = "arm64", name = "ubuntu-24.04-arm64", size = "8" },
  ["ami-0talosarm64000000"] = { architecture = "arm64", name = "talos-v1.11.3-eu-west-1-arm64", size = "2" },
  ["ami-0ipxearm640000000"] = { architecture = "arm64", name = "ipxe-arm64", size = "1" },
}
function actions.DescribeImages(c)
  local out = {}
  for _, id in ipairs(core.list(c.p, "ImageId")) do
    local image = images[id] or refuse("InvalidAMIID.NotFound", ("The image id '[%s]' does not exist"):format(id))
    out[#out + 1] = { imageId = id, architecture = image.architecture, name = image.name, imageState = "available", rootDeviceName = "/dev/xvda", blockDeviceMapping = { { deviceName = "/dev/xvda", ebs = { volumeSize = image.size } } } }
  end
  return { imagesSet = out }
end

function actions.DescribeVolumes(c) return describe(c, "volume") end
function actions.DescribeSnapshots(c) return describe(c, "snapshot") end
function actions.CreateSnapshot(c)
  local volume = get(c, "volume", c.p.VolumeId)
  return add(c, "snapshot", { volumeId = volume.volumeId, volumeSize = volume.size, status = "completed", startTime = netlab.time() })
end
function actions.DeleteVolume(c)
  local v = get(c, "volume", c.p.VolumeId)
  if v.status ~= "available" then refuse("VolumeInUse", ("Volume %s is currently attached to %s"):format(v.volumeId, v.attachmentSet[1] and v.attachmentSet[1].instanceId or "?")) end
  c.region.all[v.volumeId] = nil
  return done
end

return { actions = actions, images = images }
