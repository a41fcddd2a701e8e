-- fleet.lua: the same small lab in many regions at once, with a result for each.
--
--   netlab run examples/aws/fleet.lua --dry-run
--   netlab run examples/aws/fleet.lua --regions eu-west-1,us-east-1 --yes
--   netlab run examples/aws/fleet.lua --down --yes
--
-- One t4g.nano a region, reached by IPv6, because a public IPv4 address costs more than the machine. A region that is
-- not enabled in the account is told and left out. Exit codes: 0 nothing to do, 2 done or to be done, 1 a region failed.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.acting {
  { name = "regions", type = "string", default = "us-east-1,us-west-1,ca-central-1,mx-central-1,sa-east-1,eu-west-2,eu-west-3,eu-central-1,eu-south-2,eu-north-1,me-central-1,il-central-1,af-south-1,ap-south-1,ap-southeast-1,ap-southeast-3,ap-southeast-5,ap-southeast-2,ap-northeast-2,ap-east-1", help = "regions, with commas" },
  { name = "ssh", type = "cidr", help = "the network that may reach SSH" },
  { name = "ceiling", type = "number", default = 100, help = "dollars a month for all of them" },
  { name = "down", type = "boolean", default = false, help = "delete them instead" },
})

local plugin = netlab.plugin "awslab"
local fleet = {}
for region in opt.regions:gmatch "[^,%s]+" do
  local inward = { { cidr = "::/0", port = 443 }, { cidr = "::/0", port = 80 } }
  if opt.ssh then
    inward[3] = { cidr = opt.ssh, port = 22 }
  end
  fleet[#fleet + 1] = { region = region, lab = plugin.lab {
    name = opt.lab .. "-" .. region, region = region, cidr = "10.20.0.0/16", ipv6 = true,
    aws = declaration.client(opt), account = opt.account,
    subnets = { public = { cidr = "10.20.1.0/24", public = true, ipv6 = true } },
    groups = { node = { ingress = inward, egress = { { cidr = "0.0.0.0/0" }, { cidr = "::/0" } } } },
    bastion = { name = "node-" .. region, group = opt.lab .. "-" .. region, type = "t4g.nano", subnet = "public", public_subnet = "public", address = "10.20.1.10", groups = { "node" }, disk = "8GiB" },
    budget = opt.ceiling, prices = opt.prices, pace = opt.pace, visibility = opt.visibility,
  } }
end

netlab.main(function()
  local enabled = {}
  for _, r in ipairs(assert(fleet[1].lab:regions())) do
    enabled[r] = true
  end
  local tasks, total, code = {}, 0, 0
  for i, entry in ipairs(fleet) do
    tasks[i] = enabled[entry.region] and netlab.spawn(function()
      if opt.down then
        if not opt.yes or opt["dry-run"] then
          local left, err = entry.lab:leftovers()
          return left and { code = #left > 0 and 2 or 0, text = ("%d resources"):format(#left), cost = 0 }, err
        end
        local out, err = entry.lab:destroy()
        return out and { code = out.code, text = ("%d deleted"):format(#out.gone), cost = 0 }, err
      end
      local plan, err = entry.lab:plan()
      if not plan then
        return nil, err
      end
      if opt["dry-run"] or not opt.yes then
        return { code = plan.code, text = ("%d to create, %d to change"):format(plan.counts.create, plan.counts.change), cost = plan.cost.monthly }
      end
      local out, why = entry.lab:apply()
      if out and out.failed[1] then
        why = { message = out.failed[1].message }
        out = nil
      end
      return out and { code = out.code, text = ("%d made in %.1f s %s"):format(#out.made, out.seconds, out.outputs.bastion_ipv6 or ""), cost = plan.cost.monthly }, why
    end) or false
  end
  for i, entry in ipairs(fleet) do
    local got, err
    if tasks[i] then
      got, err = tasks[i]:wait()
    end
    if not tasks[i] then
      print(("  %-16s not enabled in this account: enable it, or leave it out"):format(entry.region))
    elseif got then
      total = total + got.cost
      code = code == 1 and 1 or math.max(code, got.code)
      print(("  %-16s %s"):format(entry.region, got.text))
    else
      code = 1
      print(("  %-16s FAILED: %s"):format(entry.region, err.message))
    end
  end
  if not opt.down then
    print(("all of them: $%.2f a month of a ceiling of $%.2f; a public IPv4 address each would add $%.2f"):format(total, opt.ceiling, #fleet * 0.005 * 730))
    if total > opt.ceiling then
      print "that is over the ceiling"
    end
  end
  declaration.only_tells(opt, code == 2 and code or 0)
  return code
end)
