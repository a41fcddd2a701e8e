-- Asks AWS' Pricing API for what prices.lua has from a list, and keeps it in a file that goes before that list.
local netlab = require "netlab"
local prices = require "awslab.prices"
local names = require "netlab.names"

local pricing = {}

local linux = { operatingSystem = "Linux", preInstalledSw = "NA", tenancy = "Shared", capacitystatus = "Used" }

-- What one product costs when it is paid as it is used; a first tier for nothing is none.
local function usd_of(text)
  local product = netlab.json.decode(text)
  local usd
  for _, term in pairs(product and product.terms and product.terms.OnDemand or {}) do
    for _, dimension in pairs(term.priceDimensions or {}) do
      local price = tonumber((dimension.pricePerUnit or {}).USD)
      usd = price and price > 0 and price or usd
    end
  end
  return usd
end

---The prices of a region by the names of prices.table, as they are now; nil, err.
function pricing.fetch(aws, region)
  local prefix = prices.prefixes[region]
  if not prefix then
    return nil, netlab.err.new("unsupported", ("the usage types of %s have no known prefix; those of %s have"):format(region, names(prices.prefixes)), "prices")
  end
  local wanted = {}
  for what, usage in pairs(prices.usage) do
    wanted[what] = usage
  end
  for _, size in ipairs { "nano", "micro", "small", "medium", "large" } do
    wanted["t4g." .. size] = { "AmazonEC2", "BoxUsage:t4g." .. size, linux }
  end
  local out = {}
  for what, usage in pairs(wanted) do
    local filters = { usagetype = prefix .. usage[2] }
    for field, value in pairs(usage[3] or {}) do
      filters[field] = value
    end
    local got, err = aws.pricing:get_products { service_code = usage[1], filters = filters }
    if not got then
      return nil, err
    end
    for _, text in ipairs(got.price_list or {}) do
      out[what] = usd_of(text) or out[what]
    end
  end
  return out
end

---Writes a region's prices beside those of others that the file has; true, or nil, err.
function pricing.keep(path, region, found)
  local old, err = prices.read(path)
  if err then
    return nil, err
  end
  local today = netlab.time():sub(1, 10)
  local data = old or { dates = {}, prices = {} }
  data.dates[region], data.prices[region] = today, found
  return netlab.fs.write(path, netlab.json.encode(data, true))
end

return pricing
