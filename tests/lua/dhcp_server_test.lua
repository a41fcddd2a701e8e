-- dhcp.server: options, whole exchanges by unicast, hooks after the commit, leases over a restart, instances.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local lan = netlab.network { address = "10.0.0.1/24", interface = "none0", router = "10.0.0.254", domain = "lab" }
    netlab.dhcp.server {
      network = lan, range = { "10.0.0.100-10.0.0.110", "10.0.0.120-10.0.0.130" }, exclude = { "10.0.0.105" },
      lease = "1h", lease_min = "1m", lease_max = "infinite", dns = { "10.0.0.1", "10.0.0.2" }, ntp = "10.0.0.1",
      search = { "lab", "example.org" }, mtu = 1400, routes = { { to = "10.1.0.0/16", via = "10.0.0.253" } },
      options = { { code = 150, ip = "10.0.0.1" }, { code = 200, text = "x", always = false }, { code = 201, hex = "00ff" } },
      hosts = { { name = "printer", mac = "02:00:00:00:00:09", ip = "10.0.0.9", dns = "10.0.0.3" } },
      classes = { { name = "pi", mac = "b8:27:eb:*", options = { { code = 43, hex = "01" } } } },
      relayed = { { subnet = "10.2.0.0/24", range = "10.2.0.10-10.2.0.20", router = "10.2.0.1" } },
      authoritative = false, known_clients_only = true, conflict_probe = false, rapid_commit = true, bootp = true,
      on_lease = function() end, on_lease_end = function() end, import = { dnsmasq = "dnsmasq.leases" },
    }
  ]]
  test.equal(checked.messages, {})
  test.equal({ checked.graph[2].kind, checked.graph[2].name }, { "dhcp.server", "dhcp-none0" })
end)

test.case("bad options, each at its line", function()
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
netlab.dhcp.server {}
netlab.dhcp.server { network = "10.0.0.0/24" }
netlab.dhcp.server {
  network = lan,
  rang = "10.0.0.10-10.0.0.20",
  lease = 3600,
  dns = "1.2.3",
  mtu = 60,
  on_lease = "print",
  options = {
    { code = 0, text = "x" },
    { code = 43 },
  },
  hosts = { { mac = "zz" } },
}
netlab.dhcp.server {
  name = "outside",
  network = lan,
  lease = "1h",
  range = "10.0.1.10-10.0.1.20",
}
netlab.dhcp.server {
  name = "raw",
  network = lan,
  options = {
    { code = 43, text = "x", hex = "00" },
  },
}
netlab.dhcp.server {
  name = "own",
  network = lan,
  hosts = { { name = "me", mac = "02:00:00:00:00:01", ip = "10.0.0.1" } },
}]], {
    'recipe.lua:3: dhcp.server: option "network" is missing: what netlab.network returns',
    'recipe.lua:4: dhcp.server.network: expected what netlab.network returns, got string "10.0.0.0/24"',
    'recipe.lua:7: dhcp.server: unknown option "rang" (did you mean "range"?)',
    'recipe.lua:8: dhcp.server.lease: expected a duration such as "1h", got number 3600',
    'recipe.lua:9: dhcp.server.dns: expected an address such as "10.0.0.1", or a list of ip, got string "1.2.3"',
    "recipe.lua:10: dhcp.server.mtu: expected a whole number from 68 to 65535, got number 60",
    'recipe.lua:11: dhcp.server.on_lease: expected function(lease), got string "print"',
    "recipe.lua:13: dhcp.server.options[1].code: expected a whole number from 1 to 254, got number 0",
    'recipe.lua:16: dhcp.server.hosts[1].mac: expected a MAC address such as "02:00:0a:14:0d:0b", or a list of mac, got string "zz"',
    'recipe.lua:22: dhcp.server.range: network "network": range 10.0.1.10-10.0.1.20 is not inside 10.0.0.0/24',
    "recipe.lua:28: dhcp.server.options[1]: exactly one of text, hex, ip, u8, u16 and u32 is needed",
    "recipe.lua:31: dhcp.server: host \"me\": address 10.0.0.1 is the server's own",
    'recipe.lua:31: dhcp.server: udp 10.0.0.1:67 belongs to dhcp.server "outside" (recipe.lua:18)',
  })
