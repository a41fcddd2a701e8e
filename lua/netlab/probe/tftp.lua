-- netlab probe tftp URL: fetches a file and says how it went.
local netlab = require "netlab"
local steps = require "netlab.probe.steps"

local opt = netlab.args {
  { name = "url", type = "string", help = "tftp://10.0.0.1/file" },
  { name = "blksize", type = "integer", default = 1428, help = "asked of the server" },
  { name = "windowsize", type = "integer", help = "asked of the server" },
}

netlab.main(function()
  if not opt.url then
    print("usage: netlab probe tftp tftp://10.0.0.1/file")
    return 2
  end
  steps.begin()
  local got, err = netlab.tftp.get(opt.url, { blksize = opt.blksize, windowsize = opt.windowsize, keep = "0B" })
  if not got then
    return steps.stop("tftp", tostring(err))
  end
  steps.say("tftp", ("%s in %.3f s (%.1f MB/s), blksize %d, windowsize %d, %d sent again"):format(steps.size(got.bytes),
    got.elapsed, got.bytes / 1e6 / math.max(got.elapsed, 1e-9), got.blksize, got.windowsize, got.retransmissions))
  print("sha256     " .. got.sha256)
  return 0
end)
