-- Option tables: every kind of mistake, where it is reported, and that all are reported together.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("a good recipe has no messages and a graph", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local lan = netlab.network { address = "10.0.0.1/24", router = "10.0.0.254", domain = "lab" }
    local nodes = netlab.nodes { { name = "a", mac = "02:00:00:00:00:01", ip = "10.0.0.5", labels = { zone = "1" } } }
    assert(lan.ip == "10.0.0.1" and lan.address == "10.0.0.1/24" and lan.router == "10.0.0.254" and lan.domain == "lab")
    assert(tostring(lan:at(80)) == "10.0.0.1:80" and "http://" .. lan:at(80) == "http://10.0.0.1:80")
    assert(lan:contains("10.0.0.7") and not lan:contains("10.0.1.7"))
    assert(nodes:find("a").ip == "10.0.0.5" and nodes:find("b") == nil and nodes.count == 1)
    assert(nodes:all()[1].labels.zone == "1" and nodes:all()[1].mac == "02:00:00:00:00:01")
    local seen = {}
    for node in nodes:each() do seen[#seen + 1] = node.name end
    assert(#seen == 1 and seen[1] == "a")
    assert(lan == lan and lan ~= nodes and tostring(lan) == 'network "network"')
  ]]
  test.equal(checked.messages, {})
  test.equal(#checked.graph, 2)
  test.equal(checked.graph[1].kind, "network")
  test.equal(checked.graph[1].options.address, "10.0.0.1/24")
  test.equal(checked.graph[1].line, 2)
end)

test.case("an unknown option suggests the nearest, at its own line", function()
  check([[
netlab.network {
  address = "10.0.0.1/24",
  ruter = "10.0.0.254",
}]], { 'recipe.lua:4: network: unknown option "ruter" (did you mean "router"?)' })
  check('netlab.network { address = "10.0.0.1/24", completely_else = 1 }', { 'recipe.lua:2: network: unknown option "completely_else"' })
end)

test.case("wrong types and impossible values", function()
  check('netlab.network { address = 5 }', { 'recipe.lua:2: network.address: expected an address with its prefix length such as "10.0.0.1/24", got number 5' })
  check('netlab.network { address = "10.0.0.1/33" }', { 'recipe.lua:2: network.address: expected an address with its prefix length such as "10.0.0.1/24", got string "10.0.0.1/33"' })
  check('netlab.network { address = "10.0.0.1/24", router = "10.9.9.9" }', { "recipe.lua:2: network.router: router 10.9.9.9 is not in 10.0.0.1/24" })
  check("netlab.network {}", { 'recipe.lua:2: network: one of "interface" and "address" is needed' })
  check('netlab.network { address = "10.0.0.1/24", domain = {} }', { "recipe.lua:2: network.domain: expected a string, got table" })
end)

test.case("positional elements belong in lists only, lists have no names and no holes", function()
  check('netlab.network { "10.0.0.1/24", address = "10.0.0.1/24" }', { 'recipe.lua:2: network: positional elements belong in lists only, got string "10.0.0.1/24" at number 1' })
  check('netlab.network { address = "10.0.0.1/24", networks = { a = "10.1.0.0/16" } }', { 'recipe.lua:2: network.networks: a list has no names, got "a"' })
  check('netlab.nodes { { name = "a" }, nil, { name = "b" } }', { "recipe.lua:2: nodes: the list has a hole (a nil inside)" })
end)

test.case("nested paths name the element and its line", function()
  check([[
netlab.nodes {
  { name = "a", mac = "02:00:00:00:00:01" }, -- { name = "not this line", mac = 5 }
  {
    name = "b",
    mac = { "02:00:00:00:00:02", "zz" },
    labels = { zone = function() return { mac = 1 } end },
    rol = "worker",
  },
  { mac = "02:00:00:00:00:03" },
}]], {
    'recipe.lua:6: nodes[2].mac[2]: expected a MAC address such as "02:00:0a:14:0d:0b", got string "zz"',
    "recipe.lua:7: nodes[2].labels.zone: expected a string, got function",
    'recipe.lua:8: nodes[2]: unknown option "rol" (did you mean "role"?)',
    'recipe.lua:10: nodes[3]: option "name" is missing: a string',
  })
end)

test.case("a table that is not written at the call has the call's line", function()
  check([[
local options = {
  address = 5,
}
netlab.network(options)
]], { 'recipe.lua:5: network.address: expected an address with its prefix length such as "10.0.0.1/24", got number 5' })
end)

test.case("two of one name name each other's line", function()
  check([[
netlab.network { name = "lan", address = "10.0.0.1/24" }
netlab.network { name = "lan", address = "10.1.0.1/24" }
]], { 'recipe.lua:3: network.name: the name "lan" is taken at recipe.lua:2' })
end)

test.case("nodes that clash name each other", function()
  local messages = test.check([[
local netlab = require "netlab"
netlab.nodes {
  { name = "a", mac = "02:00:00:00:00:01" },
  { name = "b", mac = "02:00:00:00:00:01" },
}]]).messages
  test.equal(#messages, 1)
  test.matches(messages[1], "^recipe%.lua:4: nodes%[2%]: ")
  test.contains(messages[1], "a")
end)

test.case("an inert handle absorbs every use without a further message", function()
  check([[
local lan = netlab.network { adress = "10.0.0.1/24" }
local place = lan:at(80)
local text = "http://" .. place .. "/" .. lan.ip .. tostring(lan) .. #lan
for node in lan:each() do error "not reached" end
lan.anything.deeper:call { 1 }
lan.new = 1
local sum = lan.x + 1 - lan.y
netlab.network { address = lan.address, interface = lan.interface, networks = { lan.address } }
]], { 'recipe.lua:2: network: unknown option "adress" (did you mean "address"?)' })
end)

test.case("a recipe with ten mistakes: all ten, with lines", function()
  local checked = test.check([[
local netlab = require "netlab"
local one = netlab.network {
  interfce = "eth0",
  address = 1,
  router = "x",
  networks = { "10.0.0.0/8", 2 },
}
local two = netlab.network { address = "10.0.0.1/24", domain = 7 }
netlab.nodes {
  { nam = "a" },
  { name = "b", ip = "300.0.0.1", uuid = "u" },
}
two:at(99999)
lan = netlab.network { address = "10.0.0.1/24" }
]])
  test.equal(checked.messages, {
    'recipe.lua:3: network: unknown option "interfce" (did you mean "interface"?)',
    'recipe.lua:4: network.address: expected an address with its prefix length such as "10.0.0.1/24", got number 1',
    'recipe.lua:5: network.router: expected an address such as "10.0.0.1", got string "x"',
    'recipe.lua:6: network.networks[2]: expected an address with its prefix length such as "10.0.0.1/24", got number 2',
    "recipe.lua:8: network.domain: expected a string, got number 7",
    'recipe.lua:10: nodes[1]: unknown option "nam" (did you mean "name"?)',
    'recipe.lua:10: nodes[1]: option "name" is missing: a string',
    'recipe.lua:11: nodes[2].uuid: expected a UUID such as "0f5d4e2c-6a0e-4c3b-9f43-2f7c3a0d9e11", got string "u"',
    'recipe.lua:11: nodes[2].ip: expected an address such as "10.0.0.1", got string "300.0.0.1"',
    'recipe.lua:14: assignment to global "lan": declare it with local',
  })
end)

test.case("mistakes of methods raise at the caller's line", function()
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
lan:at(99999)
]], { 'recipe.lua:3: network "network":at(port): the port must be from 1 to 65535, got number 99999' })
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
return lan.adress
]], { 'recipe.lua:3: network "network" has no "adress" (did you mean "address"?)' })
  check([[
local lan = netlab.network { address = "10.0.0.1/24" }
lan.ip = "10.0.0.2"
]], { "recipe.lua:3: a handle cannot be changed: options go into its constructor" })
  check('netlab.network("eth0")', { 'recipe.lua:2: netlab.network takes one table: netlab.network { … }, got string "eth0"' })
