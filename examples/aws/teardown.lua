-- teardown.lua: ends an evening, or brings the lab back to $0.00 and proves it.
--
--   netlab run examples/aws/teardown.lua --session --yes       nodes and public address go, the lab stays
--   netlab run examples/aws/teardown.lua --all --yes           everything of the lab goes
--
-- Only what has the lab's tag is touched. When something else lies in the lab's network, nothing is deleted and it is
-- named. Exit codes: 0 nothing was there, 2 done, 1 something is left.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.acting {
  { name = "session", type = "boolean", default = false, help = "end the nodes and what belongs to them" },
  { name = "stop-bastion", type = "boolean", default = false, help = "with --session: stop the bastion now" },
  { name = "all", type = "boolean", default = false, help = "delete the whole lab" },
})

local lab = declaration.lab(opt)
local kinds = require "awslab.kinds"
local prices = require "awslab.prices"

-- What has the lab's tag and is of a kind that no lab makes.
local function by_hand(items)
  local out = {}
  for _, item in ipairs(items) do
    if item.stays then out[#out + 1] = item end
  end
  return out
end

netlab.main(function()
  if opt.session == opt.all then
    print "one of --session and --all is needed"
    return 1
  end
  if opt["dry-run"] or not opt.yes then
    local all, err = lab:leftovers()
    if not all then
      return declaration.finish(nil, err, "look")
    end
    local going, monthly = {}, 0
    for _, item in ipairs(all) do
      if opt.all and not item.stays or kinds.tag_map(item.raw)["netlab:session"] then
        going[#going + 1], monthly = item, monthly + item.monthly
      end
    end
    print(("lab %s: %s would delete %d of %d resources, which cost $%.2f a month"):format(opt.lab, opt.all and "--all" or "--session", #going, #all, monthly))
    declaration.show(going)
    local stays = opt.all and by_hand(all) or {}
    if #stays > 0 then
      print "no teardown deletes what has the lab's tag and was made by somebody else: delete it by hand"
      declaration.show(stays)
    end
    local hidden = declaration.show_unseen(all.unseen)
    local strangers, why = {}, nil
    if opt.all then
      strangers, why = lab:strangers()
    end
    if not strangers then
      return declaration.finish(nil, why, "look")
    end
    for _, s in ipairs(strangers) do
      print(("  in the way: %s %s%s is not the lab's: remove it, or adopt it"):format((s.kind:gsub("_", " ")), s.id, s.name and (" (%s)"):format(s.name) or ""))
    end
    declaration.only_tells(opt, #going)
    return (#strangers > 0 or #stays > 0 or hidden) and 1 or #going > 0 and 2 or 0
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
        compute = compute + (trial and 0 or here * (lab:price(node.type) or 0))
      end
      local disks = hours * 10 * lab:price "gp3_gb_month" / prices.month
      local address = longest * lab:price "public_ipv4"
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
  if declaration.show_unseen(left.unseen) and #left == 0 then
    print(("nothing of lab %s was found in %d regions, but that is no proof: give the profile these permissions, and run it again"):format(opt.lab, count))
    return 1
  elseif #left == 0 then
    print(("nothing of lab %s is left in %d regions: $0.00 a month"):format(opt.lab, count))
    return code
  end
  local stays = by_hand(left)
  print(("%d resources of lab %s are left, $%.2f a month%s:"):format(#left, opt.lab, left.monthly, declaration.unpriced(left)))
  declaration.show(left)
  if #stays < #left then
    print "run it again: it goes on where it stopped"
  end
  if #stays > 0 then
    print(("%d of them were made by somebody else: delete them by hand, or take the tag netlab:lab from them"):format(#stays))
  end
  return 1
end)
