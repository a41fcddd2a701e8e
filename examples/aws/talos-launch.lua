-- talos-launch.lua: starts Talos nodes in the lab for some hours, and shows how they boot.
--
--   netlab run examples/aws/talos-launch.lua --image ami-… --count 3 --hours 3 --yes
--   netlab run examples/aws/talos-launch.lua --image ami-… --config machines/worker.yaml --yes
--   netlab run examples/aws/talos-launch.lua --image ami-… --count 3 --follow --yes      shows how they boot
--
-- By an iPXE image the user data chains to the bastion; by Talos' own image the user data is the machine config.
-- The address and the MAC are known before a node starts, because its interface is made first. At the end of its
-- hours a node is ended by the bastion, and by a schedule of AWS in case the bastion is gone.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.acting {
  { name = "replace", type = "boolean", default = false, help = "allow a node of another type to be ended and started again" },
  { name = "count", type = "integer", default = 1, help = "how many nodes" },
  { name = "hours", type = "number", default = 3, help = "until they are ended" },
  { name = "image", type = "string", help = "an AMI: iPXE, or Talos with --config" },
  { name = "config", type = "path", help = "a machine config for Talos' own image" },
  { name = "follow", type = "boolean", default = false, help = "show their boots as the bastion sees them, by SSH" },
  { name = "user", type = "string", default = "admin", help = "on the bastion, for --follow" },
  { name = "identity", type = "path", help = "its SSH key, for --follow; by default what ssh uses" },
  { name = "known-hosts", type = "path", help = "the host keys that --follow trusts; by default ssh's own" },
  { name = "accept-host-key", type = "boolean", default = false, help = "take the bastion's host key unseen, when it is not known yet" },
  { name = "status", type = "string", help = "for --follow instead of SSH: a command that prints what `netlab status --boots --json` does" },
  { name = "stage", type = "string", default = "image", help = "with --follow: until every node has its config, image or is ready" },
  { name = "patience", type = "duration", default = "10m", help = "with --follow: how long that may take" },
  { name = "runs", type = "string", default = "talos-worker", help = "what is to run on them, with commas, such as talos-worker,cozystack: says when they are too small" },
  { name = "nat", type = "string", default = "instance", help = "as given to lab.lua" },
})

if opt.count < 1 or opt.hours <= 0 then
  error("--count and --hours are 1 and more than 0 at least", 0)
end
local config = opt.config and assert(netlab.fs.read(opt.config))
local runs = {}
for name in opt.runs:gmatch "[^,%s]+" do
  runs[#runs + 1] = name
end
local lab = declaration.lab(opt, { nat = opt.nat, image = opt.image, runs = runs })

netlab.main(function()
  local plan, err = lab:plan { nodes = opt.count, hours = opt.hours }
  if not plan then
    return declaration.finish(nil, err, "plan")
  end
  print(plan:text())
  -- The bastion is one more.
  if opt.count + 1 > declaration.at_once then
    print(("with the bastion these are %d t4g instances: the lab's rule is %d at once, and cost-check.lua will say so"):format(opt.count + 1, declaration.at_once))
  end
  if declaration.only_tells(opt, plan.code) then
    return plan.code
  end
  local expires = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + opt.hours * 3600)
  local out, why = lab:launch {
    count = opt.count, image = opt.image, expires = expires,
    user_data = config and function() return config end or nil,
    replace = opt.replace, tell = declaration.tell,
  }
  local code = declaration.finish(out, why, "launch")
  for _, node in ipairs(out and out.nodes or {}) do
    if node.id then
      print(("  %s %s %s mac %s until %s"):format(node.name, node.id, node.ip, node.mac, expires))
    end
  end
  if out and code == 1 then
    print "what was made stays, and its address costs: run it again, or give it back: teardown.lua --session --yes"
  end
  if code == 1 or not (opt.follow or opt.status) then
    return code
  end
  local command
  for word in (opt.status or ""):gmatch "%S+" do
    command = command or {}
    command[#command + 1] = word
  end
  local seen, trouble = lab:follow {
    nodes = out.nodes, command = command, stage = opt.stage, deadline = opt.patience, pace = opt.pace,
    ssh = { host = out.outputs.bastion_ipv6 or out.outputs.bastion_ip, user = opt.user, identity = opt.identity, known_hosts = opt["known-hosts"], accept_host_key = opt["accept-host-key"] },
    tell = function(node, line) print(("  %s %s"):format(node.name, line)) end,
    waiting = function(text) print("  the bastion does not tell yet: " .. text) end,
  }
  if not seen then
    return declaration.finish(nil, trouble, "follow")
  end
  if seen.trouble then
    print("  the bastion does not tell: " .. seen.trouble)
  end
  for _, node in ipairs(seen.stuck) do
    print(("  %s did not come to %s: %s%s"):format(node.node, opt.stage, node.why or (node.furthest and "its last step was " .. node.furthest or "the bastion has seen nothing of it"), node.remedy and "; " .. node.remedy or ""))
  end
  print(("%d of %d nodes came to %s"):format(#seen.there, #out.nodes, opt.stage))
  return #seen.stuck > 0 and 1 or code
end)
