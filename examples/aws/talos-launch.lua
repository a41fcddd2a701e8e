-- talos-launch.lua: starts Talos nodes in the lab for some hours, and shows how they boot.
--
--   netlab run examples/aws/talos-launch.lua --image ami-… --count 3 --hours 3 --yes
--   netlab run examples/aws/talos-launch.lua --image ami-… --config machines/worker.yaml --yes
--
-- By an iPXE image the user data chains to the bastion; by Talos' own image the user data is the machine config.
-- The address and the MAC are known before a node starts, because its interface is made first. At the end of its
-- hours a node is ended by the bastion, and by a schedule of AWS in case the bastion is gone.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.options {
  { name = "dry-run", type = "boolean", default = false, help = "say what would be done, and change nothing" },
  { name = "yes", type = "boolean", default = false, help = "do it" },
  { name = "replace", type = "boolean", default = false, help = "allow a node of another type to be ended and started again" },
  { name = "count", type = "integer", default = 1, help = "how many nodes" },
  { name = "hours", type = "number", default = 3, help = "until they are ended" },
  { name = "image", type = "string", help = "an AMI: iPXE, or Talos with --config" },
  { name = "config", type = "path", help = "a machine config for Talos' own image" },
  { name = "bastion-status", type = "url", help = "where the bastion shows its boots, to follow them" },
  { name = "runs", type = "string", default = "talos-worker", help = "what is to run on them, with commas, such as talos-worker,cozystack: says when they are too small" },
  { name = "nat", type = "string", default = "instance", help = "as given to lab.lua" },
})

local config = opt.config and assert(netlab.fs.read(opt.config))
local runs = {}
for name in opt.runs:gmatch "[^,%s]+" do
  runs[#runs + 1] = name
end
local lab = declaration.lab(opt, { nat = opt.nat, image = opt.image, runs = runs })

netlab.main(function()
  local plan, err = lab:plan { nodes = opt.count }
  if not plan then
    return declaration.finish(nil, err, "plan")
  end
  print(plan:text())
  if opt["dry-run"] or not opt.yes then
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
    print(("  %s %s %s mac %s until %s"):format(node.name, tostring(node.id), tostring(node.ip), tostring(node.mac), expires))
  end
  if code ~= 1 and opt["bastion-status"] then
    local seen = {}
    netlab.timeout("10m", function()
      while true do
        local got = netlab.http.get(opt["bastion-status"])
        local boots = got and got.ok and netlab.json.decode(got.body) or {}
        for _, boot in ipairs(boots.boots or {}) do
          for _, step in ipairs(boot.steps or {}) do
            local line = ("%s %s %s"):format(tostring(boot.node), tostring(step.stage), tostring(step.text or ""))
            if not seen[line] then
              seen[line] = true
              print("  " .. line)
            end
          end
        end
        netlab.sleep "2s"
      end
    end)
  end
  return code
end)
