-- What ties a VPC to elsewhere and keeps it from being deleted: VPN and transit gateways, peering, network ACLs.
local looked = require "awslab.looked"

-- The filters that find what is of one of the VPCs.
local places = {
  vpn_gateway = { "attachment.vpc-id" }, transit_gateway_attachment = { "resource-id" },
  vpc_peering = { "requester-vpc-info.vpc-id", "accepter-vpc-info.vpc-id" }, network_acl = { "vpc-id" },
}

---{ { kind, id, raw }, … }. Who may not list one of these does not see it, and learns of it when AWS refuses.
return function(r, vpcs)
  local out, known = {}, {}
  for word, filters in pairs(places) do
    local kind = looked[word]
    for _, filter in ipairs(filters) do
      local got, err = r:try("ec2", kind.action, { filters = { [filter] = vpcs } })
      if not got and err.code ~= "denied" then
        error(err, 0)
      end
      for _, raw in ipairs(got and got[kind.list] or {}) do
        local attached = word ~= "vpn_gateway"
        for _, a in ipairs(raw.vpc_attachments or {}) do
          attached = attached or a.state ~= "detached"
        end
        local id = raw[kind.id]
        if kind.here(raw) and attached and not known[id] then
          known[id] = true
          out[#out + 1] = { kind = word, id = id, raw = raw }
        end
      end
    end
  end
  table.sort(out, function(a, b) return a.kind .. a.id < b.kind .. b.id end)
  return out
end
