-- Who boots what: every kind of selector that a group may have, and functions.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe)
  local checked = test.check('local netlab = require "netlab"\n' .. recipe)
  return checked.messages
end

local function with_groups(groups)
  return check([[
netlab.boot.service {
  profiles = { linux = { kernel = "vmlinuz" } },
  groups = {
    ]] .. groups .. [[

  },
}]])
end

test.case("good groups", function()
  test.equal(with_groups [[
    { match = { mac = { "02:00:00:00:00:0b", "52-54-00-*", "b8:27:eb:??:??:??" } }, profile = "linux" },
    { match = { arch = { "arm64", "x86_64" }, manufacturer = "Dell*", product = "", hostname = "web-*" }, profile = "linux" },
    { match = { instance_id = "i-0123456789abcdef0", tag = "worker", rack = "b7" }, profile = "linux" },
    { match = function(node) return node.role == "worker" end, profile = "linux" },
    { match = function() return true end, profile = "linux" },
    { profile = "linux" },]], {})
end)

test.case("bad groups, each at its line", function()
  test.equal(with_groups [[
    { match = { mac = { "02:00:00:00:00:0b", "not-a-mac" } }, profile = "linux" },
    { match = { arch = "amd46" }, profile = "linux" },
    { match = { mac = {} }, profile = "linux" },
    { match = "everybody", profile = "linux" },
    { match = { arch = function() end }, profile = "linux" },]], {
    'recipe.lua:8: boot.service.groups[4].match: expected a table of names to string or list of string, or function(node), got string "everybody"',
    "recipe.lua:9: boot.service.groups[5].match.arch: expected a string, or a list of string, got function",
  })
  test.equal(with_groups [[
    { match = { mac = { "02:00:00:00:00:0b", "not-a-mac" } }, profile = "linux" },
    { match = { arch = "amd46" }, profile = "linux" },
    { match = { mac = {} }, profile = "linux" },]], {
    'recipe.lua:5: boot.service.groups[1].match.mac: group 1: "not-a-mac" is not a MAC address [NL-BOOT-021]',
    'recipe.lua:6: boot.service.groups[2].match.arch: group 2: unknown processor "amd46" (did you mean "amd64"?) [NL-BOOT-021]',
    "recipe.lua:7: boot.service.groups[3].match.mac: group 3: mac has an empty list and matches nothing [NL-BOOT-021]",
  })
end)

test.case("loaders are words", function()
  test.equal(check [[
netlab.boot.service {
  profiles = { linux = { kernel = "vmlinuz", loader = "lilo" } },
  groups = { { profile = "linux" } },
}]], { 'recipe.lua:3: boot.service.profiles.linux.loader: expected "auto", "ipxe", "grub" or "shim", got string "lilo"' })
end)

