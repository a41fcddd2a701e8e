-- Takes what somebody else made under a lab's tags, after showing where it differs from the declaration.
local netlab = require "netlab"
local kinds = require "awslab.kinds"

---{ { key, id, differences, adopted }, … }; `resources` is all that the lab declares.
return function(r, resources, options)
  local by_key = {}
  for _, res in ipairs(resources) do
    by_key[res.key] = res
  end
  local out = {}
  for key, id in pairs(options.resources or {}) do
    local res = by_key[key]
    if not res then
      error(netlab.err.new("invalid", ("the lab declares no %s"):format(key), "resources"), 0)
    end
    local kind = kinds[res.kind]
    local raw
    if res.kind == "auto_scaling_group" then
      raw = r:call("autoscaling", kind.action, { auto_scaling_group_names = { id } })[kind.list][1]
    elseif kind.get then
      if res.name ~= id then
        error(netlab.err.new("invalid", ("%s cannot be renamed to %s: name it so in the declaration (bastion.role, bastion.profile, bucket.name)"):format(id, res.name), "resources"), 0)
      end
      raw = kind.get(r, id)
    else
      local got = r:call("ec2", kind.action, { [kind.id .. "s"] = { id } })[kind.list]
      raw = (kind.flatten and kind.flatten(got) or got)[1]
    end
    if not raw then
      error(netlab.err.new("not_found", ("there is no %s %s"):format(res.kind, id), "resources"), 0)
    end
    local owner = kinds.tag_map(raw)["netlab:lab"]
    if owner and owner ~= r.lab.name then
      error(netlab.err.new("conflict", ("%s belongs to lab %s"):format(id, owner), "resources"), 0)
    end
    out[#out + 1] = { key = key, id = id, raw = raw, resource = res, tag = kind.tag }
    r.live[key] = raw
  end
  table.sort(out, function(a, b) return a.key < b.key end)
  for _, entry in ipairs(out) do
    local kind = kinds[entry.resource.kind]
    entry.differences = kind.differ and kind.differ(r, entry.resource, entry.raw) or {}
    local tags = { ["netlab:lab"] = r.lab.name, ["netlab:name"] = entry.resource.name }
    if options.yes then
      if entry.resource.kind == "auto_scaling_group" then
        local list = {}
        for k, v in pairs(tags) do
          list[#list + 1] = { resource_id = entry.id, resource_type = "auto-scaling-group", key = k, value = v, propagate_at_launch = true }
        end
        r:call("autoscaling", "create_or_update_tags", { tags = list })
      elseif entry.tag then
        entry.tag(r, entry.id, tags)
      else
        r:call("ec2", "create_tags", { resources = { entry.id }, tags = tags })
      end
      entry.adopted = true
    end
    entry.raw, entry.resource, entry.tag = nil, nil, nil
  end
  return out
end
