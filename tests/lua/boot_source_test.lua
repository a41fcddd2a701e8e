-- boot.service's `sources`: functions of the recipe and plugins that decide what machines boot.
local netlab = require "netlab"
local test = require "netlab.test"

local manifest = 'return { name = "inventory", api = 1, version = "0.1.0", lua = "inventory" }'
local module = [[
local netlab = require "netlab"
return {
  file = {
    options = { { name = "path", type = "path", required = true } },
    create = function(options)
      return { path = options.path }
    end,
    check = function(self)
      return { "it says " .. self.path:match "[^/]*$" }
    end,
    source = function(self, request)
      netlab.sleep "1ms"
      if request.path == "/raise" then
        error "deliberate"
      elseif request.path == "/reason" then
        return nil, "a reason"
      elseif request.path == "/wrong" then
        return 5
      elseif request.path == "/stage" then
        return { text = "x", stage = "kernal" }
      elseif request.path == "/file" then
        return { file = self.path, stage = "config", shown = "the file" }
      elseif request.path == "/late" then
        netlab.sleep "10m"
      end
    end,
  },
  plain = { create = function() return {} end },
}
]]

local function place(folder)
  netlab.fs.mkdir(folder .. "/plugins/inventory")
  netlab.fs.write(folder .. "/plugins/inventory/plugin.lua", manifest)
  netlab.fs.write(folder .. "/plugins/inventory/inventory.lua", module)
  netlab.fs.write(folder .. "/nodes.txt", "the file's text\n")
end

test.case("functions and plugins answer in order; who fails gives 404 and its line", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder)
  local running = test.run([[
    local boot = netlab.boot.service {
      sources = {
        netlab.plugin("inventory").file { path = "nodes.txt" },
        netlab.boot.source(function(request)
          if request.path == "/who" then
            local n = request.node
            return { text = netlab.json.encode { n.name, n.mac, n.role, n.labels.rack, n.arch, request.query.x, request.raw_query, request.boot_url, request.protocol },
              content_type = "application/json" }
          elseif request.path == "/slow" then
            netlab.sleep "10m"
          end
          return request.path == "/text" and "plain text" or nil
        end, { name = "mine", timeout = "1s" }),
      },
      profiles = { own = { kernel = "own", args = { "own" } } },
      groups = { { profile = "own" } },
    }
    netlab.nodes { { name = "n1", mac = "02:00:00:00:00:01", role = "worker", labels = { rack = "r1" } } }
    netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
  ]], { folder = folder })
  local base = "http://" .. running:endpoint "http.server"
  local function get(path)
    return test.truthy(netlab.http.get(base .. path))
  end
  test.equal({ get("/text").body, get("/text").headers["content-type"] }, { "plain text", "text/plain; charset=utf-8" })
  test.equal(get("/file").body, "the file's text\n")
  local who = get "/who?mac=02-00-00-00-00-01&arch=arm64&x=a%20b"
  test.equal(netlab.json.decode(who.body), { "n1", "02:00:00:00:00:01", "worker", "r1", "arm64", "a b", "mac=02-00-00-00-00-01&arch=arm64&x=a%20b", base, "http" })
  test.equal(who.headers["content-type"], "application/json")
  test.equal(get("/nowhere").status, 404)
  for path, why in pairs {
    ["/raise"] = "plugins/inventory/inventory.lua:14: deliberate",
    ["/reason"] = "/reason of inventory.file: a reason",
    ["/wrong"] = "must return text, { text = … }, { file = … } or nil, got number 5",
    ["/stage"] = 'there is no stage "kernal"',
    ["/slow"] = "/slow of source mine: the recipe's handler did not answer in time",
  } do
    local got = get(path .. "?mac=02-00-00-00-00-01")
    test.equal(got.status, 404, path)
    test.falsy(got.body:find("deliberate", 1, true), "what failed is the operator's business")
    test.contains(running:logged(why), "NL-BOOT-043", path)
  end
  local step = running:await(function()
    return running:step("n1", "refused")
  end, "the timeline told of it")
  test.equal(step.id, "NL-BOOT-043")
  local told = running:await(function()
    local found = running:log():match "config: the file, [^\n]*"
    return found
  end, "the file is a step")
  test.contains(told, "the file, 16 B")
  test.equal(running:stop().exit_code, 0)
end)

test.case("a source that is still asked when netlab stops does not hold it", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder)
  local running = test.run([[
    local boot = netlab.boot.service { sources = { netlab.plugin("inventory").file { path = "nodes.txt" } } }
    netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
  ]], { folder = folder })
  local base = "http://" .. running:endpoint "http.server"
  local asked = netlab.spawn(function()
    return netlab.http.get(base .. "/late")
  end)
  running:await(function()
    for _, task in ipairs(running:status().tasks) do
      if task.waits_for:find "sleep" then
        return true
      end
    end
  end, "the source was asked")
  test.equal(running:stop().exit_code, 0)
  asked:wait "5s"
end)

