-- netlab probe dns NAME: asks as a machine of the network would, by every way, and says what each answers.
local netlab = require "netlab"
local steps = require "netlab.probe.steps"

local opt = netlab.args {
  { name = "name", type = "string", help = "the name to ask for" },
  { name = "type", type = "string", default = "A", help = "record type" },
  { name = "server", type = "string", help = "who is asked: an address, tcp://…, tls://address#name, https://…; the system's unless given" },
  { name = "upstream", type = "string", help = "another server whose answer is compared" },
  { name = "ca", type = "path", help = "certificates that servers may show" },
  { name = "timeout", type = "duration", default = "5s", help = "for each question" },
}

local function question(server, more)
  local q = { name = opt.name, type = opt.type, server = server, ca_file = opt.ca, timeout = opt.timeout }
  for key, value in pairs(more or {}) do
    q[key] = value
  end
  return q
end

local function data_of(report)
  local out = {}
  for _, record in ipairs(report.answers or {}) do
    out[#out + 1] = record.type .. " " .. record.data
  end
  table.sort(out)
  return table.concat(out, ", ")
end

local function answer_words(report)
  local data = data_of(report)
  local words = report.rcode .. (data ~= "" and ": " .. data or "")
  if report.extended_error then
    words = ("%s (%s%s)"):format(words, "extended error " .. report.extended_error.code,
      report.extended_error.text ~= "" and ", " .. report.extended_error.text or "")
  end
  return words
end

-- Asks once and tells every message that went out; the report, or nil.
local function ask(what, server, more)
  local report, err = netlab.dns.probe(question(server, more))
  if not report then
    steps.say(what, tostring(err))
    return nil
  end
  for _, step in ipairs(report.steps) do
    if step.trouble then
      steps.say(what, ("%s by %s: %s after %.1f ms"):format(step.server, step.transport, step.trouble, step.elapsed * 1000))
    end
  end
  if report.failure then
    return nil
  end
  local last = report.steps[#report.steps]
  steps.say(what, ("%s by %s in %.1f ms, %d bytes: %s"):format(report.server, report.transport, last.elapsed * 1000, last.bytes,
    answer_words(report)))
  return report
end

netlab.main(function()
  if not opt.name then
    print("usage: netlab probe dns NAME [--server ADDRESS] [--type T] [--upstream ADDRESS]")
    return 2
  end
  steps.begin()
  local server = opt.server
  if not server then
    local usual = netlab.dns.servers()
    if not usual[1] then
      return steps.stop("server", "/etc/resolv.conf names no server", "name one with --server")
    end
    server = usual[1]
  end
  local encrypted = server:find "^tls://" or server:find "^https://"
  local plain = ask(encrypted and "encrypted" or "udp", server, { retry_by_tcp = false })
  if not plain then
    return steps.stop("dns", server .. " does not answer",
      encrypted and "see whether the port is open and the certificate names the server"
        or "see whether port 53 is open there for this machine (a firewall, `clients` of the recipe)")
  end
  local cut, authentic, recursive = false, false, false
  for _, flag in ipairs(plain.flags) do
    cut = cut or flag == "tc"
    recursive = recursive or flag == "ra"
    authentic = authentic or flag == "ad"
  end
  local trouble
  if not encrypted and not server:find "^tcp://" then
    local by_tcp = ask("tcp", server, { tcp = true })
    if not by_tcp then
      trouble = "it answers by UDP and not by TCP: large answers get lost"
    elseif not cut and (by_tcp.rcode ~= plain.rcode or data_of(by_tcp) ~= data_of(plain)) then
      steps.say("note", "UDP and TCP answer differently: the answers rotate, or somebody in between answers for it")
    end
  end
  local old = ask("no edns", server, { edns = false })
  if old and old.rcode ~= plain.rcode then
    steps.say("note", "without EDNS it answers " .. old.rcode)
  end
  local signed = ask("dnssec", server, { dnssec = true })
  if signed then
    for _, flag in ipairs(signed.flags) do
      authentic = authentic or flag == "ad"
    end
  end
  print(("edns       %s"):format(plain.edns and ("yes, %d bytes by UDP"):format(plain.edns.udp_size) or "no"))
  print(("ad         %s"):format(authentic and "yes: it vouches for the answer with DNSSEC" or "no: the zone is not signed, or it does not validate"))
  print(("recursion  %s"):format(recursive and "yes" or "no: it answers only for zones of its own"))
  if opt.upstream then
    local other = ask("upstream", opt.upstream)
    if not other then
      print(("compared   %s does not answer"):format(opt.upstream))
    elseif other.rcode == plain.rcode and data_of(other) == data_of(plain) then
      print(("compared   %s says the same"):format(opt.upstream))
    else
      print(("compared   %s says %s"):format(opt.upstream, answer_words(other)))
      print("           netlab dns why NAME, on the machine that runs netlab, tells why")
    end
  end
  if trouble then
    return steps.stop("tcp", trouble)
  end
  print(("answer     %s"):format(answer_words(plain)))
  return (plain.rcode == "NOERROR" or plain.rcode == "NXDOMAIN") and 0 or 1
end)
