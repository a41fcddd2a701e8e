-- What things cost, in US dollars: list prices with the day they were read. Nothing here is fetched on its own:
-- netlab aws prices --refresh asks the Pricing API and writes a file that goes before this table.
local netlab = require "netlab"

local prices = {}

prices.date = "2026-11-21"

-- Instances, gateways, connections and load balancers by the hour; interface endpoints and those of a network firewall
-- by the hour and zone. 0.005 is the public IPv4 address, in use or idle, everywhere since 2024-02-01.
-- Bills of eu-west-1 that were published agree: load balancer (2026-07, $15.00 for 595 h), NAT gateway, VPN, interface
-- endpoint and address (2026-05, all with the same 8 % discount). Transit gateways, firewalls, logs and classic load
-- balancers, and us-east-1 beside machines and disks, were compared with no bill and no page: --refresh asks AWS (of a
-- firewall it cannot).
prices.table = {
  ["eu-west-1"] = {
    ["t4g.nano"] = 0.0046, ["t4g.micro"] = 0.0092, ["t4g.small"] = 0.0184, ["t4g.medium"] = 0.0368, ["t4g.large"] = 0.0736,
    nat_gateway = 0.048, nat_gateway_gb = 0.048, public_ipv4 = 0.005, gp3_gb_month = 0.088, snapshot_gb_month = 0.05,
    s3_gb_month = 0.023, interface_endpoint = 0.011, load_balancer = 0.0252, classic_load_balancer = 0.028,
    vpn_connection = 0.05, transit_gateway_attachment = 0.05, network_firewall = 0.395, logs_gb_month = 0.03,
  },
  ["us-east-1"] = {
    ["t4g.nano"] = 0.0042, ["t4g.micro"] = 0.0084, ["t4g.small"] = 0.0168, ["t4g.medium"] = 0.0336, ["t4g.large"] = 0.0672,
    nat_gateway = 0.045, nat_gateway_gb = 0.045, public_ipv4 = 0.005, gp3_gb_month = 0.08, snapshot_gb_month = 0.05,
    s3_gb_month = 0.023, interface_endpoint = 0.01, load_balancer = 0.0225, classic_load_balancer = 0.025,
    vpn_connection = 0.05, transit_gateway_attachment = 0.05, network_firewall = 0.395, logs_gb_month = 0.03,
  },
}

-- Names in the Pricing API: the service, and the usage type after the region's prefix.
prices.usage = {
  nat_gateway = { "AmazonEC2", "NatGateway-Hours" }, nat_gateway_gb = { "AmazonEC2", "NatGateway-Bytes" },
  gp3_gb_month = { "AmazonEC2", "EBS:VolumeUsage.gp3" }, snapshot_gb_month = { "AmazonEC2", "EBS:SnapshotUsage" },
  public_ipv4 = { "AmazonVPC", "PublicIPv4:InUseAddress" }, interface_endpoint = { "AmazonVPC", "VpcEndpoint-Hours" },
  load_balancer = { "AWSELB", "LoadBalancerUsage", { productFamily = "Load Balancer-Application" } },
  classic_load_balancer = { "AWSELB", "LoadBalancerUsage", { productFamily = "Load Balancer" } },
  vpn_connection = { "AmazonVPC", "VPN-Usage-Hours:ipsec.1" }, transit_gateway_attachment = { "AmazonVPC", "TransitGateway-Hours", { operation = "TransitGatewayVPC" } },
  logs_gb_month = { "AmazonCloudWatch", "TimedStorage-ByteHrs" },
}
prices.prefixes = { ["us-east-1"] = "", ["eu-west-1"] = "EU-", ["eu-central-1"] = "EUC1-", ["eu-west-2"] = "EUW2-", ["eu-north-1"] = "EUN1-" }

-- The t4g.small trial: this many hours a month for all regions and accounts of a payer together.
prices.trial = { type = "t4g.small", hours = 750, ends = "2026-12-31" }

prices.month = 730

-- Days between two "YYYY-MM-DD…" texts.
local function days(text)
  local y, m, d = text:match "^(%d+)-(%d+)-(%d+)"
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  if m <= 2 then
    y, m = y - 1, m + 12
  end
  return 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400) + math.floor((153 * (m - 3) + 2) / 5) + d
end
prices.days = days

---The tables that --refresh wrote, { dates, prices } by region, for the functions below; nothing when there is no
---file; nil, err when it is none.
function prices.read(path)
  if not path or not netlab.fs.exists(path) then
    return nil
  end
  local text, err = netlab.fs.read(path)
  local data, problem = netlab.json.decode(text or "")
  local good = type(data) == "table" and type(data.dates) == "table" and type(data.prices) == "table"
  for name, region in pairs(good and data.prices or {}) do
    local date = data.dates[name]
    good = good and type(region) == "table" and type(date) == "string" and date:find "^%d%d%d%d%-%d%d%-%d%d$" ~= nil
    for _, usd in pairs(good and region or {}) do good = good and type(usd) == "number" end
  end
  if not good then
    return nil, netlab.err.new("invalid", ("%s is no table of prices%s: delete it, or have netlab aws prices --refresh write it anew"):format(
      path, (err or problem) and " (" .. (err or problem).message .. ")" or ""), "prices")
  end
  return data
end

---The price of `what` in a region and whether it is that region's own; other regions are told as eu-west-1's.
function prices.of(region, what, refreshed)
  local own = refreshed and refreshed.prices and refreshed.prices[region] and refreshed.prices[region][what]
    or prices.table[region] and prices.table[region][what]
  if own then
    return own, true
  end
  return prices.table["eu-west-1"][what], false
end

---When a region's prices were read.
function prices.date_of(region, refreshed)
  return refreshed and refreshed.dates[region] or prices.date
end

---How old a region's prices are, as a sentence; nil when they are younger than 90 days.
function prices.age(now, region, refreshed)
  local date = prices.date_of(region, refreshed)
  local old = days(now) - days(date)
  if old >= 90 then
    return ("the prices are %d days old (%s): netlab aws prices --refresh --region %s brings new ones"):format(old, date, region)
  end
end

---Whether the trial still runs at this time.
function prices.trial_runs(now)
  return now:sub(1, 10) <= prices.trial.ends
end

return prices