test.case("mistakes", function()
  local folder = test.folder()
  place(folder)
  local function check(text)
    local path = folder .. "/r.lua"
    local out = test.check('local netlab = require "netlab"\n' .. text, {}, path).messages
    for index, line in ipairs(out) do
      out[index] = line:gsub("^" .. path:gsub("[%-%.]", "%%%0"), "r.lua")
    end
    return out
  end
  test.equal(check 'netlab.boot.service {\n  sources = { netlab.plugin("inventory").plain {} },\n}\nnetlab.boot.service { sources = {} }', {
    'r.lua:3: boot.service.sources[1]: expected what netlab.boot.source returns, got inventory.plain "inventory.plain"',
    "r.lua:5: boot.service: there is nothing to boot: give it profiles, sources or both",
  })
  test.contains(check("netlab.boot.source(5)")[1], "r.lua:2: ")
  test.contains(check("netlab.boot.source(print, { timeuot = 5 })")[1], 'did you mean "timeout"?')
  netlab.fs.write(folder .. "/r.lua", 'local netlab = require "netlab"\nnetlab.boot.service { sources = { netlab.plugin("inventory").file { path = "nodes.txt" } } }\n')
  local done = netlab.process.run { argv = { netlab.testing.program(), "check", folder .. "/r.lua" } }
  test.equal(done.exit_code, 0, done.errors)
  test.contains(done.errors, "it says nodes.txt")
end)

test.case("DHCP gives the loader, the source decides when iPXE asks", { deadline = "60s" }, function()
  local running = test.run [[
    local lan = netlab.network { address = "127.0.0.1/8", router = "127.0.0.254" }
    local boot = netlab.boot.service {
      sources = { netlab.boot.source(function(request)
        if request.path == "/ipxe" and request.node.mac == "02:00:00:00:00:0b" then
          return { text = "#!ipxe\nkernel vmlinuz\nboot\n", stage = "script" }
        elseif request.path == "/vmlinuz" then
          return { text = "kernel", stage = "kernel" }
        end
      end) },
    }
    netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
    netlab.tftp.server { listen = "127.0.0.1:0", serve = { boot } }
    netlab.dhcp.server { network = lan, listen = "127.0.0.1", port = 0, range = "127.0.9.1-127.0.9.99", boot = boot }
  ]]
  local mac = "02:00:00:00:00:0b"
  local base = "http://" .. running:endpoint "http.server"
  local dhcp = running:endpoint "dhcp.server"
  for architecture, file in pairs { [7] = "snponly.efi", [0] = "undionly.kpxe" } do
    local lease = test.truthy(netlab.dhcp.probe { server = dhcp, kind = "pxe", architecture = architecture, mac = mac }).lease
    test.equal(lease.boot_file, file)
  end
  local lease = test.truthy(netlab.dhcp.probe { server = dhcp, kind = "ipxe", architecture = 7, mac = mac }).lease
  test.equal(lease.boot_file, base .. "/boot.ipxe")
  local machine = netlab.boot.ipxe { mac = mac, ["net0/mac"] = mac, buildarch = "x86_64", platform = "efi" }
  local action = machine:start(lease.boot_file)
  while action.what == "fetch" do
    local got = test.truthy(netlab.http.get(action.url))
    test.equal(got.status, 200, action.url)
    action = machine:fetched(got.body, got.bytes)
  end
  test.equal({ action.what, action.kernel }, { "boot", base .. "/vmlinuz" })
  local other = netlab.http.get(base .. "/ipxe?mac=02-00-00-00-00-0c")
  test.equal(other.status, 404)
  test.contains(running:logged "NL-BOOT-001", "no source of the boot service has anything for 02:00:00:00:00:0c")
  test.equal(running:stop().exit_code, 0)
end)

test.case("every function of a recipe sees a machine in the same way", function()
  local running = test.run [[
    local seen = {}
    local boot = netlab.boot.service {
      sources = { netlab.boot.source(function(request)
        if request.path == "/config" then
          seen.source = request.node
        end
      end) },
      profiles = { own = {
        kernel = "own",
        config = function(node)
          seen.document = node
          return { text = netlab.json.encode(seen), literal = true }
        end,
      } },
      groups = { {
        name = "mine",
        match = function(node)
          seen.match = node
          return true
        end,
        profile = "own",
        metadata = { zone = "a" },
      } },
    }
    netlab.nodes { { name = "n1", mac = "02:00:00:00:00:01", ip = "127.0.0.7", role = "worker", labels = { rack = "r1" } } }
    netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
  ]]
  local base = "http://" .. running:endpoint "http.server"
  local query = "mac=02-00-00-00-00-01&arch=arm64&manufacturer=Acme"
  test.equal(test.truthy(netlab.http.get(base .. "/ipxe?" .. query)).status, 200)
  local seen = netlab.json.decode(test.truthy(netlab.http.get(base .. "/config?" .. query)).body)
  local machine = {
    name = "n1", mac = "02:00:00:00:00:01", macs = { "02:00:00:00:00:01" }, role = "worker", ip = "127.0.0.7", arch = "arm64",
    manufacturer = "Acme", labels = { rack = "r1" }, query = { mac = "02-00-00-00-00-01", arch = "arm64", manufacturer = "Acme" },
  }
  test.equal(seen.match, machine)
  machine.address = "127.0.0.1"
  test.equal(seen.source, machine)
  machine.profile, machine.group, machine.metadata = "own", "mine", { zone = "a" }
  test.equal(seen.document, machine)
end)
