-- boot.service: options, scripts, documents from functions, assets; the whole walk of a machine over loopback.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local nodes = netlab.nodes { { name = "talos-1", mac = "02:00:00:00:00:0b", role = "controlplane" } }
    netlab.boot.service {
      name = "main", nodes = nodes, assets = "files", url = "http://10.0.0.1:8080", cache_size = "1GiB",
      profiles = {
        linux = { kernel = "vmlinuz", initrd = { "initrd.gz" }, args = { "console=ttyS0", "name={{name}}" },
                  arm64 = { kernel = "Image", initrd = { "initrd-arm64" } }, config = function() end, cloud = "user-data.yaml" },
        remote = { kernel = "https://example.org/vmlinuz" },
      },
      groups = {
        { name = "cp", match = { role = "controlplane", mac = { "02:*", "52:54:*" } }, profile = "linux", metadata = { zone = "a", n = 1 } },
        { profile = "remote" },
      },
    }
  ]]
  test.equal(checked.messages, {})
  test.equal({ checked.graph[2].kind, checked.graph[2].name }, { "boot.service", "main" })
end)

test.case("bad options, each at its line", function()
  check([[
netlab.boot.service {}
netlab.boot.service {
  profiles = {
    linux = {
      kernel = 5,
      initrd = "initrd.gz",
      config = true,
      sparc = {},
    },
  },
  groups = {
    { match = { mac = 5 }, profile = "linux" },
    { match = { role = "worker" } },
  },
  url = "ftp://x/",
}
netlab.boot.service {
  name = "second",
  profiles = { linux = { kernel = "vmlinuz" } },
  groups = { { profile = "linx" } },
}]], {
    'recipe.lua:2: boot.service: option "profiles" is missing: a table of names to table or talos.profile',
    "recipe.lua:6: boot.service.profiles.linux.kernel: expected a string, got number 5",
    'recipe.lua:7: boot.service.profiles.linux.initrd: expected a list of string, got string "initrd.gz"',
    "recipe.lua:8: boot.service.profiles.linux.config: expected a file name, or function(node), got boolean true",
    'recipe.lua:9: boot.service.profiles.linux: unknown option "sparc"',
    "recipe.lua:13: boot.service.groups[1].match.mac: expected a string, or a list of string, got number 5",
    'recipe.lua:14: boot.service.groups[2]: option "profile" is missing: a string',
    'recipe.lua:16: boot.service.url: expected a URL such as "http://example.org/", got string "ftp://x/"',
    'recipe.lua:21: boot.service.groups[1].profile: group 1: there is no profile "linx" (did you mean "linux"?) [NL-BOOT-002]',
  })
end)

test.case("a boot service that nobody serves is a mistake of the DHCP server", function()
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
local boot = netlab.boot.service { profiles = { a = { kernel = "k" } }, groups = { { profile = "a" } } }
netlab.dhcp.server {
  network = lan,
  boot = boot,
}]], { 'recipe.lua:6: dhcp.server.boot: no server of the recipe serves boot.service "boot": list it in `serve` of an http.server or tftp.server' })
end)

