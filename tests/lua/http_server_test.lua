-- http.server: options, folders, routes, handlers that fail or never end, ports of others.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local files = netlab.http.files("/files", "served", { listing = true, content_type = "text/plain" })
    local route = netlab.http.route("/hook", function() return "ok" end)
    local made = netlab.assets.handler(function() return "made" end, { name = "made", timeout = "1s" })
    netlab.http.server {
      listen = { "127.0.0.1:8080", "[::1]:8080" }, serve = { files, route, made }, header_limit = "4KiB",
      body_limit = "1KiB", header_time = "1s", idle_time = "2s", connections = 5, connections_per_client = 2,
    }
    netlab.http.server { listen = "127.0.0.1:0", serve = {} }
    netlab.http.server { name = "other", listen = "127.0.0.1:0", serve = {} }
  ]]
  test.equal(checked.messages, {})
  local names = {}
  for _, object in ipairs(checked.graph) do
    names[#names + 1] = object.kind .. " " .. object.name
  end
  test.equal(names, {
    "http.files /files", "http.route /hook", "assets.handler made",
    "http.server http-8080", "http.server http-0", "http.server other",
  })
  test.equal(checked.graph[4].endpoints, { "tcp 127.0.0.1:8080", "tcp [::1]:8080" })
end)

test.case("bad options, each at its line", function()
  check([[
netlab.http.server { serve = {} }
netlab.http.server { listen = 8080, serve = {} }
netlab.http.server { listen = "127.0.0.1:99999", serve = {} }
netlab.http.server {
  listen = "127.0.0.1:80",
  serve = { "files" },
  header_limit = 5,
  connections = 0,
  workers = 0,
  idle_tme = "5s",
  tls = { certificate = "a.pem" },
}]], {
    'recipe.lua:2: http.server: option "listen" is missing: a place to listen: "address:port", lan:at(port), or a list of them',
    'recipe.lua:3: http.server.listen: expected a place to listen: "address:port", lan:at(port), or a list of them, got number 8080',
    'recipe.lua:4: http.server.listen: expected a place to listen: "address:port", lan:at(port), or a list of them, got string "127.0.0.1:99999"',
    'recipe.lua:7: http.server.serve[1]: expected what netlab.boot.service, netlab.assets.handler, netlab.http.files or netlab.http.route returns, got string "files"',
    'recipe.lua:8: http.server.header_limit: expected a size such as "20GiB", got number 5',
    "recipe.lua:9: http.server.connections: expected a whole number from 1 to 1000000, got number 0",
    "recipe.lua:10: http.server.workers: expected a whole number from 1 to 64, got number 0",
    'recipe.lua:11: http.server: unknown option "idle_tme" (did you mean "idle_time"?)',
    'recipe.lua:12: http.server.tls: option "key" is missing: a file name',
  })
end)

test.case("functions that make entries refuse wrong arguments at their line", function()
  for code, message in pairs {
    ['netlab.http.files("files", "x")'] = 'recipe.lua:3: netlab.http.files: the path prefix must begin with "/", got "files"',
    ['netlab.http.files("/files")'] = "recipe.lua:3: netlab.http.files: the folder must be a string, got nothing",
    ['netlab.http.files("/files", "x", { list = true })'] = 'recipe.lua:3: netlab.http.files: unknown option "list" (did you mean "listing"?)',
    ['netlab.http.route("/x", 5)'] = "recipe.lua:3: netlab.http.route: the handler must be a function, got number 5",
    ['netlab.http.route("x", function() end)'] = 'recipe.lua:3: netlab.http.route: the path prefix must begin with "/", got "x"',
    ["netlab.assets.handler(5)"] = "recipe.lua:3: netlab.assets.handler: the handler must be a function, got number 5",
    ["netlab.assets.handler(function() end, { timeout = 5 })"] = 'recipe.lua:3: netlab.assets.handler.timeout: expected a duration such as "1h", got number 5',
  } do
    check("\n" .. code, { message })
  end
end)

local function url(running, path)
  return ("http://%s%s"):format(running:endpoint "http.server", path)
end

