-- The netlab command: exit codes, where its output goes, signals, status, second instances.
local netlab = require "netlab"
local test = require "netlab.test"

local program = netlab.testing.program()

local function recipe(text)
  local folder = test.folder()
  local path = netlab.fs.join(folder, "r.lua")
  netlab.fs.write(path, 'local netlab = require "netlab"\n' .. text)
  return path, folder
end

local function run(...)
  return test.truthy(netlab.process.run { argv = { program, ... }, timeout = "20s" })
end

test.case("netlab.main's result is the exit code", function()
  for result, code in pairs { ["7"] = 7, ["nil"] = 0, ["true"] = 0, ["false"] = 1, ['nil, netlab.err.new("io", "gone")'] = 1 } do
    local path = recipe("netlab.main(function() return " .. result .. " end)")
    test.equal(run("run", path).exit_code, code, result)
  end
  test.equal(run("run", (recipe "")).exit_code, 0)
end)

test.case("an error in netlab.main is 1 and logged with its line and id", function()
  local result = run("run", (recipe 'netlab.main(function()\n  error "broken"\nend)'))
  test.equal(result.exit_code, 1)
  test.matches(result.errors, "r%.lua:3: broken")
  test.contains(result.errors, "NL-LUA-005")
end)

test.case("check and run print every mistake and end with 2", function()
  local path = recipe 'netlab.network { adress = 1 }\nnetlab.network {}'
  for _, verb in ipairs { "check", "run" } do
    local result = run(verb, path)
    test.equal(result.exit_code, 2)
    test.contains(result.errors, 'r.lua:2: network: unknown option "adress"')
    test.contains(result.errors, "2 mistakes in")
    test.equal(result.output, "")
  end
  test.equal(run("check", "/no/such/recipe.lua").exit_code, 2)
end)