local recipe = [[
  local function boots(text) return { kernel = "vmlinuz", args = { "choice=" .. text } } end
  local boot = netlab.boot.service {
    nodes = netlab.nodes { { name = "n1", mac = "02:00:00:00:00:0b", role = "worker", labels = { rack = "b7" } } },
    profiles = {
      listed = boots "listed", globbed = boots "globbed", arm = boots "arm", dell = boots "dell", default = boots "default",
      rack = boots "rack", tagged = boots "tagged", odd = boots "odd",
    },
    groups = {
      { profile = "default" },
      { match = { mac = { "02:00:00:00:00:01", "02-00-00-00-00-02" } }, profile = "listed" },
      { match = { mac = "52:54:00:*" }, profile = "globbed" },
      { match = { arch = "arm64" }, profile = "arm" },
      { match = { manufacturer = { "Dell*", "HP" } }, profile = "dell" },
      { match = { instance_id = "i-0a1b2c3d4e5f60718" }, profile = "tagged" },
      { match = function(node)
          if node.serial == "raise" then error "deliberate" end
          if node.serial == "wait" then netlab.sleep "1s" end
          return node.labels.rack == "b7" or (node.query.serial == "7" and #node.macs == 1 and node.arch == "amd64")
        end, profile = "rack" },
    },
  }
  netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
]]

test.case("each machine gets its group's profile", { deadline = "60s" }, function()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/state/assets")
  netlab.fs.write(folder .. "/state/assets/vmlinuz", "kernel")
  local running = test.run(recipe, { folder = folder })
  local base = "http://" .. running:endpoint "http.server"
  local function choice(query)
    local script = test.truthy(netlab.http.get(base .. "/ipxe?" .. query)).body
    return script:match "choice=(%w+)" or script
  end
  test.equal(choice "mac=02-00-00-00-00-01&arch=x86_64", "listed")
  test.equal(choice "mac=02:00:00:00:00:02&arch=x86_64", "listed")
  test.equal(choice "mac=02-00-00-00-00-03&arch=x86_64", "default")
  test.equal(choice "mac=52-54-00-12-34-56&arch=x86_64", "globbed")
  test.equal(choice "mac=02-00-00-00-00-04&arch=arm64", "arm")
  test.equal(choice "mac=02-00-00-00-00-05&arch=x86_64&manufacturer=Dell%20Inc.", "dell")
  test.equal(choice "mac=02-00-00-00-00-06&arch=x86_64&manufacturer=HP", "dell")
  test.equal(choice "mac=02-00-00-00-00-07&arch=x86_64&manufacturer=HPE", "default")
  -- What a loader said once holds when a later request says less.
  test.equal(choice "mac=02-00-00-00-00-05&arch=x86_64", "dell")
  test.equal(choice "mac=02-00-00-00-00-08&arch=x86_64&board_asset=i-0a1b2c3d4e5f60718", "tagged")
  test.equal(choice "mac=02-00-00-00-00-09&arch=x86_64&board_asset=i-To-be-filled", "default")
  -- A function goes before every selector, and sees labels and what was asked.
  test.equal(choice "mac=02-00-00-00-00-0b&arch=arm64", "rack")
  test.equal(choice "mac=52-54-00-12-34-57&arch=x86_64&serial=7", "rack")
  -- One that raises or waits says no, and the log names its line.
  test.equal(choice "mac=52-54-00-12-34-58&arch=x86_64&serial=raise", "globbed")
  test.contains(running:logged "deliberate", "boot.service groups[7].match")
  test.equal(choice "mac=52-54-00-12-34-59&arch=x86_64&serial=wait", "globbed")
  test.equal(running:stop().exit_code, 0)
end)

test.case("a group by the name that a lease carries, and one that only a loader can tell", { deadline = "60s" }, function()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/state/assets")
  for _, name in ipairs { "vmlinuz", "image.efi" } do
    netlab.fs.write(folder .. "/state/assets/" .. name, name)
  end
  local running = test.run([[
    local lan = netlab.network { address = "127.0.0.1/8" }
    local boot = netlab.boot.service {
      profiles = { web = { kernel = "vmlinuz", args = { "choice=web" } }, others = { uki = "image.efi" }, hp = { kernel = "vmlinuz" } },
      groups = {
        { profile = "others" },
        { match = { hostname = "web-*" }, profile = "web" },
        { match = { mac = "02:00:00:00:00:2*", manufacturer = "HP" }, profile = "hp" },
      },
    }
    netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
    netlab.tftp.server { listen = "127.0.0.1:0", serve = { boot } }
    netlab.dhcp.server { network = lan, listen = "127.0.0.1", port = 0, range = "127.0.9.1-127.0.9.99", boot = boot }
  ]], { folder = folder })
  local dhcp, base = running:endpoint "dhcp.server", "http://" .. running:endpoint "http.server"
  local function firmware(mac)
    return test.truthy(netlab.dhcp.probe { server = dhcp, kind = "pxe", architecture = 7, mac = mac }).lease.boot_file
  end
  test.equal(firmware "02:00:00:00:00:11", "uki/02-00-00-00-00-11/others-amd64.efi")
  local named = test.truthy(netlab.dhcp.probe { server = dhcp, kind = "plain", mac = "02:00:00:00:00:11", hostname = "web-1" })
  test.falsy(named.failure)
  test.equal(firmware "02:00:00:00:00:11", "snponly.efi")
  test.contains(netlab.http.get(base .. "/ipxe?mac=02-00-00-00-00-11&arch=x86_64").body, "choice=web")
  -- Firmware does not tell its board's maker; iPXE will, and decides then.
  test.equal(firmware "02:00:00:00:00:21", "snponly.efi")
  test.equal(running:stop().exit_code, 0)
end)
