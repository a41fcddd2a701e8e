-- A recipe with mistakes in every room: all of them at once, at their lines, and nothing is bound or made.
local netlab = require "netlab"
local test = require "netlab.test"

local recipe = [[
local netlab = require "netlab"
netlab.state "state"
local lan = netlab.network {
  address = "127.0.0.1/8",
  router = "10.0.0.1",
}
local wire = netlab.network { address = "127.0.0.1/8" }
local nodes = netlab.nodes {
  { name = "talos-1", mac = "02:00:00:00:00:0b" },
  { name = "talos-1", mac = "02:00:00:00:00:0c" },
}
local boot = netlab.boot.service {
  profiles = { linux = { kernel = "vmlinuz", initd = { "initrd.gz" } } },
}
local second = netlab.boot.service {
  name = "second",
  profiles = { linux = { kernel = "vmlinuz" } },
  groups = { { profile = "linx" } },
}
local web = netlab.http.server { listen = "127.0.0.1:18080", serve = { second }, header_limit = "lots" }
netlab.http.server { listen = "127.0.0.1:18081", serve = { second } }
netlab.http.server { name = "twin", listen = "0.0.0.0:18081", serve = {} }
netlab.tftp.server { listen = "127.0.0.1:18069", retries = 0 }
netlab.tftp.server { name = "empty", listen = "127.0.0.1:18070" }
netlab.dhcp.server {
  network = wire,
  port = 18067,
  range = "10.9.9.1-10.9.9.9",
  lease = 3600,
  boot = boot,
}
netlab.dhcp.server {
  name = "outside",
  network = wire,
  port = 18068,
  range = "10.9.9.1-10.9.9.9",
}
netlab.main(function() netlab.fs.write("ran", "yes") end)
]]

test.case("all mistakes of a recipe at once, at their lines; nothing bound", { deadline = "30s" }, function()
  local expected = {
    "recipe.lua:5: network.router: router 10.0.0.1 is not in 127.0.0.1/8",
    'recipe.lua:10: nodes[2]: node "talos-1": this name already belongs to node "talos-1"',
    'recipe.lua:13: boot.service.profiles.linux: unknown option "initd" (did you mean "initrd"?)',
    'recipe.lua:18: boot.service.groups[1].profile: group 1: there is no profile "linx" (did you mean "linux"?) [NL-BOOT-002]',
    'recipe.lua:20: http.server.header_limit: expected a size such as "20GiB", got string "lots"',
    'recipe.lua:22: http.server: tcp 0.0.0.0:18081 belongs to http.server "http-18081" (recipe.lua:21)',
    "recipe.lua:23: tftp.server.retries: expected a whole number from 1 to 100, got number 0",
    'recipe.lua:24: tftp.server: one of "root" and "serve" is needed',
    'recipe.lua:29: dhcp.server.lease: expected a duration such as "1h", got number 3600',
    'recipe.lua:36: dhcp.server.range: network "network": range 10.9.9.1-10.9.9.9 is not inside 127.0.0.0/8',
  }
  test.equal(test.check(recipe).messages, expected)
  local folder = test.folder()
  netlab.fs.write(folder .. "/recipe.lua", recipe)
  for _, verb in ipairs { "check", "run" } do
    local result = test.truthy(netlab.process.run { argv = { netlab.testing.program(), verb, "recipe.lua" }, folder = folder })
    test.equal({ result.exit_code, result.output }, { 2, "" })
    local lines = {}
    for line in result.errors:gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    test.equal(table.remove(lines), #expected .. " mistakes in recipe.lua; nothing was started")
    test.equal(lines, expected)
  end
  test.equal(#netlab.fs.list(folder), 1, "only the recipe itself is in its folder")
end)
