-- Says before a boot what a machine is too small for. What nodes are and run is in their labels, or given for all.
local netlab = require "netlab"
local facts = require "machines.facts"

-- The machine and its title; nil, text when it is unknown; nothing when nothing is said of it.
local function described(self, node)
  local labels = node.labels or {}
  if labels.memory then
    return { memory = tonumber((labels.memory:gsub("GiB$", ""))), processors = tonumber(labels.processors), arch = labels.arch, kvm = labels.kvm ~= "no" }, "as its labels say"
  elseif labels.machine or self.machine then
    local machine, why = facts.machine(labels.machine or self.machine)
    return machine, machine and (labels.machine or self.machine) or why
  end
end

local function asked(self, node)
  local text = (node.labels or {}).runs
  if not text then return self.runs end
  local out = {}
  for name in text:gmatch "[^%s,]+" do out[#out + 1] = name end
  return out
end

return {
  fit = {
    help = "`netlab check` tells what the lab's machines are too small for.",
    example = 'local nodes = netlab.nodes {\n  { name = "cm3-1", mac = "b8:27:eb:20:30:40", labels = { machine = "cm3" } },\n}\n'
      .. 'netlab.plugin("machines").fit { nodes = nodes, runs = { "talos-worker", "cozystack" } }',
    options = {
      { name = "nodes", type = { type = "handle", kind = "nodes" }, required = true, help = "what netlab.nodes returned; a label machine, or memory, processors and arch, says what each is, a label runs what it runs" },
      { name = "machine", type = "string", help = "what those are that have no such label, such as t4g.small or cm3" },
      { name = "runs", type = { type = "list", of = "string" }, default = {}, help = "what runs on those that have no such label: talos-worker, talos-controlplane, cozystack, kubevirt, spinkube" },
    },
    create = function(given)
      for node in given.nodes:each() do
        local machine, problem = described(given, node)
        if problem and not machine then
          return nil, netlab.err.new("invalid", ("node %s: %s"):format(node.name, problem), "nodes")
        end
        for _, name in ipairs(asked(given, node)) do
          local ok, why = facts.known_software(name)
          if not ok then return nil, netlab.err.new("invalid", ("node %s: %s"):format(node.name, why), "runs") end
        end
      end
      return given
    end,
    check = function(self)
      local out = {}
      for node in self.nodes:each() do
        local machine, title = described(self, node)
        for _, text in ipairs(machine and facts.misfits(node.name, title, machine, asked(self, node)) or {}) do
          out[#out + 1] = text
        end
      end
      return out
    end,
  },
}