test.case("check lists the graph, --dump prints it as JSON", function()
  local path = recipe 'netlab.network { name = "lan", address = "10.0.0.1/24" }'
  local result = run("check", path)
  test.equal(result.exit_code, 0)
  test.matches(result.output, "network +lan +[^ ]*r%.lua:2")
  local graph = netlab.json.decode(run("check", path, "--dump").output)
  test.equal({ #graph, graph[1].name, graph[1].options.address }, { 1, "lan", "10.0.0.1/24" })
end)

test.case("check counts its notes at the end", function()
  local path = recipe 'local lan = netlab.network { address = "10.0.0.1/24" }\nnetlab.dhcp.server { network = lan, range = "10.0.0.9-10.0.0.10" }'
  local result = run("check", path)
  test.equal(result.exit_code, 0)
  test.matches(result.errors, "r%.lua:3: note: dhcp%.server .*netlab%.state")
  test.matches(result.output, "is good, with 1 note\n$")
end)

test.case("the recipe's options, its --help", function()
  local path = recipe 'local opt = netlab.args { { name = "n", type = "integer", default = 3, help = "how many" } }\nnetlab.main(function() return opt.n end)'
  test.equal(run("run", path).exit_code, 3)
  test.equal(run("run", path, "--n", "5").exit_code, 5)
  local help = run("run", path, "--help")
  test.equal(help.exit_code, 0)
  test.contains(help.output, "--n integer  how many (default: 3)")
  local wrong = run("run", path, "--m", "5")
  test.equal(wrong.exit_code, 2)
  test.contains(wrong.errors, "unknown option --m")
end)

test.case("wrong usage is 2 and suggests", function()
  for words, part in pairs {
    chekc = 'did you mean "check"?',
    run = "run: FILE is required",
    test = "FILE is required",
    plugin = "usage: netlab plugin list",
  } do
    local result = run(words)
    test.equal(result.exit_code, 2, words)
    test.contains(result.errors, part, words)
  end
  test.equal(run("--log", "xml", "version").exit_code, 2)
  test.equal(run().exit_code, 2)
  test.equal(run("--help").exit_code, 0)
  test.contains(run("check", "--help").output, "usage: netlab check [options] FILE")
  test.contains(run("dns", "tail", "--help").output, "-f, --follow")
  test.contains(run("dns", "tial").errors, 'there is no "dns tial" (did you mean "tail"?)')
  test.contains(run("run", "--sate", "x", "lab.lua").errors, 'run: unexpected "--sate" (did you mean "--state"?)')
  test.contains(run("status", "--jsno").errors, 'unexpected "--jsno" (did you mean "--json"?)')
  test.contains(run("dns", "top", "--rows", "0").errors, "--rows: Value 0 not in range 1 to 1000")
  test.contains(run("probe", "boot", "--help").output, "usage: netlab probe boot [options]")
  test.matches(run("version").output, "^netlab %d+%.%d+")
end)

test.case("completion: commands, verbs, options, words of an option, a recipe's own options", function()
  local path = recipe 'print "--printed\\tby the recipe"\nnetlab.args { { name = "lab_name", type = "string", required = true, help = "of the lab" } }\nerror "not reached"'
  local function offered(...)
    local out = {}
    for word in run("complete", "--", ...).output:gmatch "([^\t\n]+)\t[^\n]*\n" do
      out[#out + 1] = word
    end
    return table.concat(out, " ")
  end
  test.equal(offered "re", "reload registry")
  test.equal(offered("dns", "t"), "top tail")
  test.equal(offered("--state", "x", "dns", "tail", "--f"), "--follow")
  test.equal(offered("--log", ""), "text json")
  test.equal(offered("run", path, "--"), "--lab-name")
  test.equal(offered("run", "/nowhere.lua", "--"), "")
  test.equal(offered("run", ""), "") -- files: the shell's own
  test.equal(offered("run", "--js"), "")
  test.equal(offered("doc", "dhcp."), "dhcp.proxy dhcp.server dhcp.probe")
  test.contains(offered("probe", "dns", "--"), "--upstream")
  test.contains(run("complete", "--", "").output, "run\truns a recipe")
end)

test.case("--log json writes one object a line", function()
  local path = recipe 'netlab.main(function() netlab.log.warn("w", { k = "v" }) end)'
  local seen
  for line in run("--log", "json", "run", path).errors:gmatch "[^\n]+" do
    local record = test.truthy(netlab.json.decode(line), line)
    if record.message == "w" then
      seen = record
    end
  end
  test.equal({ seen.level, seen.k }, { "warn", "v" })
end)

test.case("a job keeps it up; status answers; SIGTERM ends it with 0; a second instance names the first", function()
  local path, folder = recipe 'netlab.state "state"\nnetlab.nodes { { name = "talos-1", mac = "02:00:00:00:00:01", role = "worker" } }\nnetlab.every("1h", function() end)'
  local running = netlab.spawn(function()
    return netlab.process.run { argv = { "sh", "-c", ("echo $$ > %s/pid; exec %s run %s"):format(folder, program, path) }, timeout = "20s" }
  end)
  local status
  repeat
    netlab.sleep "10ms"
    status = run("--state", folder .. "/state", "status")
  until status.exit_code == 0
  test.contains(status.output, "talos-1")
  test.contains(status.output, "worker")
  test.equal(run("--state", folder .. "/state", "status", "--boots").exit_code, 0)
  test.contains(run("--state", folder .. "/state", "status", "talos-1").errors, 'no boot of "talos-1"')
  local data = netlab.json.decode(run("--state", folder .. "/state", "status", "--json").output)
  test.equal({ data.nodes[1].name, data.nodes[1].mac }, { "talos-1", "02:00:00:00:00:01" })
  test.equal(netlab.process.run({ argv = { "stat", "-c", "%a", folder .. "/state/control.sock" } }).output, "600\n")

  local pid = netlab.fs.read(folder .. "/pid"):match "%d+"
  local second = run("run", path)
  test.equal(second.exit_code, 1)
  test.contains(second.errors, "another netlab (process " .. pid .. ")")

  netlab.process.run { argv = { "kill", "-TERM", pid } }
  test.equal(test.truthy(running:wait "10s").exit_code, 0)
  test.falsy(netlab.fs.exists(folder .. "/state/control.sock"))
  local gone = run("--state", folder .. "/state", "status")
  test.equal(gone.exit_code, 3)
end)

test.case("a socket left over by a killed instance is replaced", function()
  local path, folder = recipe 'netlab.state "state"\nnetlab.main(function() netlab.sleep("1ms") end)'
  netlab.fs.mkdir(folder .. "/state")
  netlab.process.run { argv = { "sh", "-c", ("echo 1 > %s/state/control.sock.pid; : > %s/state/control.sock"):format(folder, folder) } }
  test.equal(run("run", path).exit_code, 0)
end)

test.case("test: TAP, JUnit, exit codes", function()
  local path, folder = recipe [[
local test = require "netlab.test"
test.case("good", function() end)
test.case("bad", function() test.equal({ a = { 1, 2 } }, { a = { 1, 3 } }) end)
test.case("not here", function() test.skip "no reason" end)
test.case("slow", { deadline = "5ms" }, function() netlab.sleep "1h" end)
]]
  local result = run("test", path, "--junit", folder .. "/out.xml")
  test.equal(result.exit_code, 1)
  test.contains(result.output, "TAP version 13")
  test.matches(result.output, "\nok 1 %- [^ ]*r%.lua: good")
  test.matches(result.output, "\nnot ok 2 %- [^ ]*r%.lua: bad")
  test.matches(result.output, "r%.lua:4: %.a%[2%]: expected 3, got 2")
  test.matches(result.output, "\nok 3 .* # SKIP no reason")
  test.contains(result.output, "not done within 5ms")
  test.contains(result.output, "1..4")
  local xml = netlab.fs.read(folder .. "/out.xml")
  test.contains(xml, 'tests="4" failures="2" skipped="1"')
  test.equal(run("test", (recipe "")).exit_code, 1)
  local good = recipe 'require("netlab.test").case("g", function() end)'
  test.equal(run("test", good).exit_code, 0)
end)

test.case("test: a result's line is never cut by what a recipe logs", function()
  local path, folder = recipe [[
local test = require "netlab.test"
for i = 1, 100 do
  test.case(("x"):rep(97), function() netlab.log.warn "said by a test" end)
end
]]
  local log = netlab.fs.join(folder, "log")
  test.truthy(netlab.process.run { argv = { "sh", "-c", '"$0" test "$1" >"$2" 2>&1', program, path, log } })
  local whole = 0
  for line in netlab.fs.read(log):gmatch "[^\n]+" do
    if line:find("^ok %d+ %- .*: " .. ("x"):rep(97) .. "$") then whole = whole + 1 end
  end
  test.equal(whole, 100)
end)

test.case("test --virtual-time does not wait for timers, but for programs", function()
  local path = recipe [[
local test = require "netlab.test"
test.case("a week", { deadline = "30d" }, function()
  local began = netlab.testing.now()
  local rounds = 0
  netlab.every("1d", function() rounds = rounds + 1 end)
  netlab.sleep "7d"
  test.equal(netlab.testing.now() - began, 7 * 86400)
  test.truthy(rounds == 6 or rounds == 7)
  test.equal(netlab.process.run({ argv = { "echo", "real" } }).output, "real\n")
end)
]]
  local result = run("test", "--virtual-time", path)
  test.equal(result.exit_code, 0, result.output)
end)

test.case("doc shows constructors, functions, groups; unknown names fail", function()
  test.contains(run("doc", "network").output, "interface")
  test.contains(run("doc", "netlab.fs.read").output, "netlab.fs.read(path)")
  test.contains(run("doc", "fs").output, "netlab.fs.write")
  test.equal(run("doc", "nothing").exit_code, 1)
  test.contains(run("doc", "dhcp.serve").errors, 'did you mean "dhcp.server"?')
  test.contains(run("doc").output, "nodes { … }")
  test.contains(run("doc", "--messages").output, "NL-HOST-001")
end)

test.case("plugin list shows what a recipe would find", function()
  local path, folder = recipe ""
  netlab.fs.mkdir(folder .. "/plugins/toy")
  netlab.fs.write(folder .. "/plugins/toy/plugin.lua", 'return { name = "toy", api = 1, version = "0.2.0", lua = "toy", help = "a toy" }')
  test.matches(run("plugin", "list", path).output, "toy +0%.2%.0 .*a toy")
end)
