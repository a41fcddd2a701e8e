-- tftp.server and tftp.get: options, folders, files made by a handler, refusals.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local made = netlab.assets.handler(function() end)
    netlab.tftp.server {
      name = "pxe", listen = { "127.0.0.1:69", "127.0.0.2:69" }, serve = { made }, root = "tftp", single_port = true,
      max_blksize = 1428, max_windowsize = 8, fit_mtu = false, timeout = "500ms", retries = 3, transfers = 10,
      transfers_per_client = 2,
    }
  ]]
  test.equal(checked.messages, {})
  test.equal({ checked.graph[2].name, checked.graph[2].endpoints[2] }, { "pxe", "udp 127.0.0.2:69" })
end)

test.case("bad options, each at its line", function()
  check([[
netlab.tftp.server { listen = "127.0.0.1:69" }
netlab.tftp.server {
  listen = "127.0.0.1",
  root = 5,
  max_blksize = 7,
  max_windowsize = 2000,
  timeout = 1,
  single_port = "yes",
  blksize = 512,
}
netlab.tftp.server { listen = "127.0.0.1:69", serve = { netlab.http.files("/", ".") } }]], {
    'recipe.lua:2: tftp.server: one of "root" and "serve" is needed',
    'recipe.lua:4: tftp.server.listen: expected a place to listen: "address:port", lan:at(port), or a list of them, got string "127.0.0.1"',
    "recipe.lua:5: tftp.server.root: expected a file name, got number 5",
    "recipe.lua:6: tftp.server.max_blksize: expected a whole number from 8 to 65464, got number 7",
    "recipe.lua:7: tftp.server.max_windowsize: expected a whole number from 1 to 1024, got number 2000",
    'recipe.lua:8: tftp.server.timeout: expected a duration such as "1h", got number 1',
    'recipe.lua:9: tftp.server.single_port: expected true or false, got string "yes"',
    'recipe.lua:10: tftp.server: unknown option "blksize"',
    'recipe.lua:12: tftp.server.serve[1]: expected what netlab.boot.service or netlab.assets.handler returns, got http.files "/"',
  })
end)

local function url(running, path)
  return ("tftp://%s/%s"):format(running:endpoint "tftp.server", path)
end

local recipe = [[
  local answers = {
    ["/made"] = function() return "made on request" end,
    ["/large"] = function() return { text = ("0123456789abcdef"):rep(20000) } end,
    ["/no"] = function() return nil, "not for you" end,
    ["/raises"] = function() error "deliberate" end,
    ["/asked"] = function(r) netlab.sleep "1ms" return netlab.json.encode { r.protocol, r.path, r.client, r.server } end,
  }
  local made = netlab.assets.handler(function(r)
    local answer = answers[r.path]
    if answer then
      return answer(r)
    end
  end)
  netlab.tftp.server { listen = "127.0.0.1:0", serve = { made }, root = "root" }
]]

test.case("a folder and a handler: sizes, windows, the size probe, what is refused", { deadline = "30s" }, function()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/root/sub")
  netlab.fs.write(folder .. "/root/file", ("x"):rep(3000))
  netlab.fs.write(folder .. "/root/empty", "")
  netlab.fs.write(folder .. "/root/sub/even", ("y"):rep(1024))
  netlab.fs.write(folder .. "/secret", "secret")
  local running = test.run(recipe, { folder = folder })

  local file = test.truthy(netlab.tftp.get(url(running, "file")))
  test.equal({ file.bytes, file.size, file.body, file.blksize }, { 3000, 3000, ("x"):rep(3000), 1428 })
  test.equal(netlab.tftp.get(url(running, "empty")).bytes, 0)
  local even = netlab.tftp.get(url(running, "sub/even"), { blksize = 512, windowsize = 4 })
  test.equal({ even.bytes, even.blksize, even.windowsize }, { 1024, 512, 4 })
  local probe = test.truthy(netlab.tftp.get(url(running, "file"), { probe = true }))
  test.equal({ probe.size, probe.bytes }, { 3000, 0 })

  test.equal(netlab.tftp.get(url(running, "made")).body, "made on request")
  local large = test.truthy(netlab.tftp.get(url(running, "large"), { windowsize = 16, keep = "16B" }))
  test.equal({ large.bytes, large.body }, { 320000, "0123456789abcdef" })
  test.equal(netlab.json.decode(netlab.tftp.get(url(running, "asked")).body), { "tftp", "/asked", "127.0.0.1", "127.0.0.1" })

  for _, path in ipairs { "missing", "no", "raises", "sub", "../secret", "sub/../../secret", "%2e%2e/secret" } do
    test.fails(netlab.tftp.get(url(running, path), { timeout = "5s" }))
  end
  local log = running:log()
  test.contains(log, "not for you")
  test.contains(log, "deliberate")
  test.equal(netlab.tftp.get(url(running, "file")).bytes, 3000)
  test.equal(running:stop().exit_code, 0)
end)

test.case("get: wrong URLs and options", function()
  for _, wrong in ipairs { "tftp://", "http://127.0.0.1/x", "tftp://name/x", "tftp://127.0.0.1:99999/x", "" } do
    test.fails(netlab.tftp.get(wrong))
  end
  test.raises(function()
    netlab.tftp.get("tftp://127.0.0.1/x", { blksize = 5 })
  end, "netlab.tftp.get.blksize: expected a whole number from 8 to 65464, got number 5")
  test.fails(netlab.tftp.get("tftp://127.0.0.1:1/x", { timeout = "3s" }))
end)
