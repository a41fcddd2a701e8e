-- Key pairs and launch templates.
local netlab = require "netlab"
local core = require "fake.core"
local resources = require "fake.ec2.resources"

local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, once, done = resources.add, resources.get, resources.each, resources.describe, resources.once, resources.done

function actions.ImportKeyPair(c)
  need(c.p, "KeyName", "PublicKeyMaterial")
  each(c, "key", function(k)
    if k.keyName == c.p.KeyName then refuse("InvalidKeyPair.Duplicate", ("The keypair '%s' already exists."):format(c.p.KeyName)) end
  end)
  local text = netlab.base64.decode(c.p.PublicKeyMaterial)
  if not text or not text:find "^ssh%-" then refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format") end
  local k = add(c, "key", { keyName = c.p.KeyName, keyFingerprint = netlab.digest.sha256(text):sub(1, 32), keyType = "ed25519" })
  return { keyName = k.keyName, keyFingerprint = k.keyFingerprint, keyPairId = k.keyPairId }
end
function actions.DescribeKeyPairs(c) return describe(c, "key") end
function actions.DeleteKeyPair(c)
  each(c, "key", function(k)
    if k.keyName == c.p.KeyName or k.keyPairId == c.p.KeyPairId then c.region.all[k.keyPairId] = nil end
  end)
  return done
end

-- Flat parameters as a table: "Ebs.VolumeSize" → Ebs = { VolumeSize = … }, "Tag.1.Key" → lists.
local function unflatten(flat)
  local out = {}
  for key, value in pairs(flat) do
    local at = out
    local parts = {}
    for part in key:gmatch "[^.]+" do parts[#parts + 1] = tonumber(part) or part end
    for i = 1, #parts - 1 do
      at[parts[i]] = at[parts[i]] or {}
      at = at[parts[i]]
    end
    at[parts[#parts]] = value
  end
  return out
end

local answer_names = { BlockDeviceMapping = "blockDeviceMappingSet", NetworkInterface = "networkInterfaceSet", SecurityGroupId = "securityGroupIdSet", TagSpecification = "tagSpecificationSet", Tag = "tagSet", ElasticGpuSpecification = "elasticGpuSpecificationSet" }
local function answer_shape(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, inner in pairs(value) do
    if type(key) == "number" then
      out[key] = answer_shape(inner)
    else
      out[answer_names[key] or key:sub(1, 1):lower() .. key:sub(2)] = answer_shape(inner)
    end
  end
  return out
end

local function template_data(c, prefix)
  local data = core.below(c.p, prefix .. ".")
  if not data then refuse("MissingParameter", "The request must contain the parameter LaunchTemplateData") end
  return unflatten(data)
end

function actions.CreateLaunchTemplate(c)
  return once(c, function()
    need(c.p, "LaunchTemplateName")
    each(c, "lt", function(t)
      if t.launchTemplateName == c.p.LaunchTemplateName then
        refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
      end
    end)
    local t = add(c, "lt", { launchTemplateName = c.p.LaunchTemplateName, defaultVersionNumber = "1", latestVersionNumber = "1", createTime = netlab.time() })
    t._versions = { template_data(c, "LaunchTemplateData") }
    t._texts = { c.p.VersionDescription or "" }
    return { launchTemplate = t }
  end)
end
local function find_template(c, p)
  if p.LaunchTemplateId then return get(c, "lt", p.LaunchTemplateId) end
  local found = each(c, "lt", function(t) return t.launchTemplateName == p.LaunchTemplateName and t end)
  return found or refuse("InvalidLaunchTemplateName.NotFoundException", ("The specified launch template, with template name %s, does not exist."):format(tostring(p.LaunchTemplateName)))
end
function actions.DescribeLaunchTemplates(c) return describe(c, "lt") end
function actions.CreateLaunchTemplateVersion(c)
  return once(c, function()
    local t = find_template(c, c.p)
    t._versions[#t._versions + 1] = template_data(c, "LaunchTemplateData")
    t._texts[#t._versions] = c.p.VersionDescription or ""
    t.latestVersionNumber = tostring(#t._versions)
    return { launchTemplateVersion = { launchTemplateId = t.launchTemplateId, launchTemplateName = t.launchTemplateName, versionNumber = t.latestVersionNumber } }
  end)
end
function actions.DescribeLaunchTemplateVersions(c)
  local t = find_template(c, c.p)
  local out = {}
  for i, data in ipairs(t._versions) do
    local wanted = true
    for _, v in ipairs(core.list(c.p, "LaunchTemplateVersion")) do
      wanted = v == tostring(i) or (v == "$Latest" and i == #t._versions) or (v == "$Default" and tostring(i) == t.defaultVersionNumber)
    end
    if wanted then
      out[#out + 1] = { launchTemplateId = t.launchTemplateId, launchTemplateName = t.launchTemplateName, versionNumber = tostring(i), versionDescription = t._texts[i], defaultVersion = tostring(tostring(i) == t.defaultVersionNumber), launchTemplateData = answer_shape(data) }
    end
  end
  return { launchTemplateVersionSet = out }
end
function actions.ModifyLaunchTemplate(c)
  local t = find_template(c, c.p)
  if not t._versions[tonumber(c.p.SetDefaultVersion)] then refuse("InvalidLaunchTemplateId.VersionNotFound", "no such version") end
  t.defaultVersionNumber = c.p.SetDefaultVersion
  return { launchTemplate = t }
end
function actions.DeleteLaunchTemplate(c)
  local t = find_template(c, c.p)
  c.region.all[t.launchTemplateId] = nil
  return { launchTemplate = t }
end

return { actions = actions, find = find_template, unflatten = unflatten }