local recipe = [[
  local lan = netlab.network { address = "127.0.0.1/8", router = "127.0.0.254" }
  local nodes = netlab.nodes {
    { name = "talos-1", mac = "02:00:00:00:00:0b", ip = "127.0.9.200", role = "controlplane" },
    { name = "talos-2", mac = "02:00:00:00:00:0c", role = "worker" },
    { name = "talos-3", mac = "02:00:00:00:00:0d", role = "no" },
    { name = "talos-4", mac = "02:00:00:00:00:0e", role = "raises" },
    { name = "talos-5", mac = "02:00:00:00:00:0f", role = "wrong" },
  }
  local boot = netlab.boot.service {
    nodes = nodes,
    profiles = {
      linux = {
        kernel = "vmlinuz", initrd = { "initrd.gz" }, args = { "console=ttyS0", "lab={{name}}", "talos.config={{boot_url}}/config?mac=${net0/mac}" },
        config = function(node)
          if node.role == "controlplane" then return "machines/cp.yaml" end
          if node.role == "worker" then netlab.sleep "1ms" return { text = "worker " .. node.name .. " " .. node.mac .. "\n" } end
          if node.role == "no" then return nil, "talos-3 waits for its turn" end
          if node.role == "raises" then error "deliberate" end
          if node.role == "wrong" then return 5 end
        end,
        cloud = "machines/cloud.yaml",
      },
      rescue = { kernel = "rescue", args = { "single" } },
    },
    groups = { { profile = "linux", metadata = { zone = "a", deep = { n = 1 } } } },
  }
  local web = netlab.http.server { listen = "127.0.0.1:0", serve = {
    boot, netlab.http.route("/once", function(r) return tostring(boot:boot_once("talos-1", r.body)) end),
  } }
  netlab.tftp.server { listen = "127.0.0.1:0", serve = { boot } }
  netlab.dhcp.server { network = lan, listen = "127.0.0.1", port = 0, nodes = nodes, range = "127.0.9.1-127.0.9.99", boot = boot }
]]

local kernel = ("kernel "):rep(10000)

local function lab()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/state/assets")
  netlab.fs.mkdir(folder .. "/machines")
  netlab.fs.write(folder .. "/state/assets/vmlinuz", kernel)
  netlab.fs.write(folder .. "/state/assets/initrd.gz", "initrd")
  netlab.fs.write(folder .. "/state/assets/rescue", "rescue")
  netlab.fs.write(folder .. "/machines/cp.yaml", "hostname: {{name}}\nzone: {{zone}}\nkeep: ${this}\n")
  netlab.fs.write(folder .. "/machines/cloud.yaml", "#cloud-config\n")
  local running = test.run(recipe, { folder = folder })
  local base = "http://" .. running:endpoint "http.server"
  return running, base, function(path, options)
    return test.truthy(netlab.http.get(base .. path, options))
  end
end