test.case("folders: whole files, ranges, conditions, nothing outside", { deadline = "30s" }, function()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/served")
  netlab.fs.write(folder .. "/served/a.txt", "0123456789")
  netlab.fs.write(folder .. "/secret", "secret")
  local running = test.run('netlab.http.server { listen = "127.0.0.1:0", serve = { netlab.http.files("/files", "served") } }', { folder = folder })
  local at = url(running, "/files/a.txt")
  local whole = test.truthy(netlab.http.get(at))
  test.equal({ whole.status, whole.body, whole.headers["content-length"], whole.headers["content-type"] }, { 200, "0123456789", "10", "text/plain; charset=utf-8" })
  local part = netlab.http.get(at, { headers = { Range = "bytes=2-4" } })
  test.equal({ part.status, part.body, part.headers["content-range"] }, { 206, "234", "bytes 2-4/10" })
  test.equal(netlab.http.get(at, { headers = { Range = "bytes=10-" } }).status, 416)
  test.equal(netlab.http.get(at, { headers = { ["If-None-Match"] = whole.headers.etag } }).status, 304)
  local head = netlab.http.request { url = at, method = "HEAD" }
  test.equal({ head.status, head.body, head.headers["content-length"] }, { 200, "", "10" })
  for _, path in ipairs { "/files/%2e%2e/secret", "/files/missing", "/files/", "/nothing", "/" } do
    local got = netlab.http.get(url(running, path))
    test.truthy(got.status >= 400 and got.status < 500 and not got.body:find "secret", path)
  end
  test.equal(netlab.http.request({ url = at, method = "DELETE" }).status, 405)
  test.equal(running:stop().exit_code, 0)
end)

test.case("workers: handlers, folders and a boot service answer whichever it is", { deadline = "30s" }, function()
  local folder = test.folder()
  netlab.fs.mkdir(folder .. "/served")
  netlab.fs.write(folder .. "/served/a.txt", "0123456789")
  local running = test.run([[
    local boot = netlab.boot.service {
      profiles = { hello = { kernel = "vmlinuz" } },
      assets = "served",
      groups = { { profile = "hello" } },
    }
    netlab.http.server {
      listen = "127.0.0.1:0",
      workers = 3,
      serve = { boot, netlab.http.files("/files", "served"), netlab.http.route("/hook", function(r) return r.query end), netlab.http.metrics() },
    }]], { folder = folder })
  -- A connection each, so that the kernel deals them out.
  local asked = {}
  for i = 1, 24 do
    asked[i] = netlab.spawn(function()
      local path = ({ "/files/a.txt", "/hook?" .. i, "/boot.ipxe", "/metrics" })[i % 4 + 1]
      return netlab.http.get(url(running, path), { headers = { Connection = "close" } })
    end)
  end
  for i, each in ipairs(asked) do
    local got = test.truthy(each:wait())
    test.equal(got.status, 200)
    test.contains(got.body, ({ "0123456789", tostring(i), "#!ipxe", "netlab_http_requests_total" })[i % 4 + 1])
  end
  test.equal(running:stop().exit_code, 0)
end)

