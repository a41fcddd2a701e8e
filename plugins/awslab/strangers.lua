-- What lies in the lab's networks and is not the lab's: it blocks the way, and is none of our business to delete.
local connections = require "awslab.connections"
local kinds = require "awslab.kinds"

---{ { kind, id, name, lab }, … }; `found` is what run:scan has found of the lab.
return function(r, found)
  local out = {}
  local vpcs = {}
  for _, raw in ipairs(found.vpc or {}) do
    vpcs[#vpcs + 1] = raw.vpc_id
  end
  if #vpcs == 0 then
    return out
  end
  local ours = {}
  for word, list in pairs(found) do
    for _, raw in ipairs(list) do
      ours[raw[kinds[word].id]] = true
    end
  end
  local function foreign(word, raw)
    local id, tags = raw[kinds[word].id], kinds.tag_map(raw)
    if ours[id] or tags["netlab:lab"] == r.lab.name then
      return false
    elseif word == "security_group" then
      return raw.group_name ~= "default"
    elseif word == "route_table" then
      for _, a in ipairs(raw.associations) do
        if a.main then return false end
      end
    elseif word == "network_interface" then
      -- Those of the lab's own gateways and instances go with them.
      local by = raw.attachment and raw.attachment.instance_id
      if by then return not ours[by] end
      return raw.interface_type ~= "nat_gateway" and raw.interface_type ~= "natGateway"
    end
    return true
  end
  for _, word in ipairs { "instance", "network_interface", "nat_gateway", "subnet", "security_group", "route_table", "vpc_endpoint", "internet_gateway" } do
    local kind = kinds[word]
    local filter = { [word == "internet_gateway" and "attachment.vpc-id" or "vpc-id"] = vpcs }
    local input = word == "nat_gateway" and { filter = { { name = "vpc-id", values = vpcs } } } or { filters = filter }
    local got = r:call("ec2", kind.action, input)
    local list = kind.flatten and kind.flatten(got[kind.list]) or got[kind.list]
    for _, raw in ipairs(list) do
      if (not kind.here or kind.here(raw)) and foreign(word, raw) then
        local tags, text = kinds.tag_map(raw), raw.description or ""
        out[#out + 1] = { kind = word, id = raw[kind.id], name = tags.Name or text ~= "" and text or nil, lab = tags["netlab:lab"] }
      end
    end
  end
  -- No lab makes these: they stand in its way even with its tag.
  for _, found_one in ipairs(connections(r, vpcs)) do
    local tags = kinds.tag_map(found_one.raw)
    out[#out + 1] = { kind = found_one.kind, id = found_one.id, name = tags.Name, lab = tags["netlab:lab"] }
  end
  return out
end
