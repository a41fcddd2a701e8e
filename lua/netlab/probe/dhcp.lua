-- netlab probe dhcp: asks for an address as a chosen firmware would, and shows every step and offer.
local netlab = require "netlab"
local steps = require "netlab.probe.steps"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where to ask; it needs no address" },
  { name = "kind", type = "string", default = "plain", help = "plain, pxe, http_boot or ipxe" },
  { name = "architecture", type = "integer", default = 7, help = "option 93: 0 BIOS, 7 x86-64 UEFI, 11 arm64 UEFI" },
  { name = "mac", type = "mac", help = "of the client; the interface's own unless given" },
  { name = "timeout", type = "duration", default = "10s", help = "for the whole exchange" },
}

netlab.main(function()
  steps.begin()
  local report, err = netlab.dhcp.probe {
    interface = opt.interface,
    kind = opt.kind,
    architecture = opt.architecture,
    mac = opt.mac,
    timeout = opt.timeout,
    release = true,
  }
  if not report then
    return steps.stop("dhcp", tostring(err))
  end
  steps.dhcp(report, 0)
  for _, offer in ipairs(report.offers) do
    print(("offer      %s from %s%s%s"):format(offer.address, offer.server, offer.proxy and " (proxyDHCP)" or "",
      offer.file ~= "" and ", boot file " .. offer.file or ""))
  end
  steps.network(report.network, opt.kind ~= "plain")
  if report.failure then
    return steps.stop("dhcp", report.failure.message)
  end
  local lease = report.lease
  print(("lease      %s for %s, router %s"):format(lease.network,
    lease.seconds < 0 and "ever" or ("%.0f s"):format(lease.seconds), table.concat(lease.routers, ", ")))
  return 0
end)
