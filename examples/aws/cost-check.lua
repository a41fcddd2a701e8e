-- cost-check.lua: what the month has cost so far and will cost, from calls that cost nothing.
--
--   netlab run examples/aws/cost-check.lua                   exit code 0: within the budget, 2: not, 1: could not tell
--   netlab run examples/aws/cost-check.lua --cost-explorer   asks Cost Explorer too: $0.01 a page, kept for a day
--   netlab aws prices --refresh                              new prices, for the option --prices
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.options {
  { name = "all-regions", type = "boolean", default = false, help = "look at every enabled region" },
  { name = "cost-explorer", type = "boolean", default = false, help = "ask Cost Explorer: $0.01 a page, kept for a day" },
  { name = "cache", type = "path", default = "cost-explorer.json", help = "where its answer is kept" },
  { name = "aws-budget", type = "string", help = "make an AWS Budget that writes to this mail address" },
  { name = "hours", type = "number", default = 3, help = "of one experiment" },
  { name = "nodes", type = "integer", default = 3, help = "of one experiment" },
  { name = "evenings", type = "integer", default = 20, help = "a month" },
})

local lab = declaration.lab(opt)
local aws = declaration.client(opt)
local inventory = require "awslab.inventory"
local kinds = require "awslab.kinds"
local model = require "awslab.model"
local prices = require "awslab.prices"

local function price(what)
  return lab:price(what)
end

-- The services that a lab has; anything else on the bill is a surprise.
local expected = { ["Amazon Elastic Compute Cloud - Compute"] = true, ["EC2 - Other"] = true, ["Amazon Virtual Private Cloud"] = true, ["Amazon Simple Storage Service"] = true, ["AWS Cost Explorer"] = true, ["Tax"] = true, ["AmazonCloudWatch"] = true }

local function explorer()
  local cached = netlab.fs.read(opt.cache)
  local data = cached and netlab.json.decode(cached)
  local today = netlab.time():sub(1, 10)
  if not data or data.date ~= today then
    print "Cost Explorer: asking costs $0.01"
    local got, err = aws.ce:get_cost_and_usage({
      time_period = { start = today:sub(1, 8) .. "01", ["end"] = os.date("!%Y-%m-%d", os.time() + 86400) }, granularity = "MONTHLY", metrics = { "UnblendedCost" },
      group_by = { { type = "DIMENSION", key = "SERVICE" } },
    }, { pages = 1 })
    if not got then
      return nil, err
    end
    data = { date = today, services = {} }
    for _, group in ipairs(got.results_by_time[1] and got.results_by_time[1].groups or {}) do
      data.services[group.keys[1]] = tonumber(group.metrics.UnblendedCost.amount)
    end
    netlab.fs.write(opt.cache, netlab.json.encode(data))
  end
  return data.services
end

-- Hours of this month that a resource has been there, and will be: until its end when it has one, by its schedule when
-- it is the bastion, else until the month's end. What was there and is gone only the bill knows.
local function hours_of(item, now, ends_of_nodes)
  local tags = kinds.tag_map(item.raw)
  local year, month = tonumber(now:sub(1, 4)), tonumber(now:sub(6, 7))
  local first, last = now:sub(1, 8) .. "01", ("%04d-%02d-01"):format(month == 12 and year + 1 or year, month % 12 + 1)
  local raw = item.raw
  local began = raw.launch_time or raw.create_time or raw.created_time or raw.creation_timestamp or raw.start_time or raw.creation_time
  local past = type(began) == "string" and declaration.hours_between(began > first and began or first, now) or 0
  local left = declaration.hours_between(now, last)
  local ends = tags["netlab:expires-at"] or (tags["netlab:session"] and ends_of_nodes)
  if ends then
    return past, math.min(left, declaration.hours_between(now, ends))
  elseif tags["aws:autoscaling:groupName"] then
    return past, left * model.bastion_hours { bastion = { schedule = declaration.schedule } } / prices.month
  end
  return past, left
end

