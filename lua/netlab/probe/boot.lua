-- netlab probe boot: a virtual machine that walks the boot chain as real firmware does.
local netlab = require "netlab"
local steps = require "netlab.probe.steps"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where the lab network is; it needs no address" },
  { name = "arch", type = "string", default = "x64", help = "x64, arm64, bios, x64-http or arm64-http" },
  { name = "mac", type = "mac", help = "of the virtual machine; the interface's own unless given" },
  { name = "uuid", type = "uuid", help = "of the virtual machine; made from the MAC unless given" },
  { name = "serial", type = "string", default = "", help = "its serial number" },
  { name = "timeout", type = "duration", default = "15s", help = "for each DHCP exchange" },
}

-- The firmware's option 93, what its iPXE calls the processor, and how it asks.
local firmwares = {
  x64 = { number = 7, kind = "pxe", buildarch = "x86_64", platform = "efi" },
  arm64 = { number = 11, kind = "pxe", buildarch = "arm64", platform = "efi" },
  bios = { number = 0, kind = "pxe", buildarch = "i386", platform = "pcbios" },
  ["x64-http"] = { number = 16, kind = "http_boot", buildarch = "x86_64", platform = "efi" },
  ["arm64-http"] = { number = 19, kind = "http_boot", buildarch = "arm64", platform = "efi" },
}

local keep = "4MiB" -- enough for a script, and for the headers and command line of a unified image

---Fetches by TFTP or HTTP; returns the file's beginning and size, or nil and why.
local function fetch(url, limit)
  if url:match("^tftp://") then
    local got, err = netlab.tftp.get(url, { keep = limit or keep, interface = opt.interface })
    if not got then
      return nil, err
    end
    return { body = got.body, bytes = got.bytes, took = got.elapsed }
  end
  local begun = netlab.uptime()
  local got, err = netlab.http.get(url, { keep = limit or keep, timeout = "10m", redirects = 0 })
  if not got then
    return nil, err
  end
  if got.status ~= 200 then
    local reason = got.status < 500 and got.body:match("^[^\r\n]*") or ""
    return nil, ("%s answered %d %s"):format(url, got.status, reason)
  end
  return { body = got.body, bytes = got.bytes, took = netlab.uptime() - begun }
end

local function u16(text, at)
  local a, b = text:byte(at + 1, at + 2)
  return b and a + b * 256 or 0
end

local function u32(text, at)
  return u16(text, at) + u16(text, at + 2) * 65536
end

---The sections of a PE image by name, or nil when it is none.
local function sections(image)
  local header = u32(image, 0x3c)
  if image:sub(1, 2) ~= "MZ" or image:sub(header + 1, header + 4) ~= "PE\0\0" then
    return nil
  end
  local out = {}
  local table_at = header + 24 + u16(image, header + 20)
  for i = 0, u16(image, header + 6) - 1 do
    local at = table_at + i * 40
    local name = image:sub(at + 1, at + 8):match("^[^%z]*")
    out[name] = { size = u32(image, at + 8), at = u32(image, at + 20) }
  end
  return out
end

---Fetches the machine config that the command line names, as Talos would.
local function configure(cmdline, machine)
  local url = netlab.boot.talos_config_url(cmdline, machine)
  if not url then
    steps.say("done", "the kernel has everything it needs; its command line names no talos.config")
    return 0
  end
  local got, err = fetch(url)
  if not got then
    return steps.stop("config", tostring(err), "The node would wait for its config and never come up.")
  end
  steps.say("config", ("%s, %s"):format(url, steps.size(got.bytes)))
  steps.say("done", "the machine has kernel, initrd and config")
  return 0
end

---Runs iPXE scripts from `url` on.
local function run_ipxe(url, machine, lease)
  local firmware = firmwares[opt.arch]
  local vm = netlab.boot.ipxe {
    mac = machine.mac,
    uuid = machine.uuid,
    serial = machine.serial,
    hostname = machine.hostname,
    buildarch = firmware.buildarch,
    platform = firmware.platform,
    ["net0/mac"] = machine.mac,
    ["net0/ip"] = lease.ip,
    ["net0/dhcp/dhcp-server"] = lease.server,
    ["next-server"] = lease.next_server,
    filename = lease.boot_file,
  }
  local action = vm:start(url)
  local printed = 0
  while true do
    for i = printed + 1, #vm:console() do
      steps.say("echo", vm:console()[i])
      printed = i
    end
    if action.what == "fetch" then
      local got, err = fetch(action.url)
      if got then
        local stage = action.purpose == "other" and "image" or action.purpose
        steps.say(stage, ("%s, %s in %.3f s"):format(action.url, steps.size(got.bytes), got.took))
        action = vm:fetched(got.body, got.bytes)
      else
        steps.say("missing", tostring(err))
        action = vm:missing(tostring(err))
      end
    elseif action.what == "sleep" then
      netlab.sleep(("%dms"):format(math.max(1, math.floor(action.seconds * 1000))))
      action = vm:slept()
    elseif action.what == "boot" then
      steps.say("boot", action.kernel .. " " .. action.cmdline)
      return configure(action.cmdline, machine)
    elseif action.what == "exit" then
      return steps.stop("script", ("the script ended without booting (exit %d)"):format(action.code))
    else
      return steps.stop("script", ("%s:%d: %s"):format(action.url, action.line, action.why))
    end
  end
