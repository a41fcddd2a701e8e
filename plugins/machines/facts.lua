-- What machines are, and what software asks of one. Memory in GiB; the figures are those that its makers state.
local names = require "netlab.names"

local facts = {}

---`kvm`: whether virtual machines can run on it. An EC2 instance that is not "metal" gives none to its guests.
facts.machines = {
  ["t4g.nano"] = { memory = 0.5, processors = 2, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.micro"] = { memory = 1, processors = 2, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.small"] = { memory = 2, processors = 2, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.medium"] = { memory = 4, processors = 2, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.large"] = { memory = 8, processors = 2, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.xlarge"] = { memory = 16, processors = 4, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  ["t4g.2xlarge"] = { memory = 32, processors = 8, arch = "arm64", kvm = false, why = "EC2 gives no nested virtualisation to t4g" },
  cm3 = { memory = 1, processors = 4, arch = "arm64", kvm = true },
  ["raspberry-pi-3"] = { memory = 1, processors = 4, arch = "arm64", kvm = true },
  ["raspberry-pi-4"] = { memory = 4, processors = 4, arch = "arm64", kvm = true },
  ["raspberry-pi-5"] = { memory = 8, processors = 4, arch = "arm64", kvm = true },
  n100 = { memory = 16, processors = 4, arch = "amd64", kvm = true },
}

---The least that each asks of a node; `from` says whose figure it is, and when it was read.
facts.software = {
  ["talos-worker"] = { memory = 1, processors = 1, from = "docs.siderolabs.com/talos/v1.14, system requirements, 2026-11-22" },
  ["talos-controlplane"] = { memory = 2, processors = 2, from = "docs.siderolabs.com/talos/v1.14, system requirements, 2026-11-22" },
  -- The smallest of three configurations; 16 GiB and 4 processors in its documentation before version 1.
  cozystack = { memory = 32, processors = 8, arch = "amd64", from = "cozystack.io/docs/v1/install/hardware-requirements, minimal, 2026-11-22" },
  kubevirt = { memory = 4, processors = 2, kvm = true, from = "docs.kubermatic.com, KubeVirt's minimal installation, 2026-11-22" },
  spinkube = { memory = 2, processors = 1, from = "an estimate: Spin's shim beside a kubelet" },
}

---A machine of the table, or one that a recipe describes: { memory, processors, kvm }. nil, text when it is unknown.
function facts.machine(given)
  if type(given) == "table" then
    return given
  end
  local found = facts.machines[given]
  if not found then
    return nil, ("no machine %q is known: %s, or say memory and processors"):format(given, names(facts.machines))
  end
  return found
end

function facts.known_software(name)
  if not facts.software[name] then
    return nil, ("no software %q is known: %s"):format(name, names(facts.software))
  end
  return true
end

local function amount(gib)
  return ("%g GiB"):format(gib)
end

---Why `software` does not fit on a machine, a sentence each; empty when all of it does.
function facts.misfits(who, title, machine, software)
  local out = {}
  for _, name in ipairs(software) do
    local need = facts.software[name]
    if machine.memory and machine.memory < need.memory then
      out[#out + 1] = ("%s (%s) has %s of memory, %s asks for %s (%s)"):format(who, title, amount(machine.memory), name, amount(need.memory), need.from)
    end
    if machine.processors and machine.processors < need.processors then
      out[#out + 1] = ("%s (%s) has %d processors, %s asks for %d (%s)"):format(who, title, machine.processors, name, need.processors, need.from)
    end
    if need.arch and machine.arch and machine.arch ~= need.arch then
      out[#out + 1] = ("%s (%s) is %s, %s asks for %s (%s)"):format(who, title, machine.arch, name, need.arch, need.from)
    end
    if need.kvm and machine.kvm == false then
      out[#out + 1] = ("%s (%s) has no /dev/kvm, which %s needs%s"):format(who, title, name, machine.why and ": " .. machine.why or "")
    end
  end
  return out
end

return facts
