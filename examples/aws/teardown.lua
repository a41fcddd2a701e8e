-- teardown.lua: ends an evening, or brings the lab back to $0.00 and proves it.
--
--   netlab run examples/aws/teardown.lua --session --yes       nodes and public address go, the lab stays
--   netlab run examples/aws/teardown.lua --all --yes           everything of the lab goes
--
-- Only what has the lab's tag is touched. When something else lies in the lab's network, nothing is deleted and it is
-- named. Exit codes: 0 nothing was there, 2 done, 1 something is left.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.options {
  { name = "dry-run", type = "boolean", default = false, help = "say what would go, and delete nothing" },
  { name = "yes", type = "boolean", default = false, help = "do it" },
  { name = "session", type = "boolean", default = false, help = "end the nodes and what belongs to them" },
  { name = "stop-bastion", type = "boolean", default = false, help = "with --session: stop the bastion now" },
  { name = "all", type = "boolean", default = false, help = "delete the whole lab" },
})

local lab = declaration.lab(opt)
local prices = require "awslab.prices"

local function show(items)
  for _, item in ipairs(items) do
    print(("  %s %s %s%s%s"):format(item.region, item.kind, item.id, item.name and (" (%s)"):format(item.name) or "", item.monthly > 0 and (", $%.2f a month"):format(item.monthly) or ""))
  end
end

netlab.main(function()
  if opt.session == opt.all then
    print "one of --session and --all is needed"
    return 1
  end
  if opt["dry-run"] or not opt.yes then
    local left, err = lab:leftovers()
    if not left then
      return declaration.finish(nil, err, "look")
    end
    print(("lab %s has %d resources, $%.2f a month:"):format(opt.lab, #left, left.monthly))
    show(left)
    return #left > 0 and 2 or 0
  end
  local function tell(word, id)
    print(("  deleted %s %s"):format((word:gsub("_", " ")), id))
  end
  if opt.session then
    local nodes = lab:nodes() or {}
    local out, err = lab:end_session { tell = tell, stop_bastion = opt["stop-bastion"] }
    local code = declaration.finish(out, err, "end of the session")
    if out and code ~= 1 then
      local hours, longest, compute = 0, 0, 0
      for _, node in ipairs(nodes) do
        local here = declaration.hours_between(node.launched, netlab.time())
        local trial = node.type == prices.trial.type and prices.trial_runs(netlab.time())
        hours, longest = hours + here, math.max(longest, here)
        compute = compute + (trial and 0 or here * (prices.of(opt.region, node.type) or 0))
      end
      local disks = hours * 10 * prices.of(opt.region, "gp3_gb_month") / prices.month
      local address = longest * prices.of(opt.region, "public_ipv4")
      print(("the session is over: %d nodes, %.1f node-hours: about $%.4f (compute $%.4f, disks $%.4f, public address $%.4f)"):format(
        #nodes, hours, compute + disks + address, compute, disks, address))
    end
    return code
  end
  local out, err = lab:destroy { tell = tell }
  local code = declaration.finish(out, err, "teardown")
  if not out then
    return 1
  end
  local left, why = lab:leftovers()
  if not left then
    return declaration.finish(nil, why, "the proof")
  end
  local count = 0
  for _ in pairs(left.regions) do
    count = count + 1
  end
  if #left == 0 then
    print(("nothing of lab %s is left in %d regions: $0.00 a month"):format(opt.lab, count))
    return code
  end
  print(("%d resources of lab %s are left, $%.2f a month:"):format(#left, opt.lab, left.monthly))
  show(left)
  return 1
end)
