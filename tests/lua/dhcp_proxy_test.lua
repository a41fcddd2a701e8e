-- dhcp.proxy: options, answers on both ports by unicast, and dhcp.server's mode = "auto".
local netlab = require "netlab"
local test = require "netlab.test"

local boot = [[
  local lan = netlab.network { address = "127.0.0.1/8" }
  local boot = netlab.boot.service { profiles = { image = { uki = "linux.efi" } }, groups = { { profile = "image" } } }
  netlab.tftp.server { listen = "127.0.0.1:0", serve = { boot } }
]]

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("proxy: good options", function()
  local checked = test.check('local netlab = require "netlab"\n' .. boot .. [[
    local nodes = netlab.nodes { { name = "odd", mac = "02:00:00:00:00:09" } }
    netlab.dhcp.proxy { network = lan, boot = boot, nodes = nodes, option43 = "omit", hosts = {
      { name = "odd", option43 = "control" }, { mac = "02:00:00:00:00:0a", option43 = "0601 08ff" },
    } }
  ]])
  test.equal(checked.messages, {})
  test.equal({ checked.graph[#checked.graph].kind, checked.graph[#checked.graph].name }, { "dhcp.proxy", "proxy-network" })
end)

test.case("proxy: bad options, each at its line", function()
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
netlab.dhcp.proxy {
  network = lan,
}
local boot = netlab.boot.service { profiles = { image = { uki = "linux.efi" } }, groups = { { profile = "image" } } }
netlab.dhcp.proxy {
  name = "a",
  network = lan,
  boot = boot,
  range = "10.0.0.10-10.0.0.20",
}
netlab.dhcp.proxy {
  name = "b",
  network = lan,
  boot = boot,
  option43 = "menu",
}
netlab.dhcp.proxy {
  name = "c",
  network = lan,
  boot = boot,
  hosts = {
    { mac = "02:00:00:00:00:09", option43 = "0" },
  },
}
]], {
    'recipe.lua:3: dhcp.proxy: option "boot" is missing: what netlab.boot.service returns',
    'recipe.lua:11: dhcp.proxy: unknown option "range"',
    'recipe.lua:17: dhcp.proxy.option43: expected "auto", "control", "omit" or hex digits, got "menu"',
    'recipe.lua:24: dhcp.proxy.hosts[1].option43: expected "auto", "control", "omit" or hex digits, got "0"',
  })
end)

test.case("proxy: offers without an address, and the file on port 4011 too", { deadline = "30s" }, function()
  local running = test.run(boot .. [[ netlab.dhcp.proxy { network = lan, boot = boot, listen = "127.0.0.1", port = 0, proxy_port = 0 } ]])
  local at = running:endpoint "dhcp.proxy"
  local report = test.truthy(netlab.dhcp.probe { server = at, kind = "pxe", architecture = 11, mac = "02:00:00:00:00:01", timeout = "2s" })
  test.equal(report.offers[1].address, "0.0.0.0")
  test.equal(report.offers[1].file, "uki/02-00-00-00-00-01/image-arm64.efi")
  test.equal(report.offers[1].vendor_class, "PXEClient")
  test.equal(report.failure.message, "only proxyDHCP servers answered; none gives an address")
  test.equal(report.network, { needs = "server", text = "no DHCP server gives addresses; 127.0.0.1 (proxyDHCP) tells what to boot ("
    .. "uki/02-00-00-00-00-01/image-arm64.efi)" })
  local plain = test.truthy(netlab.dhcp.probe { server = at, kind = "plain", mac = "02:00:00:00:00:02", timeout = "1s" })
  test.equal(#plain.offers, 0)
  test.equal(running:counter("netlab_dhcp_packets_total", { what = "ack" }), 0)
  test.equal(running:stop().exit_code, 0)
end)

test.case("auto: asks an interface, so that `listen` is a mistake", function()
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
netlab.dhcp.server {
  network = lan,
  mode = "auto",
  listen = "10.0.0.1",
}
netlab.dhcp.server { name = "b", network = lan, mode = "both" }
]], {
    'recipe.lua:5: dhcp.server.mode: "auto" asks the network on its interface, which `listen` leaves out',
    'recipe.lua:8: dhcp.server.mode: expected "server" or "auto", got string "both"',
  })
end)