test.case("scripts, documents and assets over HTTP", { deadline = "30s" }, function()
  local running, base, get = lab()
  local entry = get "/boot.ipxe"
  test.equal(entry.status, 200)
  test.matches(entry.body, "^#!ipxe\n")
  local script = get("/ipxe?mac=02-00-00-00-00-0b&arch=x86_64").body
  test.matches(script, "^#!ipxe\n")
  test.contains(script, base .. "/assets/vmlinuz")
  test.contains(script, "lab=talos-1")
  test.contains(script, "initrd")

  test.equal(get("/config?mac=02:00:00:00:00:0b").body, "hostname: talos-1\nzone: a\nkeep: ${this}\n")
  test.equal(get("/config?mac=02:00:00:00:00:0c").body, "worker talos-2 02:00:00:00:00:0c\n")
  for _, last in ipairs { "0d", "0e", "0f" } do
    local refused = get("/config?mac=02:00:00:00:00:" .. last)
    test.equal(refused.status, 404, last)
    test.falsy(refused.body:find("deliberate", 1, true), "what failed is the operator's business")
  end
  test.equal(get("/config?mac=nonsense").status >= 400, true)
  test.contains(get("/cloud?mac=02:00:00:00:00:0b").body, "#cloud-config")
  test.contains(get("/metadata?mac=02:00:00:00:00:0b").body, "a")
  test.equal(get("/ignition?mac=02:00:00:00:00:0b").status, 404)
  local log = running:logged "deliberate"
  test.contains(log, "talos-3 waits for its turn")
  test.contains(log, "must return a file name or { text = … }, got number 5")
  test.matches(log, "NL%-BOOT%-%d+")

  local asset = get "/assets/vmlinuz"
  test.equal({ asset.status, asset.bytes, asset.headers["content-length"] }, { 200, #kernel, tostring(#kernel) })
  local part = get("/assets/vmlinuz", { headers = { Range = "bytes=7-12" } })
  test.equal({ part.status, part.body }, { 206, "kernel" })
  for _, path in ipairs { "/assets/missing", "/assets/%2e%2e/control.sock.pid", "/assets/../dhcp-network.leases", "/assets/", "/nowhere" } do
    test.truthy(get(path).status >= 400, path)
  end
  test.equal(running:stop().exit_code, 0)
end)

-- Fetches what a virtual iPXE asks for until it boots or stops; returns the last action and what was fetched.
local function walk(machine, url)
  local fetched = {}
  local action = machine:start(url)
  while action.what == "fetch" do
    fetched[#fetched + 1] = action.purpose
    local got = test.truthy(netlab.http.get(action.url))
    action = got.ok and machine:fetched(got.body, got.bytes) or machine:missing(("%s: %d"):format(action.url, got.status))
  end
  return action, fetched
end

test.case("a machine walks from DISCOVER to its config; the timeline tells it", { deadline = "60s" }, function()
  local running, base, get = lab()
  local mac = "02:00:00:00:00:0b"
  local dhcp = running:endpoint "dhcp.server"
  local firmware = test.truthy(netlab.dhcp.probe { server = dhcp, kind = "pxe", architecture = 7, mac = mac })
  test.falsy(firmware.failure)
  test.equal({ firmware.lease.ip, firmware.lease.hostname }, { "127.0.9.200", "talos-1" })
  local loader = test.truthy(netlab.tftp.get(("tftp://%s/%s"):format(running:endpoint "tftp.server", firmware.lease.boot_file), { address = firmware.lease.ip }))
  test.equal(loader.body:sub(1, 2), "MZ")
  running:await(function()
    return running:step("talos-1", "tftp")
  end, "the timeline told of the loader")

  local ipxe = test.truthy(netlab.dhcp.probe { server = dhcp, kind = "ipxe", architecture = 7, mac = mac })
  test.falsy(ipxe.failure)
  test.contains(ipxe.lease.boot_file, base)
  local machine = netlab.boot.ipxe { mac = mac, ["net0/mac"] = mac, buildarch = "x86_64", platform = "efi", uuid = "0f8c1c52-6d52-4c1e-9a55-770000000077" }
  local action, fetched = walk(machine, ipxe.lease.boot_file)
  test.equal(action.what, "boot", action.why)
  test.equal({ fetched[1], fetched[#fetched - 1], fetched[#fetched] }, { "script", "kernel", "initrd" })
  test.contains(action.cmdline, "console=ttyS0 lab=talos-1")
  local config = netlab.boot.talos_config_url(action.cmdline, { mac = mac })
  test.equal(config, base .. "/config?mac=" .. mac)
  test.contains(netlab.http.get(config).body, "hostname: talos-1")

  local stages = running:await(function()
    for _, boot in ipairs(running:status().boots) do
      if boot.node == "talos-1" and boot.furthest == "config" then
        local seen = {}
        for _, step in ipairs(boot.steps) do
          seen[#seen + 1] = step.stage
        end
        return table.concat(seen, " ")
      end
    end
  end, "the timeline told of the config")
  test.equal(stages, "discover offer ack tftp discover offer ack script kernel initrd config")

  local told = netlab.process.run { argv = { netlab.testing.program(), "--state", running.state, "status", "talos-1" } }
  test.equal(told.exit_code, 0)
  test.contains(told.output, "talos-1")
  test.contains(told.output, "config")
  local unknown = netlab.process.run { argv = { netlab.testing.program(), "--state", running.state, "status", "talos-9" } }
  test.equal(unknown.exit_code, 1)
  test.contains(unknown.errors, 'no boot of "talos-9" was seen')
  test.equal(running:stop().exit_code, 0)
end)

test.case("boot_once: the next boot takes another profile", { deadline = "30s" }, function()
  local running, base, get = lab()
  test.equal(netlab.http.request({ url = base .. "/once", method = "POST", body = "nothing" }).body, "nil")
  test.equal(netlab.http.request({ url = base .. "/once", method = "POST", body = "rescue" }).body, "true")
  test.contains(get("/ipxe?mac=02-00-00-00-00-0b&arch=x86_64").body, "/assets/rescue")
  test.contains(get("/ipxe?mac=02-00-00-00-00-0c&arch=x86_64").body, "/assets/vmlinuz")
  test.equal(running:stop().exit_code, 0)
end)