end

---Walks on from what DHCP said.
local function walk(lease, machine)
  local file = lease.boot_file
  local url = file:match("^%a+://") and file or ("tftp://%s/%s"):format(lease.boot_server, (file:gsub("^/", "")))
  if opt.arch:match("http$") then
    if not url:match("^http") then
      return steps.stop("http", ("UEFI HTTP boot needs a URL, got %q"):format(file))
    end
  elseif url:match("^tftp") then
    -- EDK2 first asks for the size and hangs up.
    local probe, err = netlab.tftp.get(url, { probe = true, interface = opt.interface })
    if not probe then
      return steps.stop("tftp", tostring(err), "Is UDP port 69 open, and does the boot service have this file?")
    end
  end
  local got, err = fetch(url)
  if not got then
    return steps.stop(url:match("^(%a+)"), tostring(err))
  end
  local found = sections(got.body)
  if found and found[".linux"] then
    local text = found[".cmdline"]
    local cmdline = text and got.body:sub(text.at + 1, text.at + text.size):match("^[^%z]*") or ""
    steps.say("uki", ("%s, %s in %.3f s"):format(url, steps.size(got.bytes), got.took))
    steps.say("boot", cmdline)
    return configure(cmdline, machine)
  end
  if got.body:match("^#!ipxe") then
    return run_ipxe(url, machine, lease)
  end
  steps.say(url:match("^(%a+)"), ("%s, %s in %.3f s"):format(url, steps.size(got.bytes), got.took))
  -- A loader: it asks DHCP again, now as iPXE.
  local since = steps.now()
  local report, failure = netlab.dhcp.probe {
    interface = opt.interface,
    kind = "ipxe",
    architecture = firmwares[opt.arch].number,
    mac = machine.mac,
    uuid = machine.uuid,
    timeout = opt.timeout,
  }
  if not report then
    return steps.stop("dhcp", tostring(failure))
  end
  steps.dhcp(report, since)
  if report.failure then
    return steps.stop("dhcp", report.failure.message)
  end
  return run_ipxe(report.lease.boot_file, machine, report.lease)
end

netlab.main(function()
  local firmware = firmwares[opt.arch]
  if not firmware then
    print(("there is no firmware %q: use x64, arm64, bios, x64-http or arm64-http"):format(opt.arch))
    return 2
  end
  steps.begin()
  local interface, err = netlab.net.interface(opt.interface)
  if not interface then
    return steps.stop("interface", tostring(err))
  end
  local mac = opt.mac or interface.mac
  local report, failure = netlab.dhcp.probe {
    interface = opt.interface,
    kind = firmware.kind,
    architecture = firmware.number,
    mac = mac,
    uuid = opt.uuid,
    timeout = opt.timeout,
  }
  if not report then
    return steps.stop("dhcp", tostring(failure))
  end
  steps.dhcp(report, 0)
  if report.failure then
    local remedy = #report.offers == 0 and "Nobody offered an address. A netlab on this network says why in its log and in netlab status; else: is the server up, and UDP port 67 open?"
      or "Its log says why it did not go on."
    return steps.stop("dhcp", report.failure.message, remedy)
  end
  local lease = report.lease
  local machine = { mac = mac, uuid = opt.uuid, serial = opt.serial, hostname = lease.hostname }
  if lease.boot_file == "" then
    return steps.stop("dhcp", "the lease came without a boot file", "Does a profile fit this architecture? netlab check tells.")
  end
  -- Without an address of our own nothing can be fetched: take the leased one for the time of the walk.
  local added = #interface.addresses == 0 or not interface.addresses[1]:match("%.")
  if added then
    local ok, why = netlab.net.add_address(opt.interface, lease.network)
    if not ok then
      return steps.stop("address", tostring(why))
    end
  end
  local done, code = pcall(walk, lease, machine)
  if added then
    netlab.net.remove_address(opt.interface, lease.network)
  end
  if not done then
    error(code, 0)
  end
  return code
end)