test.case("routes: text, status, json, headers, body, failures", { deadline = "30s" }, function()
  local running = test.run [[
    local function route(name, fn) return netlab.http.route("/" .. name, fn) end
    netlab.http.server {
      listen = "127.0.0.1:0",
      body_limit = "1KiB",
      serve = {
        route("text", function() return "hello" end),
        route("status", function() return 418, "short and stout" end),
        route("bare", function() return 204 end),
        route("json", function(r) return { json = { method = r.method, path = r.path, query = r.query, body = r.body, client = r.client, secure = r.secure, x = r.headers["x-lab"] } } end),
        route("table", function() return { status = 201, body = "made", content_type = "text/css", headers = { ["X-Made"] = "yes" } } end),
        route("waits", function() netlab.sleep "1ms" return "waited" end),
        route("raises", function() error "deliberate" end),
        route("nothing", function() end),
        route("silly", function() return 42 end),
        route("smuggles", function() return { body = "x", headers = { ["X-A"] = "b\r\nX-B: c" } } end),
      },
    }
  ]]
  local function get(path)
    return test.truthy(netlab.http.get(url(running, path)))
  end
  test.equal({ get("/text").status, get("/text").body, get("/text").headers["content-type"] }, { 200, "hello", "text/plain; charset=utf-8" })
  test.equal({ get("/status").status, get("/status").body }, { 418, "short and stout" })
  test.equal({ get("/bare").status, get("/bare").body }, { 204, "" })
  test.equal(get("/waits").body, "waited")
  local made = get "/table"
  test.equal({ made.status, made.body, made.headers["content-type"], made.headers["x-made"] }, { 201, "made", "text/css", "yes" })
  local posted = netlab.http.request { url = url(running, "/json/deep?a=b%20c"), method = "POST", body = "a\0b", headers = { ["X-Lab"] = "1" } }
  test.equal(netlab.json.decode(posted.body), {
    method = "POST", path = "/json/deep", query = "a=b%20c", body = "a\0b", client = "127.0.0.1", secure = false, x = "1",
  })
  test.equal(posted.headers["content-type"], "application/json")
  test.equal(netlab.http.request({ url = url(running, "/json"), method = "POST", body = ("x"):rep(2000) }).status, 413)
  local raised = get "/raises"
  test.equal(raised.status, 500)
  test.falsy(raised.body:find("deliberate", 1, true), "what failed is the operator's business")
  test.contains(running:logged "deliberate", "http.route /raises")
  test.equal({ get("/nothing").status, get("/silly").status, get("/smuggles").status }, { 500, 500, 500 })
  test.contains(get("/nothing").body, "returned no reply")
  test.equal({ get("/textual").status, get("/text/below").status }, { 404, 200 })
  test.equal(running:stop().exit_code, 0)
end)

test.case("files made by a handler: text, type, a file, nothing, why not, failures, its deadline", { deadline = "30s" }, function()
  local folder = test.folder()
  netlab.fs.write(folder .. "/beside.txt", "beside the recipe")
  local running = test.run([[
    local answers = {
      ["/text"] = function() return "made" end,
      ["/typed"] = function() return { text = "<a/>", content_type = "text/xml" } end,
      ["/file"] = function() return { file = "beside.txt" } end,
      ["/gone"] = function() return { file = "not-there" } end,
      ["/no"] = function() return nil, "not for you" end,
      ["/raises"] = function() error "deliberate" end,
      ["/wrong"] = function() return 5 end,
      ["/both"] = function() return { text = "a", file = "b" } end,
      ["/late"] = function() netlab.sleep "1h" end,
      ["/waits"] = function() netlab.sleep "1ms" return "waited" end,
      ["/asked"] = function(r) return netlab.json.encode { r.protocol, r.path, r.query, r.client, r.server, r.head } end,
    }
    local made = netlab.assets.handler(function(r)
      local answer = answers[r.path]
      if answer then
        return answer(r)
      end
    end, { timeout = "50ms" })
    local second = netlab.assets.handler(function(r) return r.path == "/second" and "of the second" or nil end)
    netlab.http.server { listen = "127.0.0.1:0", serve = { made, second } }
  ]], { folder = folder })
  local function get(path, options)
    return test.truthy(netlab.http.get(url(running, path), options))
  end
  test.equal({ get("/text").status, get("/text").body }, { 200, "made" })
  test.equal(get("/text", { headers = { Range = "bytes=1-2" } }).body, "ad")
  test.equal({ get("/typed").body, get("/typed").headers["content-type"] }, { "<a/>", "text/xml" })
  test.equal({ get("/file").status, get("/file").body }, { 200, "beside the recipe" })
  test.equal(get("/waits").body, "waited")
  test.equal(get("/second").body, "of the second")
  test.equal({ get("/gone").status, get("/nowhere").status }, { 404, 404 })
  test.equal({ get("/no").status, get("/raises").status, get("/wrong").status, get("/both").status, get("/late").status }, { 502, 500, 500, 500, 504 })
  test.equal(netlab.json.decode(get("/asked?x=1").body), { "http", "/asked", "x=1", "127.0.0.1", "127.0.0.1", false })
  test.contains(running:log(), "deliberate")
  test.contains(running:log(), "not for you")
  test.equal(running:stop().exit_code, 0)
end)

