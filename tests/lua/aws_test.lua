-- AWS: options of the client, errors before anything is sent, digests, the recipes of examples/aws, and the lab's own
-- suite (tests/aws), which runs in virtual time in a process of its own.
local netlab = require "netlab"
local test = require "netlab.test"

local head = 'local netlab = require "netlab"\n'

test.case("digests and base64", function()
  test.equal(netlab.digest.sha256 "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  test.equal(netlab.digest.hmac_sha256("Jefe", "what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
  test.equal(#netlab.digest.hmac_sha256("k", "t", true), 32)
  test.equal(netlab.base64.encode "foob", "Zm9vYg==")
  test.equal(netlab.base64.decode "Zm9v\nYg==", "foob")
  test.fails(netlab.base64.decode "Zm9v*", select(2, netlab.base64.decode "Zm9v*"), "invalid")
end)

test.case("the client's options", function()
  test.equal(test.check(head .. 'netlab.aws.client { region = "eu-west-1", profile = "p", endpoint = "http://127.0.0.1:1" }').messages, {})
  local function check(options, message)
    test.equal(test.check(head .. "netlab.aws.client " .. options).messages, { "recipe.lua:2: aws.client" .. message })
  end
  check('{ regoin = "x" }', ': unknown option "regoin" (did you mean "region"?)')
  check("{ attempts = 0 }", ".attempts: expected a whole number from 1 to 50, got number 0")
  check('{ endpoint = "nowhere" }', '.endpoint: expected a URL such as "http://example.org/", got string "nowhere"')
end)

test.case("nothing is asked while the recipe declares, and services are known by name", function()
  local messages = test.check(head .. 'local aws = netlab.aws.client { region = "eu-west-1" }\naws.ec2:describe_vpcs {}').messages
  test.equal(#messages, 1)
  test.contains(messages[1], "cannot run while the recipe declares")
  messages = test.check(head .. 'local aws = netlab.aws.client { region = "eu-west-1" }\naws.ec3:describe_vpcs {}').messages
  test.contains(messages[1], 'aws.client "aws" has no "ec3"')
end)

test.case("credentials do not show in the graph", function()
  local checked = test.check(head .. 'netlab.aws.client { region = "x", credentials = function() return { access_key = "A", secret_key = "hidden" } end }')
  test.falsy(netlab.json.encode(checked.graph):find("hidden", 1, true))
end)

local lab = head .. [[
local aws = netlab.aws.client { region = "eu-west-1" }
local options = {
  name = "l", aws = aws, region = "eu-west-1", cidr = "10.20.0.0/16",
  subnets = { public = { cidr = "10.20.1.0/24", public = true }, private = { cidr = "10.20.13.0/24" } },
  groups = { g = { ingress = { { group = "g" } } } },
  bastion = { group = "asg", address = "10.20.13.140", groups = { "g" } },
}
CHANGE
netlab.plugin("awslab").lab(options)
]]

test.case("mistakes of a declaration are told before anybody is asked", function()
  local function check(change, message)
    local messages = test.check((lab:gsub("CHANGE", function() return change end))).messages
    test.equal(#messages, 1, change)
    test.contains(messages[1], message)
  end
  test.equal(test.check((lab:gsub("CHANGE", ""))).messages, {})
  check('options.subnets.private.cidr = "10.20.1.128/25"', "subnets private (10.20.1.128/25) and public (10.20.1.0/24) overlap")
  check('options.subnets.private.cidr = "10.21.13.0/24"', "10.21.13.0/24 is not in 10.20.0.0/16")
  check('options.subnets.private.cidr = "10.20.13.7/24"', "is no network")
  check('options.bastion.address = "10.20.14.140"', "10.20.14.140 is not in subnet private (10.20.13.0/24)")
  check('options.bastion.address = "10.20.13.2"', "AWS keeps the first four addresses")
  check('options.bastion.disk = "4XB"', '"4XB" is no size of a volume, such as 4GiB')
  check('options.bastion.schedule = { start = "18:00", stop = "25:00" }', '"25:00" is no time of a day')
  check('options.bucket = { name = "Not_A_Bucket" }', '"Not_A_Bucket" is no bucket')
  check('options.cidr = "10.0.0.0/8"', "from 16 to 28 bits")
  check('options.groups.g.ingress[1].group = "h"', 'there is no group "h"')
  check('options.groups.g.ingress[1] = { port = 22 }', "one of group and cidr is needed")
  check('options.bastion.groups = { "h" }', 'there is no group "h"')
  check('options.nat = "instance"; options.bastion = nil', "is the bastion: declare one")
  check('options.groups.g.ingress[1] = { cidr = "somewhere", port = 22 }', "groups.g.ingress[1].cidr: expected an address with its prefix length")
  check('options.groups.g.ingress[1] = { cidr = "10.1.2.3/24", port = 22 }', "10.1.2.3/24 is an address, not a network: /32 is that address alone")
  check('options.groups.g.ingress[1] = { cidr = "2001:db8::1/64", port = 22 }', "2001:db8::1/64 is an address, not a network: /128 is that address alone")
  for _, good in ipairs { "2001:db8::1/128", "2001:DB8:0:0::/64", "::/0", "2001:db8:8000::/33", "10.1.2.0/24" } do
    test.equal(test.check((lab:gsub("CHANGE", function() return ('options.groups.g.ingress[1] = { cidr = %q, port = 22 }'):format(good) end))).messages, {}, good)
  end
  check('options.name = "no name!"', '"no name!" is no lab\'s name')
  check('options.budget = -1', "a budget of $-1.00 cannot be kept")
  check('options.bastion.package = { url = "http://x/y", sha256 = "" }', "64 hexadecimal digits")
  check('options.nat = "gate"', '"gateway"')
  check('options.subnets.private.ipv6 = true', "set ipv6 = true")
  check('options.bastion.adress = "x"', 'unknown option "adress" (did you mean "address"?)')
end)

for _, name in ipairs { "lab", "talos-launch", "teardown", "cost-check", "audit", "fleet", "reaper" } do
  test.case("example aws/" .. name, function()
    local got, err = netlab.process.run { argv = { netlab.testing.program(), "check", "../../examples/aws/" .. name .. ".lua" } }
    test.truthy(got, err and err.message)
    test.equal(got.exit_code, 0, got.output .. got.errors)
  end)
end
