-- dns.server: options, mistakes, and a server that runs.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local lan = netlab.network { interface = "lo", address = "127.0.0.1/8", domain = "lab.internal" }
    local nodes = netlab.nodes { { name = "talos-1", mac = "02:00:0a:14:0d:0b", ip = "127.0.0.11" } }
    local dhcp = netlab.dhcp.server { network = lan, range = "127.0.0.100-127.0.0.110", listen = "127.0.0.1" }
    netlab.dns.server { listen = lan:at(53), upstreams = "1.1.1.1", nodes = nodes, leases = dhcp }
    netlab.dns.server {
      name = "other", listen = { "127.0.0.2:53", "[::1]:53" }, domain = "home.example", nodes = { nodes }, leases = { dhcp },
      upstreams = { "tls://1.1.1.1#one.one.one.one", "https://dns.google/dns-query" }, bootstrap = "9.9.9.9",
      forward = { ["corp.example"] = { "10.0.0.2", "10.0.0.3:5353" }, ["10.20.0.0/16"] = "10.20.0.2" },
      records = {
        registry = "10.0.0.1", dual = { "10.0.0.2", "fd00::2" }, www = { cname = "registry" },
        ["*.apps.home.example"] = "10.0.0.3",
        all = { a = "10.0.0.4", aaaa = "fd00::4", txt = { "one", '"two" "three"' }, mx = "10 all", caa = '0 issue "x.example"',
                ns = "all", srv = "1 2 3 all", ttl = "1h", ptr_back = false },
      },
      hosts = "hosts", ttl = "1m", workers = 2, cache = { size = "16MiB", save = false }, min_ttl = "10s", max_ttl = "1h", max_negative_ttl = "1m",
      stale = "0s", prefetch = false, udp_size = 1400, clients = { "10.0.0.0/8", "fd00::1" }, rate_limit = 100, rate_burst = 200,
      special_domains = false, rebind_protection = true, rebind_allow = { "home.example.org" },
        dnssec = { anchors = { ["."] = { "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D" },
                               ["corp.example"] = "12345 13 2 " .. ("49fd"):rep(16) }, negative = { "broken.example" } },
    }
  ]]
  test.equal(checked.messages, {})
  test.equal(checked.graph[4].endpoints, { "udp 127.0.0.1:53", "tcp 127.0.0.1:53" })
  test.equal(checked.graph[4].name, "dns-53")
end)

test.case("bad options, each at its line", function()
  check([[
netlab.dns.server { listen = "127.0.0.1:53" }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "dns.google" }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = { "1.1.1.1", "tls://9.9.9.9" } }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", bootstrap = "tls://1.1.1.1" }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", forward = { ["10.0.0.0/33"] = "10.0.0.2" } }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", records = { www = { mx = "mail" } } }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", records = { ["a..b"] = "10.0.0.1" } }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", min_ttl = "2h", max_ttl = "1h" }
netlab.dns.server { listen = "127.0.0.1:53", upstreams = "1.1.1.1", upstream = "x" }
netlab.dns.server { listen = "127.0.0.1:5301", upstreams = "tls://dns.quad9.net" }
netlab.dns.server { listen = "127.0.0.1:5302", upstreams = "1.1.1.1", records = { www = { cname = "a", a = "10.0.0.1" } } }
netlab.dns.server { listen = "127.0.0.1:5303", upstreams = "127.0.0.1:5303" }
netlab.dns.server { listen = "127.0.0.1:5304", upstreams = "1.1.1.1", dnssec = { anchors = { ["."] = "20326 8 2 00" } } }
netlab.dns.server { listen = "127.0.0.1:5305", upstreams = "1.1.1.1", cache = { save = true } }
netlab.dns.server { listen = "127.0.0.1:5308", upstreams = "1.1.1.1", records = { www = { other = { AXFR = "\\# 0" } } } }
netlab.dns.server { listen = "127.0.0.1:5309", upstreams = "1.1.1.1", records = { www = { other = { LOC = "here" } } } }
netlab.http.server { listen = "127.0.0.1:5306", serve = { netlab.dns.server { listen = "127.0.0.1:5307", upstreams = "1.1.1.1" } } }
netlab.dns.server { listen = "127.0.0.1:5310", upstreams = "tls://dns.quad9.net", bootstrap = { "9.9.9.9", "tcp://1.1.1.1" } }
netlab.dns.server { listen = "127.0.0.1:5311", upstreams = "tls://dns.quad9.net", bootstrap = "127.0.0.1:5311" }]], {
    'recipe.lua:2: dns.server: option "upstreams" is missing: a string, or a list of string',
    'recipe.lua:3: dns.server.upstreams: "dns.google" is no upstream: a resolver is named by its address; a name would have to be looked up by itself',
    'recipe.lua:4: dns.server.upstreams: "1.1.1.1" is plain and "tls://9.9.9.9" is encrypted: the faster one would be asked, which drops the encryption without a word',
    'recipe.lua:5: dns.server.bootstrap: "tls://1.1.1.1": a bootstrap resolver is a plain one',
    'recipe.lua:6: dns.server.forward.10.0.0.0/33: prefix length "33" is not a number from 0 to 32',
    'recipe.lua:7: dns.server.records.www.mx: MX record: "mail" is no number up to 65535',
    'recipe.lua:8: dns.server.records.a..b: "a..b" is no domain name: a label is empty',
    "recipe.lua:9: dns.server.min_ttl: it is longer than max_ttl",
    'recipe.lua:10: dns.server: unknown option "upstream" (did you mean "upstreams"?)',
    'recipe.lua:11: dns.server.bootstrap: "tls://dns.quad9.net" is named: give bootstrap = { "9.9.9.9" }, a resolver that finds its address',
    "recipe.lua:12: dns.server.records: www has a CNAME, so that it can have no other record: A",
    'recipe.lua:13: dns.server.upstreams: "127.0.0.1:5303" is this server itself',
    'recipe.lua:14: dns.server.dnssec.anchors..: "20326 8 2 00" is no trust anchor: the digest is not hexadecimal or not of its kind\'s length',
    "recipe.lua:15: dns.server.cache: answers are kept in the state folder: call netlab.state first",
    'recipe.lua:16: dns.server.records.www.other.AXFR: "AXFR" is no record type',
    'recipe.lua:17: dns.server.records.www.other.LOC: LOC record: write its data as "\\# length hex" (RFC 3597)',
    "recipe.lua:18: http.server.serve: DNS over HTTPS needs a certificate: give the server tls = { certificate, key }",
    'recipe.lua:19: dns.server.bootstrap: "9.9.9.9" and "tcp://1.1.1.1": bootstrap resolvers are all asked by UDP, or all by TCP',
    'recipe.lua:20: dns.server.bootstrap: "127.0.0.1:5311" is this server itself',
  })
end)

local function run(options)
  return test.run(([[
    netlab.dns.server {
      listen = "127.0.0.1:0", upstreams = "127.0.0.1:9", domain = "lab.internal", records = { registry = "10.0.0.1" }, %s
    }
  ]]):format(options or ""))
end

test.case("it answers on UDP and TCP, with every number of workers", { deadline = "60s" }, function()
  for _, workers in ipairs { 1, 3 } do
    local running = run("workers = " .. workers)
    local address, port = running:endpoint("dns.server"):match "^(.*):(%d+)$"
    for _, way in ipairs { "+notcp", "+tcp" } do
      local got = test.truthy(netlab.process.run {
        argv = { "dig", "@" .. address, "-p", port, way, "+short", "+tries=2", "registry.lab.internal" },
      })
      test.equal(got.output, "10.0.0.1\n")
    end
    running:stop()
  end
end)