test.case("a handler that never ends is stopped by name; the others go on", { deadline = "30s" }, function()
  local running = test.run([[
    netlab.http.server { name = "web", listen = "127.0.0.1:0", serve = {
      netlab.http.route("/loop", function() while true do end end),
      netlab.http.route("/fine", function() return "fine" end),
    } }
    local lan = netlab.network { address = "127.0.0.1/8" }
    netlab.dhcp.server { network = lan, listen = "127.0.0.1", port = 0, range = "127.0.9.1-127.0.9.9" }
  ]], { netlab = {} }) -- compiled code cannot be stopped
  test.equal(netlab.http.get(url(running, "/loop")).status, 500)
  local log = running:logged "NL-LUA-003"
  test.contains(log, "http.route /loop")
  test.matches(log, "recipe%.lua:%d+")
  test.equal(netlab.http.get(url(running, "/fine")).body, "fine")
  local report = test.truthy(netlab.dhcp.probe { server = running:endpoint "dhcp.server", kind = "plain", mac = "02:00:00:00:00:01" })
  test.matches(report.lease.ip, "^127%.0%.9%.%d$")
  test.equal(running:stop().exit_code, 0)
end)

local function fails_to_start(recipe)
  local folder = test.folder()
  netlab.fs.write(folder .. "/r.lua", 'local netlab = require "netlab"; netlab.state "state"\n' .. recipe)
  local result = test.truthy(netlab.process.run { argv = { netlab.testing.program(), "run", folder .. "/r.lua" }, folder = folder })
  test.equal(result.exit_code, 1)
  return result.errors, folder
end

test.case("ports that others hold: all of them are named, nothing starts", { deadline = "30s" }, function()
  local holder = test.run [[
    netlab.http.server { listen = "127.0.0.1:0", serve = {} }
    netlab.tftp.server { listen = "127.0.0.1:0", root = "." }
  ]]
  local tcp, udp = holder:endpoint "http.server", holder:endpoint "tftp.server"
  local errors = fails_to_start(([[
netlab.http.server { listen = "%s", serve = {} }

netlab.tftp.server { listen = "%s", root = "." }
netlab.http.server { name = "free", listen = "127.0.0.1:0", serve = {} }]]):format(tcp, udp))
  test.contains(errors, "NL-HOST-004")
  test.contains(errors, ('r.lua:2: http.server "http-%s": tcp %s is in use by netlab (process %d)'):format(tcp:match ":(%d+)", tcp, holder.pid))
  test.contains(errors, ('r.lua:4: tftp.server "tftp-%s": udp %s is in use by netlab (process %d)'):format(udp:match ":(%d+)", udp, holder.pid))
  test.falsy(errors:find("NL-HOST-001", 1, true))
  test.equal(holder:stop().exit_code, 0)
end)

test.case("two services of one recipe at one place: both lines", function()
  check([[
local lan = netlab.network { address = "127.0.0.1/8" }
netlab.http.server { listen = lan:at(8080), serve = {} }
netlab.http.server { listen = "0.0.0.0:8080", serve = {} }
netlab.tftp.server { listen = lan:at(8080), root = "." }
netlab.tftp.server { listen = { lan:at(69), lan:at(8080) }, root = "." }
netlab.dhcp.server { network = lan, range = "127.0.0.10-127.0.0.20" }
netlab.dhcp.server { name = "second", network = lan, range = "127.0.0.30-127.0.0.40" }]], {
    'recipe.lua:4: http.server: tcp 0.0.0.0:8080 belongs to http.server "http-8080" (recipe.lua:3)',
    'recipe.lua:6: tftp.server: udp 127.0.0.1:8080 belongs to tftp.server "tftp-8080" (recipe.lua:5)',
    'recipe.lua:8: dhcp.server: udp 127.0.0.1:67 belongs to dhcp.server "dhcp-network" (recipe.lua:7)',
  })
end)
