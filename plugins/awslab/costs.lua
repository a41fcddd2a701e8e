-- What one thing of an inventory costs an hour, and what there is to say of it.
local netlab = require "netlab"
local kinds = require "awslab.kinds"
local prices = require "awslab.prices"

-- Whose a service's network interface is, by what it writes there: of what has no price here, this is the trace.
local owners = {
  { "^RDSNetworkInterface", "an RDS database" }, { "^Amazon EKS (.+)", "the EKS cluster %s" }, { "^arn:aws[%w-]*:ecs:", "an ECS task" },
  { "^ElastiCache", "an ElastiCache cluster" }, { "^EFS mount target for (%S+)", "the EFS file system %s" },
  { "^AWS Lambda VPC ENI%-?(.*)", "the Lambda function %s" }, { "^RedshiftNetworkInterface", "a Redshift cluster" },
}
-- What is an entry of the inventory itself.
local counted = { nat_gateway = true, natGateway = true, vpc_endpoint = true, gateway_load_balancer_endpoint = true, transit_gateway = true, load_balancer = true, network_load_balancer = true, gateway_load_balancer = true }

local function owner(raw)
  local text = raw.description or ""
  if not raw.requester_managed or counted[raw.interface_type or ""] or text:find "^ELB " then
    return nil
  end
  for _, known in ipairs(owners) do
    local name = text:match(known[1])
    if name then
      return known[2]:format(name)
    end
  end
  return text ~= "" and text or raw.requester_id or "a service of AWS"
end

local unknown = "only the bill tells what it costs"

-- A public address counts where it is: an elastic one by itself, any other at its interface.
local of = {}

function of.instance(price, raw)
  if raw.state.name ~= "running" then
    return 0, raw.state.name
  elseif raw.instance_type == prices.trial.type and prices.trial_runs(netlab.time()) then
    return 0, ("free in the %s trial, until %s"):format(prices.trial.type, prices.trial.ends)
  end
  local hourly = price(raw.instance_type)
  if hourly == 0 then
    return 0, unknown, true
  end
  return hourly
end

function of.volume(price, raw) return price "gp3_gb_month" * (raw.size or 0) / prices.month end
function of.snapshot(price, raw) return price "snapshot_gb_month" * (raw.volume_size or 0) / prices.month end

-- Its snapshots are entries of their own.
function of.image(_, raw)
  local names = {}
  for _, device in ipairs(raw.block_device_mappings or {}) do
    if device.ebs and device.ebs.snapshot_id then names[#names + 1] = device.ebs.snapshot_id end
  end
  return 0, #names > 0 and "costs what its snapshots cost: " .. table.concat(names, ", ") or nil
end

function of.elastic_ip(price) return price "public_ipv4" end
function of.nat_gateway(price, raw) return raw.state ~= "deleting" and price "nat_gateway" or 0 end

function of.network_interface(price, raw)
  local whose = owner(raw)
  local public = raw.association and not raw.association.allocation_id
  local note = whose and ("of %s: %s"):format(whose, unknown) or public and "public address " .. tostring(raw.association.public_ip) or nil
  return public and price "public_ipv4" or 0, note, whose ~= nil
end

-- Those that are a route cost nothing, the others by the hour and zone.
function of.vpc_endpoint(price, raw)
  local zones = math.max(1, #(raw.subnet_ids or {}))
  if kinds.tag_map(raw).AWSNetworkFirewallManaged == "true" then
    return price "network_firewall" * zones, "of a network firewall"
  end
  return raw.vpc_endpoint_type ~= "Gateway" and price "interface_endpoint" * zones or 0
end

function of.load_balancer(price) return price "load_balancer" end
function of.classic_load_balancer(price) return price "classic_load_balancer" end
function of.vpn_connection(price, raw) return raw.state ~= "deleting" and price "vpn_connection" or 0 end
function of.transit_gateway_attachment(price, raw) return raw.state ~= "deleting" and price "transit_gateway_attachment" or 0 end
function of.log_group(price, raw) return price "logs_gb_month" * (raw.stored_bytes or 0) / 2 ^ 30 / prices.month end
function of.bucket() return 0, "costs by its size, which only listing it tells", true end

---Dollars an hour, a note or nil, and whether no price is known.
return function(run, region, word, raw)
  if not of[word] then
    return 0
  end
  return of[word](function(what) return prices.of(region, what, run.lab.refreshed) or 0 end, raw)
end