end)

test.case("waiting, processes and the network are refused while the recipe declares", function()
  for _, call in ipairs { 'netlab.sleep "1s"', 'netlab.http.get "http://127.0.0.1:1/"', 'netlab.process.run { argv = { "true" } }', 'netlab.fs.write("x", "y")', "netlab.spawn(print)" } do
    local messages = test.check('local netlab = require "netlab"\n' .. call).messages
    test.equal(#messages, 1, call)
    test.matches(messages[1], "^recipe%.lua:2: netlab%..*netlab%.main", call)
  end
end)

test.case("syntax errors and raised errors keep their line", function()
  check("local = 1", { "recipe.lua:2: '<name>' expected near '='" })
  check('error "stop"', { "recipe.lua:2: stop" })
  check("local x = nil\nreturn x.y", { "recipe.lua:3: attempt to index local 'x' (a nil value)" })
end)

test.case("two netlab.main name each other's line", function()
  check("netlab.main(function() end)\nnetlab.main(function() end)", { "recipe.lua:3: netlab.main is already given at recipe.lua:2" })
end)

-- With --jit, endless loops are reported and not stopped.
if netlab.testing.jit() then
  return
end

test.case("an endless top level is stopped", { deadline = "60s" }, function()
  local messages = test.check("while true do end").messages
  test.matches(messages[1], "^recipe%.lua:1: the recipe's top level ran for %d+ ms without waiting")
end)
