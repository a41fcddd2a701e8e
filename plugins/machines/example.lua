local netlab = require "netlab"
local nodes = netlab.nodes {
  { name = "cm3-1", mac = "b8:27:eb:20:30:40", labels = { machine = "cm3" } },
  { name = "cloud-1", mac = "02:00:0a:14:0d:0b", labels = { machine = "t4g.small", runs = "cozystack kubevirt" } },
}
netlab.plugin("machines").fit { nodes = nodes, runs = { "talos-worker", "cozystack" } }