netlab.main(function()
  local now = netlab.time()
  local found, err = lab:inventory { all_regions = opt["all-regions"] }
  if not found then
    return declaration.finish(nil, err, "inventory")
  end
  local over = false
  local running = 0
  print(("what exists in %s, as of %s:"):format(opt["all-regions"] and "all enabled regions" or opt.region, now:sub(1, 16)))
  local costly = {}
  for _, item in ipairs(found.items) do
    if item.kind == "instance" and item.raw.instance_type:find "^t4g" and item.raw.state.name == "running" then
      running = running + 1
    end
    if item.monthly > 0 or item.note then
      costly[#costly + 1] = item
    end
  end
  declaration.show(costly)
  print(#found.items == 0 and "  nothing" or ("  %d more cost nothing"):format(#found.items - #costly))
  declaration.show_unseen(found.unseen)
  local free, why = aws.freetier:get_free_tier_usage {}
  if free then
    for _, usage in ipairs(free.free_tier_usages or {}) do
      print(("  free tier: %s %s: %.1f of %.1f %s used, %.1f forecast"):format(usage.service, usage.usage_type or "", usage.actual_usage_amount, usage.limit, usage.unit or "", usage.forecasted_usage_amount or 0))
      if (usage.usage_type or ""):find "t4g" and (usage.forecasted_usage_amount or 0) > usage.limit then
        print "  the t4g hours of the trial will not last for the month"
        over = true
      end
    end
  else
    print("  the Free Tier API does not answer: " .. why.message)
  end
  if prices.trial_runs(now) then
    print(("  the %s trial (%d h a month) ends on %s; then %d h of a bastion cost $%.2f"):format(prices.trial.type, prices.trial.hours, prices.trial.ends, 152, 152 * price(prices.trial.type)))
  else
    print(("  the %s trial is over since %s: a bastion of 152 h costs $%.2f, a t4g.nano $%.2f; fewer hours cost less"):format(prices.trial.type, prices.trial.ends, 152 * price(prices.trial.type), 152 * price "t4g.nano"))
  end
  if running > declaration.at_once then
    print(("  %d t4g instances run: more than %d at once"):format(running, declaration.at_once))
    over = true
  end
  local ends_of_nodes
  for _, item in ipairs(found.items) do
    ends_of_nodes = item.kind == "instance" and kinds.tag_map(item.raw)["netlab:expires-at"] or ends_of_nodes
  end
  local so_far, forecast = 0, 0
  for _, item in ipairs(found.items) do
    local past, future = hours_of(item, now, ends_of_nodes)
    so_far, forecast = so_far + item.hourly * past, forecast + item.hourly * future
  end
  print(("month to date: $%.4f for what is there now; the rest of the month: $%.4f, with the bastion's hours and the nodes' ends%s"):format(so_far, forecast, declaration.unpriced(found.items)))
  local disk = price "gp3_gb_month" * 10 / prices.month
  local compute = prices.trial_runs(now) and 0 or price "t4g.small"
  local one = opt.nodes * opt.hours * (disk + compute) + opt.hours * price "public_ipv4"
  print(("an experiment of %d nodes for %g h costs $%.4f, %d evenings a month $%.2f%s"):format(opt.nodes, opt.hours, one, opt.evenings, one * opt.evenings,
    one * opt.evenings > opt.budget and ("; the budget has room for %d"):format(math.floor(opt.budget / one)) or ""))
  local age = lab:prices_age()
  if age then
    print(age)
  end
  local spent
  if opt["cost-explorer"] then
    local services, trouble = explorer()
    if not services then
      return declaration.finish(nil, trouble, "Cost Explorer")
    end
    spent = 0
    for service, amount in pairs(services) do
      spent = spent + amount
      print(("  billed: %s $%.4f%s"):format(service, amount, expected[service] and "" or "  UNEXPECTED"))
      over = over or not expected[service]
    end
    print(("month to date by the bill: $%.4f"):format(spent))
  end
  if opt["aws-budget"] then
    local who = assert(aws.sts:get_caller_identity())
    local made, trouble = aws.budgets:create_budget {
      account_id = who.account, resource_tags = { { key = "netlab:lab", value = opt.lab } },
      budget = { budget_name = inventory.budget_name(opt.lab), budget_limit = { amount = tostring(opt.budget), unit = "USD" }, time_unit = "MONTHLY", budget_type = "COST" },
      notifications_with_subscribers = { { notification = { notification_type = "ACTUAL", comparison_operator = "GREATER_THAN", threshold = 80 }, subscribers = { { subscription_type = "EMAIL", address = opt["aws-budget"] } } } },
    }
    if not made and trouble.aws ~= "DuplicateRecordException" then
      return declaration.finish(nil, trouble, "AWS Budget")
    end
    print(("AWS Budget %s watches too"):format(inventory.budget_name(opt.lab)))
  end
  if (spent or so_far) + forecast > opt.budget then
    over = true
  end
  print(over and ("over the budget of $%.2f"):format(opt.budget) or ("within the budget of $%.2f"):format(opt.budget))
  return over and 2 or 0
end)
