-- A network with a bastion that is on for five hours a day, and what it costs.
local netlab = require "netlab"

local aws = netlab.aws.client { region = "eu-west-1" }
local lab = netlab.plugin("awslab").lab {
  name = "example", aws = aws, region = "eu-west-1", cidr = "10.20.0.0/16", ipv6 = true,
  subnets = { public = { cidr = "10.20.1.0/24", public = true, ipv6 = true }, private = { cidr = "10.20.13.0/24" } },
  nat = "instance", dns = "10.20.13.140",
  groups = { ["bastion-sg"] = { ingress = { { cidr = "2001:db8::1/128", port = 22 } } } },
  bastion = {
    group = "example", address = "10.20.13.140", groups = { "bastion-sg" },
    schedule = { start = "18:00", stop = "23:00", time_zone = "Europe/Dublin" },
  },
}

netlab.main(function()
  local plan, err = lab:plan()
  if not plan then
    return nil, err
  end
  print(plan:text())
  return plan.code
end)
