-- A resolver as an operator meets it: a log, lists, groups with safe search, a zone file, names set at run time, a hook.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for lists, log and changes" },
  { name = "zone", type = "path", help = "master file of zone.test.example" },
  { name = "privacy", type = "string", default = "all", help = "of the log" },
  { name = "log-size", type = "size", default = "64MiB", help = "of the log" },
  { name = "workers", type = "integer", default = 2, help = "threads, each with a cache of its own" },
  { name = "hook", type = "boolean", default = false, help = "whether on_query is there" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", domain = "lab.internal" }
local names = netlab.dns.names { ttl = "1s" }

local function on_query(q)
  if q.name == "answered.hook.example" then
    return { a = "10.77.0.99", ttl = "7s" }
  elseif q.name == "refused.hook.example" then
    return "refuse"
  elseif q.name == "missing.hook.example" then
    return "nxdomain"
  elseif q.name == "rewritten.hook.example" then
    return { rewrite = "www.example.org" }
  elseif q.name == "mine.hook.example" then
    return { rewrite = q.client == "10.77.0.20" and "mail.example.org" or "www.example.org" }
  elseif q.name == "slow.hook.example" then
    netlab.sleep "1m"
  elseif q.name == "broken.hook.example" then
    error "no idea"
  elseif q.name == "waited.hook.example" then
    netlab.sleep "50ms"
    return "10.77.0.98"
  end
end

netlab.dns.server {
  name = "resolver",
  listen = lan:at(53),
  upstreams = "10.77.0.53",
  workers = opt.workers,
  blocklists = { { name = "ads", rules = { "||text.example.org^", "fat.example.org" } } },
  groups = { kids = { clients = { "10.77.0.20" }, safe_search = "strict" } },
  zones = opt.zone and { ["zone.test.example"] = opt.zone },
  names = names,
  records = { registry = "10.77.0.1" },
  log = { privacy = opt.privacy, max_size = opt["log-size"] },
  on_query = opt.hook and on_query or nil,
  on_query_timeout = "300ms",
}

netlab.main(function()
  local _, held = names:set("registry", "10.77.0.66")
  names:set("build", { a = "10.77.0.77", txt = "set at run time" })
  names:set("gone", "10.77.0.78")
  names:remove "gone"
  local found, err = netlab.dns.resolve "registry.lab.internal"
  local missing, why = netlab.dns.resolve "nobody.lab.internal"
  netlab.log.info("resolved", {
    registry = found and found[1] and found[1].data or tostring(err),
    missing = missing and "found" or why.code,
    held = held and held.code or "taken",
  })
  while true do
    netlab.sleep "1h"
  end
end)
