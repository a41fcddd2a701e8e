-- dns.server's log, zones, names and hook; netlab.dns.resolve and probe; the netlab dns command.
local netlab = require "netlab"
local test = require "netlab.test"

local program = netlab.testing.program()

local function mistakes(options, state)
  local head = 'local netlab = require "netlab"\n' .. (state and 'netlab.state "state"\n' or "")
  return test.check(head .. 'netlab.dns.server { listen = "127.0.0.1:53", upstreams = "192.0.2.1", ' .. options .. " }").messages
end

test.case("good options", function()
  test.equal(mistakes("log = false"), {})
  test.equal(mistakes("log = true"), {})
  test.equal(mistakes('log = { retention = "7d", max_size = "16MiB", privacy = "hide_clients" }', true), {})
  test.equal(mistakes('safe_search = "moderate", groups = { kids = { clients = { "10.0.0.9" }, safe_search = "strict" } }'), {})
  test.equal(mistakes('on_query = function(q) return q.name end, on_query_timeout = "1s", on_query_default = "refuse"'), {})
  test.equal(mistakes("names = netlab.dns.names { ttl = \"5s\" }"), {})
end)

test.case("bad options, each at its option", function()
  local folder = test.folder()
  test.truthy(netlab.fs.write(folder .. "/bad.zone", "www A 192.0.2.1\nwww A 192.0.2.300\n"))
  for options, expected in pairs {
    ['log = { privacy = "some" }'] = "log",
    ['log = { retention = "7d" }'] = "netlab.state",
    ['log = { max_size = "1MiB" }'] = "log.max_size",
    ['safe_search = "yes"'] = "safe_search",
    ['on_query = "x"'] = "on_query",
    ['on_query = function() end, on_query_timeout = "1h"'] = "a query waits between",
    ['zones = { ["example.org"] = "nowhere.zone" }'] = "zones.example.org",
    [('zones = { ["example.org"] = %q }'):format(folder .. "/bad.zone")] = 'bad.zone:2: A record: "192.0.2.300"',
    ['zones = { ["."] = "x" }'] = "the root",
  } do
    local messages = mistakes(options)
    test.equal(#messages, 1, options)
    test.contains(messages[1], expected)
  end
end)

test.case("names, the hook, resolve and the command", { deadline = "60s" }, function()
  local running = test.run [[
    local names = netlab.dns.names {}
    local seen = {}
    netlab.dns.server {
      name = "d", listen = "127.0.0.1:0", upstreams = "127.0.0.1:9", domain = "lab.internal", names = names,
      records = { registry = "10.0.0.1" },
      on_query = function(q)
        if q.name == "hook.example" then return { "10.0.0.7", "fd00::7" } end
        if q.name == "bad.example" then return { nonsense = 1 } end
        if q.name == "number.example" then return 5 end
      end,
      on_query_default = "refuse",
    }
    netlab.main(function()
      assert(names:set("run", { a = "10.0.0.5", ttl = "9s" }))
      local ok, err = names:set("registry", "10.0.0.6")
      assert(not ok and err.code == "conflict", err)
      assert(not pcall(names.set, names, "x", { a = 5 }))
      ok, err = names:set("x", { a = "none" })
      assert(not ok and err.code == "invalid")
      assert(#names:list() == 1)
      local got = assert(netlab.dns.resolve("run.lab.internal"))
      assert(got[1].data == "10.0.0.5" and got[1].ttl == 9 and got[1].type == "A" and got[1].name == "run.lab.internal")
      assert(#assert(netlab.dns.resolve("run.lab.internal", "MX")) == 0)
      assert(netlab.dns.resolve("5.0.0.10.in-addr.arpa", "PTR")[1].data == "run.lab.internal.")
      assert(#assert(netlab.dns.resolve("hook.example")) == 1)
      assert(netlab.dns.resolve("hook.example", "AAAA")[1].data == "fd00::7")
      for name, code in pairs { ["nobody.lab.internal"] = "not_found", ["bad.example"] = "refused", ["number.example"] = "refused" } do
        local found, why = netlab.dns.resolve(name)
        assert(not found and why.code == code, name .. tostring(why))
      end
      local none, why = netlab.dns.resolve("x.example", "A", { server = "127.0.0.1:9", timeout = "200ms" })
      assert(not none and why.code == "timeout", tostring(why))
      -- A server that is named is looked up first, by who is asked otherwise.
      none, why = netlab.dns.resolve("x.example", "A", { server = "tls://nobody.lab.internal", timeout = "5s" })
      assert(not none and why.message:find "its address could not be found: nobody.lab.internal: there is no such name", tostring(why))
      local report = assert(netlab.dns.probe { name = "registry", tcp = true })
      assert(report.transport == "tcp" and report.rcode == "NOERROR" and report.answers[1].data == "10.0.0.1")
      assert(names:remove "run" and not names:remove "run")
      netlab.log.info "all is well"
      netlab.sleep "1h"
    end)
  ]]
  running:logged "all is well"
  test.contains(running:log(), "NL-DNS-180")
  local function dns(...)
    return test.truthy(netlab.process.run { argv = { program, "--state", running.state, "dns", ... } })
  end
  local why = netlab.json.decode(dns("why", "registry", "--json").output)
  test.equal(why.outcome, "local")
  test.contains(dns("block", "example.org", "--for", "1h").output, "example.org")
  test.equal(netlab.json.decode(dns("why", "www.example.org", "--json").output).outcome, "blocked")
  test.contains(dns("tail").output, "hook.example")
  test.contains(dns("top").output, "run.lab.internal")
  test.equal(dns("nonsense").exit_code, 2)
  test.equal(running:counter("netlab_dns_hook_default_total") > 0, true)
  test.equal(running:stop().exit_code, 0)
end)
