-- reaper.lua: ends nodes whose hours are over. Runs on the bastion, whose role may end the lab's nodes and nothing else.
--
--   netlab run examples/aws/reaper.lua            stays up and looks every minute
--   netlab run examples/aws/reaper.lua --once     for cron: 0 nothing was over, 2 nodes were ended, 1 could not look
--
-- A schedule of AWS does the same at the same time, in case the bastion is gone: talos-launch.lua makes it.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.options {
  { name = "every", type = "duration", default = "1m", help = "between two looks" },
  { name = "once", type = "boolean", default = false, help = "look once and end" },
})

local lab = declaration.lab(opt)

netlab.main(function()
  while true do
    local names, err = lab:reap()
    if not names then
      netlab.log.warn("nodes cannot be looked at: " .. err.message)
    end
    for _, name in ipairs(names or {}) do
      netlab.log.info("the hours of a node are over: it ends", { node = name })
    end
    if opt.once then
      return not names and 1 or #names > 0 and 2 or 0
    end
    netlab.sleep(opt.every)
  end
end)
