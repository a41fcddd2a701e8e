-- netlab aws prices: what plans and checks are priced by, and with --refresh what AWS asks today.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "region", type = "string", default = "eu-west-1", help = "whose prices" },
  { name = "refresh", type = "boolean", default = false, help = "ask the Pricing API, which is free, and keep what it says" },
  { name = "prices", type = "path", default = "prices.json", help = "where that is kept: the option of this name of the recipes" },
  { name = "profile", type = "string", help = "a profile of ~/.aws; by default AWS_PROFILE" },
  { name = "mfa-code", type = "string", help = "for a profile with role_arn and mfa_serial" },
}

netlab.plugin "awslab" -- whose modules these are
local prices = require "awslab.prices"
local pricing = require "awslab.pricing"
local aws = netlab.aws.client { region = opt.region, profile = opt.profile, mfa_code = opt["mfa-code"] }

local units = { nat_gateway_gb = "a GB", gp3_gb_month = "a GB and month", snapshot_gb_month = "a GB and month", s3_gb_month = "a GB and month", logs_gb_month = "a GB and month" }

-- A line for each price that the region has; `before` is what the same thing cost until now.
local function show(found, before)
  local known = {}
  for what in pairs(found) do
    known[#known + 1] = what
  end
  table.sort(known)
  for _, what in ipairs(known) do
    local old = before and before(what)
    local change = before and old ~= found[what] and (old and (" (was $%g)"):format(old) or " (new)") or ""
    print(("  %-27s $%-8g %s%s"):format(what, found[what], units[what] or "an hour", change))
  end
end

netlab.main(function()
  local kept, err = prices.read(opt.prices)
  if err then
    return nil, err
  end
  local mine = kept and kept.prices[opt.region] or {}
  if opt.refresh then
    local found
    found, err = pricing.fetch(aws, opt.region)
    if not found then
      return nil, err
    elseif not next(found) then
      return nil, netlab.err.new("not_found", "the Pricing API has no price of " .. opt.region .. " that is asked for", "prices")
    end
    local kept_now
    kept_now, err = pricing.keep(opt.prices, opt.region, found)
    if not kept_now then
      return nil, err
    end
    print(("what %s costs today, kept in %s:"):format(opt.region, opt.prices))
    show(found, function(what)
      return (prices.of(opt.region, what, kept))
    end)
    return 0
  end
  local table_of = {}
  for what, usd in pairs(prices.table[opt.region] or {}) do
    table_of[what] = usd
  end
  for what, usd in pairs(mine) do
    table_of[what] = usd
  end
  if not next(table_of) then
    print(("no prices of %s are known: plans show those of eu-west-1; --refresh asks for them"):format(opt.region))
    return 1
  end
  print(("what %s costs, read on %s%s:"):format(opt.region, prices.date_of(opt.region, kept), next(mine) and " (" .. opt.prices .. ")" or ""))
  show(table_of)
  print(("%s: %d h a month are free until %s"):format(prices.trial.type, prices.trial.hours, prices.trial.ends))
  print(prices.age(netlab.time(), opt.region, kept) or "nothing is fetched unless --refresh says so")
  return 0
end)
