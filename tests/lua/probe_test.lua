-- The virtual iPXE, what a Talos command line asks for, interfaces, and the probe commands.
local netlab = require "netlab"
local test = require "netlab.test"

local url = "http://10.0.0.1/boot.ipxe"

local function machine()
  return netlab.boot.ipxe { mac = "02:00:00:00:00:01", ["net0/mac"] = "02:00:00:00:00:01", buildarch = "x86_64", platform = "efi" }
end

test.case("ipxe: chains, fetches and boots", function()
  local vm = machine()
  test.equal(vm:start(url), { what = "fetch", url = url, purpose = "script" })
  local action = vm:fetched "#!ipxe\necho on ${net0/mac}\nkernel vmlinuz console=ttyS0 initrd=a\ninitrd --name a initrd.gz\nboot\n"
  test.equal({ action.url, action.purpose }, { "http://10.0.0.1/vmlinuz", "kernel" })
  action = vm:fetched("MZ", 5000000)
  test.equal({ action.url, action.purpose }, { "http://10.0.0.1/initrd.gz", "initrd" })
  action = vm:fetched "initrd"
  test.equal({ action.what, action.cmdline, #action.initrds, action.initrds[1].name }, { "boot", "console=ttyS0 initrd=a", 1, "a" })
  test.equal(vm:console(), { "on 02:00:00:00:00:01" })
end)

test.case("ipxe: what is missing, sleeps, exits and mistakes of the script", function()
  local vm = machine()
  vm:start(url)
  local failed = vm:missing "404"
  test.equal({ failed.what, failed.why }, { "failed", url .. ": 404" })
  vm = machine()
  vm:start(url)
  local action = vm:fetched "#!ipxe\nchain other || goto back\n:back\nsleep 2\nexit 3\n"
  test.equal(action.url, "http://10.0.0.1/other")
  action = vm:missing "404"
  test.equal(action, { what = "sleep", seconds = 2 })
  test.equal(vm:slept(), { what = "exit", code = 3 })
  vm = machine()
  vm:start(url)
  action = vm:fetched "#!ipxe\nnonsense\n"
  test.equal({ action.what, action.line }, { "failed", 2 })
  vm = machine()
  vm:start(url)
  action = vm:fetched "MZ no script" -- an image is what boots
  test.equal({ action.what, action.kernel }, { "boot", url })
end)

test.case("ipxe: settings must be a table", function()
  test.raises(function()
    netlab.boot.ipxe "mac"
  end, "the settings must be a table")
  test.raises(function()
    netlab.boot.ipxe { 1, 2 }
  end, "expected a table of settings")
end)

test.case("talos.config: variables are filled in", function()
  local cmdline = "console=ttyS0 talos.config=http://10.0.0.1/config?mac=${mac}&uuid=${uuid} quiet"
  test.equal(netlab.boot.talos_config_url(cmdline, { mac = "02:00:00:00:00:01", uuid = "0f8c1c52-6d52-4c1e-9a55-770000000077" }),
    "http://10.0.0.1/config?mac=02%3A00%3A00%3A00%3A00%3A01&uuid=0f8c1c52-6d52-4c1e-9a55-770000000077")
  local none, err = netlab.boot.talos_config_url("console=ttyS0")
  test.fails(none, err)
end)

test.case("interfaces: the loopback's, one that is not there", function()
  local lo = test.truthy(netlab.net.interface "lo")
  test.equal({ lo.name, lo.up }, { "lo", true })
  test.truthy(lo.index >= 1 and lo.mtu >= 1500)
  test.fails(netlab.net.interface "no-such-if0")
  test.fails(netlab.net.add_address("no-such-if0", "10.0.0.1/24"))
  test.fails(netlab.net.remove_address("no-such-if0", "10.0.0.1/24"))
  test.raises(function()
    netlab.net.add_address("lo", "10.0.0.1/99")
  end)
end)

test.case("probe commands: wrong usage and what is not there", { deadline = "30s" }, function()
  local function run(...)
    return test.truthy(netlab.process.run { argv = { netlab.testing.program(), "probe", ... } })
  end
  test.equal(run().exit_code, 2)
  test.equal(run("nothing").exit_code, 2)
  test.equal(run("boot", "--arch", "sparc").exit_code, 2)
  test.equal(run("tftp").exit_code, 2)
  local stopped = run("boot", "--interface", "no-such-if0")
  test.equal(stopped.exit_code, 1)
  test.contains(stopped.output, "STOPPED")
  test.contains(stopped.output, "no-such-if0")
  test.equal(run("dhcp", "--interface", "no-such-if0").exit_code, 1)
end)

test.case("probe tftp fetches from a running recipe", { deadline = "30s" }, function()
  local running = test.run [[
    netlab.tftp.server { listen = "127.0.0.1:0", serve = { netlab.assets.handler(function(r) return r.path == "/a" and "content" or nil end) } }
  ]]
  local at = running:endpoint "tftp.server"
  local good = netlab.process.run { argv = { netlab.testing.program(), "probe", "tftp", "--url", "tftp://" .. at .. "/a" } }
  test.equal(good.exit_code, 0, good.output .. good.errors)
  test.contains(good.output, "7 B in")
  local bad = netlab.process.run { argv = { netlab.testing.program(), "probe", "tftp", "--url", "tftp://" .. at .. "/b" } }
  test.equal(bad.exit_code, 1)
  test.contains(bad.output, "STOPPED")
  test.equal(running:stop().exit_code, 0)
end)
