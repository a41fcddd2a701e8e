-- netlab.args: what the command line gives, and what it may not.
local netlab = require "netlab"
local test = require "netlab.test"

local declared = [[
local netlab = require "netlab"
local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where" },
  { name = "address", type = "cidr" },
  { name = "port", type = "port", default = 8080 },
  { name = "lease", type = "duration" },
  { name = "cache", type = "size" },
  { name = "proxy", type = "boolean", default = true },
  { name = "mode", type = "enum", values = { "fast", "slow" } },
  { name = "dns", type = "list of ip" },
  { name = "state_folder", type = "path" },
}
]]

local function given(words, expected)
  local lines = { declared }
  for name, value in pairs(expected) do
    lines[#lines + 1] = ("assert(netlab.json.encode(opt.%s) == %q, netlab.json.encode(opt.%s))"):format(name, netlab.json.encode(value), name)
  end
  test.equal(test.check(table.concat(lines, "\n"), words).messages, {})
end

local function refused(words, messages)
  test.equal(test.check(declared, words).messages, messages)
end

test.case("defaults hold, the rest is nil", function()
  given({}, { interface = "eth0", port = 8080, proxy = true, address = netlab.null, mode = netlab.null })
end)

test.case("both spellings, booleans, lists, dashes", function()
  given({ "--interface", "wlan0", "--port=99", "--no-proxy", "--dns", "1.1.1.1,9.9.9.9", "--mode=slow" }, { interface = "wlan0", port = 99, proxy = false, dns = { "1.1.1.1", "9.9.9.9" }, mode = "slow" })
  given({ "--proxy=no", "--lease", "90m", "--cache=1GiB", "--state-folder=/tmp/x" }, { proxy = false, lease = "1h30m", cache = "1073741824B", state_folder = "/tmp/x" })
  given({ "--proxy", "--address=10.0.0.1/8", "--state_folder", "/a/../b" }, { proxy = true, address = "10.0.0.1/8", state_folder = "/b" })
end)

test.case("everything wrong is reported at once", function()
  refused({ "--interfce", "x", "--port", "0", "--address=nope", "stray", "--mode", "medium", "--lease" }, {
    "recipe.lua: unknown option --interfce (did you mean --interface?)",
    'recipe.lua: --port: expected a whole number from 1 to 65535, got "0"',
    'recipe.lua: --address: expected an address with its prefix length such as "10.0.0.1/24", got "nope"',
    'recipe.lua: unexpected argument "stray": options begin with --',
    'recipe.lua: --mode: expected "fast" or "slow", got "medium"',
    'recipe.lua: --lease needs a value: a duration such as "1h"',
  })
  refused({ "--no-port" }, { "recipe.lua: unknown option --no-port" })
end)

test.case("a required option that is missing", function()
  local recipe = 'local netlab = require "netlab"\nnetlab.args { { name = "state", type = "path", required = true } }'
  test.equal(test.check(recipe).messages, { "recipe.lua: --state is missing: a file name" })
  test.equal(test.check(recipe, { "--state", "x" }).messages, {})
end)

test.case("mistakes in the declaration raise at its line", function()
  local function declares(options, part)
    local messages = test.check('local netlab = require "netlab"\nnetlab.args { ' .. options .. " }").messages
    test.equal(#messages, 1, options)
    test.matches(messages[1], "^recipe%.lua:2: args%[1%]")
    test.contains(messages[1], part)
  end
  declares('{ name = "x" }', 'option "type" is missing')
  declares('{ type = "string" }', 'option "name" is missing')
  declares('{ name = "x", type = "durations" }', 'unknown type "durations" (did you mean "duration"?)')
  declares('{ name = "x", type = "duration", default = 5 }', 'expected a duration such as "1h", got number 5')
  declares('{ name = "x", type = "string", hlep = "" }', 'unknown option "hlep" (did you mean "help"?)')
  declares("5", "expected a table")
end)

test.case("reading an option that was not declared raises", function()
  test.equal(test.check(declared .. "return opt.interfaces").messages, { 'recipe.lua:13: netlab.args declares no option string "interfaces"' })
end)
