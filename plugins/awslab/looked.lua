-- What an inventory looks at in every region: what labs are made of, what else has a price, and what ties a VPC to
-- elsewhere. The fields are those of kinds.lua.
local kinds = require "awslab.kinds"

local looked = {}

for _, word in ipairs { "instance", "volume", "elastic_ip", "nat_gateway", "network_interface", "vpc", "subnet", "internet_gateway", "egress_only_gateway", "vpc_endpoint", "route_table", "security_group", "dhcp_options", "launch_template", "key_pair", "auto_scaling_group" } do
  looked[word] = kinds[word]
end

-- AWS goes on showing for an hour what is gone.
local function stays(raw)
  return raw.state ~= "deleted" and raw.state ~= "failed" and raw.state ~= "rejected"
end

local own = { owner_ids = { "self" } }
looked.snapshot = { action = "describe_snapshots", list = "snapshots", id = "snapshot_id", word = "snapshot", input = own }
looked.image = { action = "describe_images", list = "images", id = "image_id", word = "image", input = { owners = { "self" } } }
looked.vpn_gateway = { action = "describe_vpn_gateways", list = "vpn_gateways", id = "vpn_gateway_id", word = "vpn-gateway", here = stays }
looked.vpn_connection = { action = "describe_vpn_connections", list = "vpn_connections", id = "vpn_connection_id", word = "vpn-connection", here = stays }
looked.transit_gateway = { action = "describe_transit_gateways", list = "transit_gateways", id = "transit_gateway_id", word = "transit-gateway", here = stays }
looked.transit_gateway_attachment = { action = "describe_transit_gateway_attachments", list = "transit_gateway_attachments", id = "transit_gateway_attachment_id", word = "transit-gateway-attachment", here = stays }
looked.vpc_peering = { action = "describe_vpc_peering_connections", list = "vpc_peering_connections", id = "vpc_peering_connection_id", word = "vpc-peering-connection",
  here = function(raw)
    local code = (raw.status or {}).code
    return code ~= "deleted" and code ~= "rejected" and code ~= "expired" and code ~= "failed"
  end }
looked.network_acl = { action = "describe_network_acls", list = "network_acls", id = "network_acl_id", word = "network-acl", here = function(raw) return not raw.is_default end }

-- These do not tell their tags: `arn` says what the tagging service calls them.
looked.load_balancer = { service = "elbv2", action = "describe_load_balancers", list = "load_balancers", id = "load_balancer_name",
  arn = function(raw) return raw.load_balancer_arn end }
looked.classic_load_balancer = { service = "elb", action = "describe_load_balancers", list = "load_balancer_descriptions", id = "load_balancer_name",
  arn = function(raw, region) return ("arn:aws:elasticloadbalancing:%s::loadbalancer/%s"):format(region, raw.load_balancer_name) end }
looked.log_group = { service = "logs", action = "describe_log_groups", list = "log_groups", id = "log_group_name",
  arn = function(raw, region) return ("arn:aws:logs:%s::log-group:%s"):format(region, raw.log_group_name) end }

-- Schedules have no tags of their own: the lab is in the name.
looked.schedule = { service = "scheduler", action = "list_schedules", list = "schedules", id = "name",
  lab = function(raw) return raw.name:match "^netlab%-(.+)%-expiry$" end }

return looked
