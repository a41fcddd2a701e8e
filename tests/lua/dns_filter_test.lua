-- dns.server's filter: lists, groups and what blocked names are answered with; dns.pihole.
local netlab = require "netlab"
local test = require "netlab.test"

local head = 'local netlab = require "netlab"\nnetlab.state "state"\n'

local function check(recipe, expected)
  test.equal(test.check(head .. recipe).messages, expected)
end

test.case("good lists, groups and answers", function()
  for _, blocking in ipairs { '"null"', '"nxdomain"', '"10.0.0.1"', '{ "10.0.0.1", "fd00::1" }' } do
    check([[
netlab.dns.server {
  listen = "127.0.0.1:53", upstreams = "192.0.2.1", blocking = ]] .. blocking .. [[, blocking_ttl = "10s",
  blocklists = {
    "https://lists.example/hosts", "mine.txt", { name = "own", rules = { "a.example" } },
    { name = "url", url = "http://lists.example/x", refresh = "1h", subdomains = true }, { path = "other.txt" },
  },
  allowlists = { { name = "needed", rules = { "good.example" } } },
  lists_refresh = "12h",
  groups = {
    everybody = { lists = { "own" } },
    kids = {
      clients = { "10.0.0.5", "10.1.0.0/16", "02:00:00:00:00:01", "tablet" }, lists = { "own", "url" },
      schedule = { { days = "mon-fri", from = "20:00", to = "07:00", lists = { "own" } } },
    },
  },
  time_zone = "Europe/Prague",
}]], {})
  end
end)

test.case("bad lists and groups, each at its option", function()
  local function server(options)
    return 'netlab.dns.server { listen = "127.0.0.1:53", upstreams = "192.0.2.1",\n' .. options .. " }"
  end
  local own = 'blocklists = { { name = "own", rules = { "a.example" } } },'
  local cases = {
    { 'blocklists = { {} }', 'blocklists[1]: one of "url", "path" and "rules" is needed' },
    { 'blocklists = { "ftp://lists.example/x" }', 'lists come by http and https, or from a file' },
    { own .. 'allowlists = { { name = "own", rules = { "b.example" } } }', 'two lists have the name "own"' },
    { own .. 'lists_refresh = "1s"', 'a refresh sooner than "1m" is not polite' },
    { own .. 'blocking = "nxdomian"', "blocking" },
    { own .. 'blocking = {}', "blocking" },
    { own .. 'groups = { kids = { clients = { "x" }, lists = { "onw" } } }', 'did you mean "own"?' },
    { own .. 'groups = { kids = { lists = { "own" } } }', "a group needs clients" },
    { own .. 'groups = { a = { clients = { "10.0.0.300/8" } } }', "groups.a.clients[1]" },
    { own .. 'groups = { a = { clients = { "x" } }, b = { clients = { "X" } } }', "is in two groups" },
    { own .. 'groups = { everybody = { clients = { "x" } } }', "it takes lists only" },
    { own .. 'groups = { a = { clients = { "x" }, schedule = { { from = "25:00", lists = {} } } } }', "schedule[1].from" },
    { own .. 'groups = { a = { clients = { "x" }, schedule = { { days = "someday", lists = {} } } } }', "schedule[1].days" },
    { own .. 'time_zone = "Europe/Pargue"', "time_zone: \"Europe/Pargue\" is no time zone that this machine knows" },
    { own .. 'time_zone = "../localtime"', "time_zone" },
    { own .. 'time_zone = "Europe"', "time_zone" },
  }
  for _, case in ipairs(cases) do
    local messages = test.check(head .. server(case[1])).messages
    test.equal(#messages, 1, case[1])
    test.contains(messages[1], case[2])
  end
  local messages = test.check('local netlab = require "netlab"\n' .. server(own)).messages
  test.contains(messages[1], "netlab.state")
end)

test.case("hours are those of the zone", { deadline = "60s" }, function()
  -- An hour before and after this moment by a clock that is twelve hours ahead: there is no day on which the two are one.
  local now = tonumber(netlab.time():sub(12, 13))
  local from, to = ("%02d:00"):format((now + 11) % 24), ("%02d:00"):format((now + 14) % 24)
  for zone, expected in pairs { ["Etc/GMT-12"] = "day.example", ["Etc/UTC"] = "night.example" } do
    local running = test.run(([[
      netlab.state "state"
      netlab.dns.server {
        listen = "127.0.0.1:0", upstreams = "127.0.0.1:1", blocking = "nxdomain", time_zone = "%s",
        blocklists = { { name = "day", rules = { "day.example" } }, { name = "night", rules = { "night.example" } } },
        groups = { here = { clients = { "127.0.0.0/8" }, lists = {}, schedule = {
          { from = "%s", to = "%s", lists = { "day" } }, { from = "%s", to = "%s", lists = { "night" } },
        } } },
      }
    ]]):format(zone, from, to, to, from))
    -- Answers begin before the lists are made.
    local blocked
    repeat
      for _, name in ipairs { "day.example", "night.example" } do
        local report = netlab.dns.probe { name = name, server = running:endpoint "dns.server" }
        if report and report.rcode == "NXDOMAIN" then blocked = name end -- else the upstream is asked, which is nobody
      end
    until blocked
    test.equal(blocked, expected, zone)
    test.equal(running:stop().exit_code, 0)
  end
end)

test.case("a Pi-hole that is not there", function()
  local messages = test.check(head .. 'netlab.dns.pihole { path = "nowhere" }').messages
  test.equal(#messages, 1)
  test.contains(messages[1], "dns.pihole.path")
  test.contains(messages[1], "gravity.db")
end)
