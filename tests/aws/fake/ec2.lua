-- EC2 as far as a lab needs it, and as strict as the real one: what is in use cannot be deleted, what is made takes
-- time, shows late, and leaves network interfaces behind. A file of the folder ec2 an idea; here is what is of none.
local core = require "fake.core"
local instances = require "fake.ec2.instances"
local interfaces = require "fake.ec2.interfaces"
local resources = require "fake.ec2.resources"
local templates = require "fake.ec2.templates"

local ec2 = {}
local actions = {}
local refuse, done = core.refuse, resources.done

for _, name in ipairs { "networks", "connections", "gateways", "interfaces", "routes", "groups", "templates", "volumes", "instances" } do
  for action, handler in pairs(require("fake.ec2." .. name).actions) do actions[action] = handler end
end

function actions.DescribeRegions(c)
  local out = {}
  for i, name in ipairs(c.world.enabled) do
    out[i] = { regionName = name, regionEndpoint = ("ec2.%s.amazonaws.com"):format(name), optInStatus = "opt-in-not-required" }
  end
  return { regionInfo = out }
end

function actions.CreateTags(c)
  for _, id in ipairs(core.list(c.p, "ResourceId")) do
    local r = c.region.all[id] or refuse("InvalidID", ("The ID '%s' is not valid"):format(id))
    for _, tag in ipairs(core.structures(c.p, "Tag")) do core.set_tag(r, tag.Key, tag.Value or "") end
    if #r.tagSet > 50 then refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.") end
  end
  return done
end
function actions.DeleteTags(c)
  for _, id in ipairs(core.list(c.p, "ResourceId")) do
    local r = c.region.all[id] or refuse("InvalidID", ("The ID '%s' is not valid"):format(id))
    for _, tag in ipairs(core.structures(c.p, "Tag")) do
      for i, t in ipairs(r.tagSet) do
        if t.key == tag.Key then table.remove(r.tagSet, i) break end
      end
    end
  end
  return done
end

-- The answer of one action as XML. `c` is { world, region, p, action }.
function ec2.answer(c)
  resources.settle(c)
  local handler = actions[c.action or ""]
  if not handler then
    refuse("InvalidAction", ("The action %s is not valid for this web service."):format(tostring(c.action)))
  end
  if c.p.DryRun == "true" then
    refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
  end
  local out = handler(c)
  return ('<?xml version="1.0" encoding="UTF-8"?>\n<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>%s</requestId>%s</%sResponse>'):format(
    c.action, core.id(c.world, "req"), core.xml(out, "item"), c.action)
end

ec2.settle, ec2.get, ec2.find_template = resources.settle, resources.get, templates.find
ec2.managed_interface, ec2.release_interfaces = interfaces.managed, interfaces.release
ec2.launch_from, ec2.terminate = instances.launch_from, instances.terminate
return ec2
