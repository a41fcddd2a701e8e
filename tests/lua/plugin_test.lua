-- Plugins written in Lua: manifests, schemas, constructors, start and stop.
local netlab = require "netlab"
local test = require "netlab.test"

local manifest = 'return { name = "toy", api = 1, version = "0.1.0", help = "a toy", lua = "toy" }'
local module = [[
local netlab = require "netlab"
local price = require "toy.price"
return {
  box = {
    help = "A box.",
    options = {
      { name = "size", type = "size", required = true, help = "how large" },
      { name = "colour", type = "enum", values = { "red", "green" }, default = "red" },
      { name = "every", type = "duration", default = "90m" },
      { name = "parts", type = { type = "list", of = { type = "table", options = { { name = "n", type = "integer", least = 1 } } } } },
    },
    create = function(options)
      if options.colour == "green" and options.size == "1B" then
        return nil, netlab.err.new("invalid", "too small to be green")
      end
      return { options = options, price = price }
    end,
    methods = {
      describe = function(self, word)
        return ("%s %s %s %d"):format(word, self.options.colour, self.options.every, self.price)
      end,
      slow = function(self)
        netlab.sleep "1ms"
        return self.price
      end,
    },
    start = function(self)
      netlab.sleep "1ms"
      netlab.log.info("box started", { colour = self.options.colour })
    end,
    stop = function(self)
      netlab.log.info("box stopped", { colour = self.options.colour })
    end,
  },
}
]]

local function place(files)
  local folder = test.folder()
  for name, text in pairs(files) do
    local path = netlab.fs.join(folder, "plugins", name)
    netlab.fs.mkdir((path:gsub("/[^/]*$", "")))
    netlab.fs.write(path, text)
  end
  return netlab.fs.join(folder, "r.lua")
end

local toy = { ["toy/plugin.lua"] = manifest, ["toy/toy.lua"] = module, ["toy/price.lua"] = "return 42" }

local function messages(path, recipe)
  local out = test.check('local netlab = require "netlab"\n' .. recipe, {}, path).messages
  for index, text in ipairs(out) do
    out[index] = text:gsub(path:gsub("[%-%.]", "%%%0"), "r.lua"):gsub("[^ ]*/plugins/", "plugins/")
  end
  return out
end

test.case("its constructors behave like built-in ones", function()
  local path = place(toy)
  test.equal(messages(path, [[
local toy = netlab.plugin "toy"
local box = toy.box { size = "2KiB" }
assert(box:describe("a") == "a red 1h30m 42")
assert(tostring(box) == 'toy.box "toy.box"')
toy.box { size = "1KiB", name = "second" }
]]), {})
  test.equal(messages(path, [[
local toy = netlab.plugin "toy"
toy.box {
  siz = "1KiB",
  colour = "blue",
  every = 5,
  parts = { { n = 1 }, { n = 0 } },
}
toy.box { size = "1B", colour = "green" }
toy.boxx {}
]]), {
    'r.lua:3: toy.box: option "size" is missing: a size such as "20GiB"',
    'r.lua:4: toy.box: unknown option "siz" (did you mean "size"?)',
    'r.lua:5: toy.box.colour: expected "red" or "green", got string "blue"',
    'r.lua:6: toy.box.every: expected a duration such as "1h", got number 5',
    "r.lua:7: toy.box.parts[2].n: expected a whole number of at least 1, got number 0",
    "r.lua:9: toy.box: too small to be green",
    'r.lua:10: plugin toy has no "boxx" (did you mean "box"?)',
  })
end)

test.case("a plugin that is missing, or made for another api, is refused", function()
  test.equal(messages(place(toy), 'local x = netlab.plugin "toi"\nx.anything { 1 }'), {
    'r.lua:2: plugin "toi": there is no such plugin in the recipe\'s plugins folder, NETLAB_PATH or netlab (did you mean "toy"?)',
  })
  local path = place { ["toy/plugin.lua"] = 'return { name = "toy", api = 2, lua = "toy" }' }
  test.equal(messages(path, 'netlab.plugin "toy"'), {
    'r.lua:2: plugin "toy": plugins/toy/plugin.lua: made for plugin api 2, this netlab has 1: install a version of the plugin for it',
  })
  path = place { ["toy/plugin.lua"] = 'return { name = "toy", api = 1, native = "toy.so" }' }
  test.contains(messages(path, 'netlab.plugin "toy"')[1], "native plugins cannot be loaded")
end)

test.case("a manifest is data: it reaches nothing", function()
  for _, text in ipairs {
    'return { name = "toy", api = 1, lua = "toy", version = tostring(1) }',
    'require "netlab"',
    "while true do end",
    'return { name = "toy", api = 1, lau = "toy" }',
    'return { name = "other", api = 1, lua = "toy" }',
    'return { name = "toy", api = 1, lua = "../toy" }',
    "return 5",
    "return {",
  } do
    if not (netlab.testing.jit() and text:find "while") then
      local out = messages(place { ["toy/plugin.lua"] = text }, 'netlab.plugin "toy"')
      test.equal(#out, 1, text)
      test.contains(out[1], 'r.lua:2: plugin "toy": ', text)
    end
  end
end)

test.case("a module that fails, or returns what is no constructor, is refused", function()
  for text, part in pairs {
    ["error 'broken'"] = "broken",
    ["return 5"] = "returns a table of constructors",
    ["return { box = 5 }"] = '"box" must be a table',
    ["return { box = { creat = 1 } }"] = 'unknown field "creat" (did you mean "create"?)',
    ["return { box = {} }"] = '"create" is missing',
    ["return { box = { options = { { name = 'x', type = 'sice' } }, create = print } }"] = 'did you mean "size"?',
  } do
    local out = messages(place { ["toy/plugin.lua"] = manifest, ["toy/toy.lua"] = text }, 'netlab.plugin "toy"')
    test.equal(#out, 1, text)
    test.contains(out[1], part, text)
  end
end)

test.case("needs are loaded first, and must be there", function()
  local needy = {
    ["a/plugin.lua"] = 'return { name = "a", api = 1, lua = "a", needs = { "toy" } }',
    ["a/a.lua"] = "return {}",
  }
  test.equal(messages(place(needy), 'netlab.plugin "a"'), {
    'r.lua:2: plugin "a": needs "toy": there is no such plugin in the recipe\'s plugins folder, NETLAB_PATH or netlab',
  })
  needy["toy/plugin.lua"] = 'return { name = "toy", api = 1, lua = "t", needs = { "a" } }'
  test.contains(messages(place(needy), 'netlab.plugin "a"')[1], "needs itself")
end)

test.case("start and stop run as tasks, methods may wait", function()
  local path = place(toy)
  netlab.fs.write(path, [[
local netlab = require "netlab"
local box = netlab.plugin("toy").box { size = "1KiB" }
netlab.main(function()
  netlab.log.info("slow", { price = box:slow() })
  netlab.sleep "20ms"
  netlab.stop()
end)
]])
  local result = netlab.process.run { argv = { netlab.testing.program(), "--control", path .. ".sock", "run", path } }
  test.equal(result.exit_code, 0, result.errors)
  test.contains(result.errors, "box started colour=red")
  test.contains(result.errors, "slow price=42")
  test.contains(result.errors, "box stopped colour=red")
end)
