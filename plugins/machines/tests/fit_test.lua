-- What `netlab check` says of nodes and what runs on them.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(nodes, options)
  local path = test.folder() .. "/recipe.lua"
  test.truthy(netlab.fs.write(path, 'local netlab = require "netlab"\nlocal nodes = netlab.nodes { ' .. nodes .. ' }\nnetlab.plugin("machines").fit { nodes = nodes, ' .. options .. " }\n"))
  local got = test.truthy(netlab.process.run { argv = { netlab.testing.program(), "check", path } })
  return { text = got.output .. got.errors, ok = got.exit_code == 0 }
end

test.case("a machine that is too small is named, with what it has and what is asked", function()
  local got = check('{ name = "cm3-1", mac = "b8:27:eb:20:30:40", labels = { machine = "cm3" } }', 'runs = { "talos-worker", "cozystack" }')
  test.equal(got.ok, true)
  test.contains(got.text, "cm3-1 (cm3) has 1 GiB of memory, cozystack asks for 32 GiB (cozystack.io/docs/v1/install/hardware-requirements, minimal, 2026-11-22)")
  test.contains(got.text, "cm3-1 (cm3) is arm64, cozystack asks for amd64")
  test.falsy(got.text:find("talos-worker", 1, true))
end)

test.case("no virtual machines on t4g; labels say what one node is and runs", function()
  local got = check('{ name = "a", mac = "02:00:00:00:00:01", labels = { runs = "kubevirt" } },'
    .. '{ name = "b", mac = "02:00:00:00:00:02", labels = { memory = "16GiB", processors = "8", kvm = "no", runs = "kubevirt" } },'
    .. '{ name = "c", mac = "02:00:00:00:00:03", labels = { machine = "n100", runs = "kubevirt talos-controlplane" } }', 'machine = "t4g.xlarge"')
  test.contains(got.text, "a (t4g.xlarge) has no /dev/kvm, which kubevirt needs: EC2 gives no nested virtualisation to t4g")
  test.contains(got.text, "b (as its labels say) has no /dev/kvm")
  test.falsy(got.text:find("c (n100)", 1, true))
end)

test.case("what fits is not spoken of: every label says enough", function()
  local got = check('{ name = "big", mac = "02:00:00:00:00:01", labels = { memory = "64GiB", processors = "16", arch = "amd64" } }', 'runs = { "cozystack", "kubevirt" }')
  test.falsy(got.text:find("note", 1, true))
end)

test.case("what nobody knows is a mistake", function()
  local got = check('{ name = "a", mac = "02:00:00:00:00:01", labels = { machine = "t9.huge" } }', 'runs = { "cozystack" }')
  test.equal(got.ok, false)
  test.contains(got.text, 'node a: no machine "t9.huge" is known')
  got = check('{ name = "a", mac = "02:00:00:00:00:01", labels = { machine = "cm3" } }', 'runs = { "doom" }')
  test.equal(got.ok, false)
  test.contains(got.text, 'no software "doom" is known')
end)

test.case("a recipe that only checks does not stay up for it", { deadline = "30s" }, function()
  local path = test.folder() .. "/recipe.lua"
  test.truthy(netlab.fs.write(path, [[
    local netlab = require "netlab"
    netlab.plugin("machines").fit { nodes = netlab.nodes { { name = "a", mac = "02:00:00:00:00:01", labels = { machine = "cm3" } } }, runs = { "cozystack" } }
    netlab.main(function() return 7 end)]]))
  local got = test.truthy(netlab.process.run { argv = { netlab.testing.program(), "run", path }, timeout = "20s" })
  test.equal(got.exit_code, 7)
end)