end)

local function recipe(extra)
  return [[
    local lan = netlab.network { address = "127.0.0.1/8", router = "127.0.0.254", domain = "lab.internal" }
    local nodes = netlab.nodes { { name = "talos-1", mac = "02:00:00:00:00:0b", ip = "127.0.9.200" } }
    local dhcp = netlab.dhcp.server { network = lan, listen = "127.0.0.1", port = 0, nodes = nodes,
      range = "127.0.9.1-127.0.9.9", lease = "1h", dns = "127.0.0.1",
      ]] .. (extra or "") .. [[
    }
  ]]
end

local function ask(running, options)
  options.server = running:endpoint "dhcp.server"
  options.kind = options.kind or "plain"
  return test.truthy(netlab.dhcp.probe(options))
end

test.case("an address from the range, the same one again, a reserved one", { deadline = "30s" }, function()
  local running = test.run(recipe())
  local first = ask(running, { mac = "02:00:00:00:00:01", hostname = "visitor" })
  test.falsy(first.failure)
  local lease = first.lease
  test.matches(lease.ip, "^127%.0%.9%.%d$")
  test.equal({ lease.server, lease.routers, lease.domain, lease.seconds, lease.network }, { "127.0.0.1", { "127.0.0.254" }, "lab.internal", 3600, lease.ip .. "/8" })
  test.equal(ask(running, { mac = "02:00:00:00:00:01" }).lease.ip, lease.ip)
  test.differ(ask(running, { mac = "02:00:00:00:00:02" }).lease.ip, lease.ip)
  local node = ask(running, { mac = "02:00:00:00:00:0b" }).lease
  test.equal({ node.ip, node.hostname }, { "127.0.9.200", "talos-1" })
  local words = {}
  for _, step in ipairs(first.steps) do
    words[#words + 1] = (step.sent and ">" or "<") .. step.what
  end
  test.equal(words, { ">DISCOVER", "<OFFER", ">REQUEST", "<ACK" })
  local state = running:status()
  for _, service in ipairs(state.services) do
    if service.kind == "dhcp.server" then
      test.equal({ service.running, service.status.leases }, { true, 3 })
    end
  end
  test.equal(running:counter("netlab_dhcp_packets_total", { what = "ack" }), 4)
  test.equal(running:stop().exit_code, 0)
end)

test.case("a full range, and a client that asks to boot although nothing is there to boot", { deadline = "30s" }, function()
  local running = test.run(recipe())
  for i = 1, 9 do
    test.truthy(ask(running, { mac = ("02:00:00:00:01:%02x"):format(i) }).lease)
  end
  local refused = ask(running, { mac = "02:00:00:00:01:ff", timeout = "300ms" })
  test.falsy(refused.lease)
  test.equal({ refused.failure.code, refused.failure.message }, { "timeout", "no DHCP server answered" })
  test.truthy(running:counter("netlab_dhcp_packets_total", { what = "pool_exhausted" }) > 0)
  local pxe = ask(running, { kind = "pxe", mac = "02:00:00:00:00:0b" })
  test.equal(pxe.failure.code, "not_found")
  test.contains(pxe.failure.message, "no boot file")
  test.equal(running:stop().exit_code, 0)
end)

test.case("hooks run after the commit; a lease that is given back or dropped ends", { deadline = "30s" }, function()
  local running = test.run(recipe [[
      on_lease = function(lease)
        local journal = netlab.fs.stat("state/dhcp-network.leases")
        netlab.log.warn("leased", { ip = lease.ip, mac = lease.mac, name = lease.name or "-", hostname = lease.hostname or "-", stored = journal ~= nil and journal.size > 0 })
      end,
      on_lease_end = function(lease, reason)
        netlab.log.warn("ended", { ip = lease.ip, reason = reason })
        error "after the end"
      end,
  ]] .. "", { netlab = { "--log", "json" } })
  local ip = ask(running, { mac = "02:00:00:00:00:0b", hostname = "other", release = true }).lease.ip
  running:logged "after the end"
  local leased, ended
  for line in running:log():gmatch "[^\n]+" do
    local record = test.truthy(netlab.json.decode(line), line)
    leased = record.message == "leased" and record or leased
    ended = record.message == "ended" and record or ended
  end
  test.equal({ leased.ip, leased.mac, leased.name, leased.stored }, { ip, "02:00:00:00:00:0b", "talos-1", "true" })
  test.equal({ ended.ip, ended.reason }, { ip, "released" })
  test.truthy(ask(running, { mac = "02:00:00:00:00:0c" }).lease, "a hook that fails stops nothing")
  test.equal(running:stop().exit_code, 0)
end)

test.case("leases survive a restart, SIGTERM and SIGKILL alike; a second instance is refused", { deadline = "60s" }, function()
  local folder = test.folder()
  local given
  for _, signal in ipairs { "TERM", "KILL", "TERM" } do
    local running = test.run(recipe(), { folder = folder })
    for _, mac in ipairs { "02:00:00:00:00:05", "02:00:00:00:00:01", "02:00:00:00:00:03" } do
      local ip = ask(running, { mac = mac }).lease.ip
      given = given or {}
      given[mac] = given[mac] or ip
      test.equal(ip, given[mac], signal)
    end
    local second = netlab.process.run { argv = { netlab.testing.program(), "run", folder .. "/recipe.lua" } }
    test.equal(second.exit_code, 1)
    test.contains(second.errors, ("another netlab (process %d) runs with"):format(running.pid))
    local ended = running:stop(signal)
    test.equal({ ended.exit_code, ended.signal }, signal == "KILL" and { 137, 9 } or { 0, 0 })
  end
end)

test.case("the handle: leases and drop_lease from netlab.main", { deadline = "30s" }, function()
  local running = test.run(recipe() .. [[
    netlab.http.server { listen = "127.0.0.1:0", serve = {
      netlab.http.route("/leases", function() return { json = dhcp:leases() } end),
      netlab.http.route("/drop", function(r) local ok, err = dhcp:drop_lease(r.body) return ok and "dropped" or { status = 404, body = err.message } end),
    } }
  ]])
  local web = "http://" .. running:endpoint "http.server"
  local ip = ask(running, { mac = "02:00:00:00:00:01", hostname = "visitor" }).lease.ip
  local leases = netlab.json.decode(netlab.http.get(web .. "/leases").body)
  test.equal({ #leases, leases[1].ip, leases[1].mac, leases[1].hostname }, { 1, ip, "02:00:00:00:00:01", "visitor" })
  test.equal(netlab.http.request({ url = web .. "/drop", method = "POST", body = ip }).body, "dropped")
  running:await(function()
    return #netlab.json.decode(netlab.http.get(web .. "/leases").body) == 0
  end, "the lease was gone")
  local again = netlab.http.request { url = web .. "/drop", method = "POST", body = ip }
  test.equal({ again.status, again.body }, { 404, "nobody holds a lease of " .. ip })
  test.equal(running:stop().exit_code, 0)
end)

test.case("probe: options", function()
  test.raises(function()
    netlab.dhcp.probe {}
  end, 'exactly one of "interface" and "server" is needed')
  test.raises(function()
    netlab.dhcp.probe { interface = "lo", server = "127.0.0.1:67" }
  end, 'exactly one of "interface" and "server" is needed')
  test.raises(function()
    netlab.dhcp.probe { server = "127.0.0.1:67", kind = "bios" }
  end, 'netlab.dhcp.probe.kind: expected "plain", "pxe", "http_boot" or "ipxe", got string "bios"')
  test.fails(netlab.dhcp.probe { interface = "no-such-if0" })
end)
