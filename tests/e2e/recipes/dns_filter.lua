-- A filtering resolver: a list from a URL, one from a file, rules and exceptions of the recipe, and a group.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for the lists" },
  { name = "url", type = "string", help = "where a list is downloaded from" },
  { name = "file", type = "path", help = "a list's file" },
  { name = "blocking", type = "string", default = "null", help = "what blocked names are answered with" },
  { name = "pihole", type = "path", help = "a Pi-hole's folder" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", domain = "lab.internal" }

netlab.dns.server {
  name = "resolver",
  listen = lan:at(53),
  upstreams = "10.77.0.53",
  blocking = opt.blocking,
  pihole = opt.pihole and netlab.dns.pihole { path = opt.pihole },
  blocklists = {
    opt.url,
    { name = "file", path = opt.file },
    { name = "games", rules = { "||fat.example.org^" } },
  },
  allowlists = { { name = "needed", rules = { "good.www.example.org" } } },
  groups = {
    everybody = { lists = { opt.url, "file" } },
    kids = { clients = { "10.77.0.20" }, lists = { opt.url, "file", "games" } },
    servers = { clients = { "10.77.0.30/31" }, lists = {} },
  },
}
