-- A matchbox folder behind boot.service: the documented rules, asked over HTTP one by one.
local netlab = require "netlab"
local test = require "netlab.test"

netlab.plugin "matchbox"

local recipe = [[
  local matchbox = netlab.plugin "matchbox"
  local folder = matchbox.folder { path = "matchbox" }
  local boot = netlab.boot.service { sources = { folder } }
  netlab.http.server { listen = "127.0.0.1:0", serve = { boot } }
]]

local function place(folder, files)
  for name, content in pairs(files) do
    local path = netlab.fs.join(folder, name)
    netlab.fs.mkdir((path:gsub("/[^/]*$", "")))
    test.truthy(netlab.fs.write(path, type(content) == "table" and netlab.json.encode(content) or content))
  end
end

local function group(profile, selector, metadata)
  return { id = "g-" .. profile, name = profile, profile = profile, selector = selector, metadata = metadata }
end

local function profile(id, more)
  local out = { id = id, name = id, boot = { kernel = "/assets/" .. id .. "/vmlinuz", initrd = { "/assets/" .. id .. "/initrd.gz" }, args = { "profile=" .. id } } }
  for key, value in pairs(more or {}) do
    out[key] = value
  end
  return out
end

local function raised(running, path)
  local got, err = netlab.http.get("http://" .. running:endpoint "http.server" .. path)
  return test.truthy(got, err and err.message)
end

-- Which profile a request gets, by its iPXE script; a number is a status.
local function which(running, query)
  local got = raised(running, "/ipxe" .. query)
  return got.status == 200 and got.body:match "profile=(%S+)" or got.status
end

test.case("the group that wins", { deadline = "60s" }, function()
  local folder = test.folder()
  local files = {
    ["groups/default.json"] = group "default",
    ["groups/by-mac.json"] = group("mac", { mac = "52-54-00-A1-9C-AE" }),
    ["groups/by-uuid.json"] = group("uuid", { uuid = "0f8c1c52" }),
    ["groups/by-serial.json"] = group("serial", { serial = "s1" }),
    ["groups/zone-a.json"] = group("zone-a", { zone = "a" }),
    ["groups/zone-b.json"] = group("zone-b", { rack = "b" }),
    ["groups/two.json"] = group("two", { mac = "52:54:00:a1:9c:ae", os = "installed" }),
    ["groups/three.json"] = group("three", { mac = "52:54:00:a1:9c:ae", os = "installed", zone = "a" }),
    ["groups/not-installed.json"] = group("fresh", { region = "eu", os = "" }),
    ["groups/case.json"] = group("case", { Region = "EU" }),
    ["groups/dots.json"] = group("dots", { MAC = "0202.0304.0506" }),
    ["groups/infiniband.json"] = group("infiniband", { mac = "02:00:5e:10:00:00:00:01" }),
    ["groups/orphan.json"] = group("no-such-profile", { orphan = "yes" }),
    ["groups/nested/deep.json"] = group("zone-a", { deep = "yes" }),
    ["groups/no-boot.json"] = group("no-boot", { boot = "none" }),
    ["groups/file-name.json"] = group("file-name", { named = "yes" }),
    ["groups/up.json"] = group("../profiles/zone-a", { path = "up" }),
    ["groups/out.json"] = group("../../outside", { path = "out" }),
    ["profiles/no-boot.json"] = { id = "no-boot" },
    ["profiles/file-name.json"] = profile "another-id",
    ["profiles/no-id.json"] = { boot = { kernel = "k" } },
    ["groups/no-id.json"] = group("no-id", { profile = "no-id" }),
    ["groups/plain.json"] = '{"PROFILE": "default", "Selector": {"Plain": "yes"}, "unknown": [1]}',
    ["groups/null.json"] = '{"profile": "zone-b", "selector": {"nulled": null, "null": "1"}, "metadata": null, "id": null}',
    ["groups/other.conf"] = "this is no JSON",
    ["groups/other.json"] = group("zone-b", { other = "yes" }),
  }
  for _, id in ipairs { "default", "mac", "uuid", "serial", "zone-a", "zone-b", "two", "three", "fresh", "case", "dots", "infiniband" } do
    files["profiles/" .. id .. ".json"] = profile(id)
  end
  place(folder .. "/matchbox", files)
  netlab.fs.write(folder .. "/outside.json", netlab.json.encode(profile "outside"))
  local running = test.run(recipe, { folder = folder })
  local mac = "52:54:00:a1:9c:ae"
  for _, case in ipairs {
    -- No selector is the default group.
    { "", "default" },
    { "?mac=02:00:00:00:00:01", "default" },
    { "?unknown=1", "default" },
    -- A MAC address is normalised on both sides; what is none is no label.
    { "?mac=" .. mac, "mac" },
    { "?mac=52-54-00-a1-9c-ae", "mac" },
    { "?mac=52-54-00-A1-9C-AE", "mac" },
    { "?mac=5254.00a1.9cae", "mac" },
    { "?mac=52%3A54%3A00%3Aa1%3A9c%3Aae", "mac" },
    { "?mac=525400a19cae", "default" },
    { "?mac=52:54-00:a1:9c:ae", "default" },
    { "?mac=52:54:00:a1:9c", "default" },
    { "?mac=", "default" },
    { "?MAC=02-02-03-04-05-06", "dots" },
    { "?mac=02-02-03-04-05-06", "default" }, -- the label is called MAC in that group
    { "?mac=02-00-5e-10-00-00-00-01", "infiniband" },
    -- Most selectors win, whatever they are.
    { "?mac=" .. mac .. "&os=installed", "two" },
    { "?mac=" .. mac .. "&os=installed&zone=a", "three" },
    { "?mac=" .. mac .. "&os=other&zone=b", "mac" },
    { "?mac=" .. mac .. "&zone=a", "zone-a" },
    -- Among as many, the last in the order of "key=value".
    { "?mac=" .. mac .. "&uuid=0f8c1c52", "uuid" },
    { "?mac=" .. mac .. "&serial=s1", "serial" },
    { "?uuid=0f8c1c52&serial=s1", "uuid" },
    { "?zone=a&rack=b", "zone-a" },
    { "?uuid=0f8c1c52&zone=a", "zone-a" },
    -- An empty value fits where there is no label, and an empty one.
    { "?region=eu", "fresh" },
    { "?region=eu&os=", "fresh" },
    { "?region=eu&os=installed", "default" },
    -- Keys and values are exact.
    { "?Region=EU", "case" },
    { "?Region=eu", "default" },
    { "?region=EU", "default" },
    { "?uuid=0F8C1C52", "default" },
    -- The first value of a label counts; + and %20 are blanks.
    { "?zone=a&zone=c", "zone-a" },
    { "?zone=c&zone=a", "default" },
    -- The winner's profile is missing: nobody else is asked.
    { "?orphan=yes", 404 },
    { "?orphan=yes&unknown=1", 404 },
    -- Folders in groups are not looked into.
    { "?deep=yes", "default" },
    -- A profile needs an id; it is found by its file's name, and never outside the folder.
    { "?profile=no-id", 404 },
    { "?named=yes", "another-id" },
    { "?path=up", "zone-a" },
    { "?path=out", 404 },
    { "?boot=none", 404 },
    -- Field names in any case, unknown fields, nulls.
    { "?Plain=yes", "default" },
    { "?null=1", "zone-b" },
    { "?null=1&nulled=x", "default" },
    -- A file of another extension stands for its .json.
    { "?other=yes", "zone-b" },
  } do
    test.equal(which(running, case[1]), case[2], case[1])
  end
  local log = running:log()
  test.contains(log, 'groups/orphan.json names the profile "no-such-profile": there is no file')
  test.contains(log, 'profiles/no-id.json: "id" is missing')
  test.contains(log, 'profiles/no-boot.json has no "boot"')
  test.contains(log, "NL-BOOT-040")
  test.equal(running:stop().exit_code, 0)
end)

local documents = {
  ["groups/node1.json"] = group("etcd", { mac = "52:54:00:89:d8:10", OS = "installed" }, {
    etcd_name = "node1", num = 3, big = 1000000, yes = true, no = false, list = { 1, 2 }, null = netlab.null, lower = "UP",
    nested = { deep = { value = "x" }, empty = {} }, request = { query = { foo = "overwritten" } }, os = "shadowed", mac = "shadowed",
  }),
  ["profiles/etcd.json"] = { id = "etcd", generic_id = "setup.cfg", cloud_id = "cloud.yaml", ignition_id = "worker.ign", boot = {
    kernel = "http://example.org/vmlinuz", initrd = { "/assets/a.gz", "--name b /assets/b.gz" }, args = { "coreos.config.url=http://x/ignition?uuid=${uuid}&mac=${mac:hexhyp}", "quiet" } } },
  ["generic/setup.cfg"] = "# {{.mac}} {{.os}} {{.etcd_name}}\n{{.request.query.mac}} {{.request.query.foo}} {{.request.raw_query}}\n{{.num}} {{.big}}\n",
  ["cloud/cloud.yaml"] = "#cloud-config\nhostname: {{.etcd_name}}\n",
  ["ignition/worker.ign"] = '{"ignition": {"version": "3.4.0"}, "name": "{{.untouched}}"}\n',
}
local node1 = "mac=52-54-00-89-d8-10&OS=installed"

for name, case in pairs {
  html = { id = "page.html", text = "<!DOCTYPE html><p>{{.mac}}</p>" },
  subfolder = { id = "a/b/deep.txt", text = "deep" },
  out = { id = "../../outside.txt" },
  missing = { id = "missing.txt" },
  broken = { id = "broken.txt", text = "one\ntwo {{.missing}}\n" },
  syntax = { id = "syntax.txt", text = "one\n\n{{if .x}}\n" },
  none = {},
} do
  documents["groups/" .. name .. ".json"] = group("generic-" .. name, { case = name })
  documents["profiles/generic-" .. name .. ".json"] = { id = "generic-" .. name, generic_id = case.id }
  if case.text then
    documents["generic/" .. case.id] = case.text
  end
end
documents["generic/page.html"] = "<!DOCTYPE html><p>{{.case}}</p>"
for name, case in pairs {
  script = { cloud = "#!/bin/sh\necho {{.case}}\n" },
  neither = { cloud = "hostname: x\n" },
  yaml = { cloud = "#cloud-config\na: [\n" },
  rendered = { ignition = '{"ignition": {"version": "3.3.0"}, "case": "{{.case}}"}', id = "rendered.json" },
  butane = { ignition = "variant: fcos\nversion: 1.5.0\nstorage: {}\n", id = "worker.yaml" },
  garbage = { ignition = '{"ignition": ', id = "garbage.ign" },
  other = { ignition = '{"other": 1}', id = "other.ignition" },
} do
  documents["groups/" .. name .. ".json"] = group(name, { case = name })
  documents["profiles/" .. name .. ".json"] = { id = name, cloud_id = case.cloud and name, ignition_id = case.id }
  documents["cloud/" .. name] = case.cloud
  if case.id then
    documents["ignition/" .. case.id] = case.ignition
  end
end

test.case("what each address answers", { deadline = "60s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", documents)
  place(folder .. "/matchbox", { ["assets/dir/file.bin"] = "0123456789", ["assets/kernel.efi"] = "MZ", ["assets/page/index.html"] = "<p>page" })
  netlab.fs.write(folder .. "/outside.txt", "outside")
  local running = test.run(recipe, { folder = folder })
  local text = "text/plain; charset=utf-8"
  for _, case in ipairs {
    { "/", 200, "matchbox\n", text },
    { "/nowhere", 404 },
    { "/config?" .. node1, 404 },
    { "/ipxe/", 404 },
    { "/boot.ipxe", 200, "#!ipxe\nchain ipxe?uuid=${uuid}&mac=${mac:hexhyp}&domain=${domain}&hostname=${hostname}&serial=${serial}&arch=${buildarch:uristring}\n", text },
    { "/ipxe?" .. node1, 200, "#!ipxe\nkernel http://example.org/vmlinuz coreos.config.url=http://x/ignition?uuid=${uuid}&mac=${mac:hexhyp} quiet\ninitrd /assets/a.gz\ninitrd --name b /assets/b.gz\nboot\n", text },
    { "/grub?" .. node1, 200, 'default=0\nfallback=1\ntimeout=1\nmenuentry "CoreOS (EFI)" {\necho "Loading kernel"\nlinuxefi "http://example.org/vmlinuz" coreos.config.url=http://x/ignition?uuid=${uuid}&mac=${mac:hexhyp} quiet\necho "Loading initrd"\ninitrdefi  "/assets/a.gz" "--name b /assets/b.gz"\n}\nmenuentry "CoreOS (BIOS)" {\necho "Loading kernel"\nlinux "http://example.org/vmlinuz" coreos.config.url=http://x/ignition?uuid=${uuid}&mac=${mac:hexhyp} quiet\necho "Loading initrd"\ninitrd  "/assets/a.gz" "--name b /assets/b.gz"\n}\n', text },
    { "/generic?" .. node1 .. "&foo=some-param", 200, "# 52:54:00:89:d8:10 installed node1\n52:54:00:89:d8:10 some-param " .. node1 .. "&foo=some-param\n3 1e+06\n", text },
    { "/cloud?" .. node1, 200, "#cloud-config\nhostname: node1\n", text },
    { "/ignition?" .. node1, 200, documents["ignition/worker.ign"], "application/json" },
    { "/metadata?" .. node1 .. "&foo=b+c", 200, "BIG=1e+06\nETCD_NAME=node1\nLOWER=UP\nMAC=52:54:00:89:d8:10\nNESTED_DEEP_VALUE=x\nNO=false\nNUM=3\nOS=installed\nREQUEST_QUERY_OS=installed\nREQUEST_QUERY_FOO=b c\nREQUEST_QUERY_MAC=52:54:00:89:d8:10\nREQUEST_RAW_QUERY=" .. node1 .. "&foo=b+c\nYES=true\n", "plain/text" },
    -- A value that a template needs and a request does not bring.
    { "/generic?" .. node1, 404 },
    -- Nobody fits.
    { "/ipxe", 404 },
    { "/grub", 404 },
    { "/generic", 404 },
    { "/cloud", 404 },
    { "/ignition", 404 },
    { "/metadata", 404 },
    { "/metadata?mac=nonsense", 404 },
    -- Templates.
    { "/generic?case=html", 200, "<!DOCTYPE html><p>html</p>", "text/html; charset=utf-8" },
    { "/generic?case=subfolder", 200, "deep", text },
    { "/generic?case=out", 404 },
    { "/generic?case=missing", 404 },
    { "/generic?case=none", 404 },
    { "/cloud?case=script", 200, "#!/bin/sh\necho script\n", text },
    { "/cloud?case=neither", 404 },
    { "/cloud?case=yaml", 404 },
    { "/ignition?case=rendered", 200, '{"ignition": {"version": "3.3.0"}, "case": "rendered"}', "application/json" },
    { "/ignition?case=butane", 404 },
    { "/ignition?case=garbage", 404 },
    { "/ignition?case=other", 404 },
    { "/ipxe?case=html", 404 },
    -- Assets.
    { "/assets/dir/file.bin", 200, "0123456789", "application/octet-stream" },
    { "/assets/kernel.efi", 200, "MZ", "application/efi" },
    { "/assets/dir/", 200, '<!doctype html>\n<pre>\n<a href="/assets/dir/file.bin">file.bin</a>\n</pre>\n', "text/html; charset=utf-8" },
    { "/assets/page/", 200, "<p>page", "text/html; charset=utf-8" },
    { "/assets/missing", 404 },
    { "/assets/../groups/node1.json", 400 },
    { "/assets/%2e%2e/groups/node1.json", 400 },
  } do
    local got = raised(running, case[1])
    if case[2] >= 400 then
      test.truthy(got.status >= 400 and got.status <= 404, case[1] .. ": " .. got.status)
    else
      test.equal({ got.status, got.body, got.headers["content-type"] }, { case[2], case[3], case[4] }, case[1])
    end
  end
  local part = netlab.http.get("http://" .. running:endpoint "http.server" .. "/assets/dir/file.bin", { headers = { Range = "bytes=2-4" } })
  test.equal({ part.status, part.body }, { 206, "234" })
  part = netlab.http.get("http://" .. running:endpoint "http.server" .. "/cloud?" .. node1, { headers = { Range = "bytes=0-5" } })
  test.equal({ part.status, part.body }, { 206, "#cloud" })
  local log = running:log()
  test.contains(log, "ignition/worker.yaml is a Butane config (variant fcos, version 1.5.0), which netlab does not translate")
  test.contains(log, "ignition/other.ignition is no Ignition config")
  test.contains(log, "cloud/neither is neither a cloud-config (#cloud-config) nor a script (#!)")
  test.contains(log, "no source of the boot service has anything for")
  test.equal(running:stop().exit_code, 0)
end)

test.case("a template's error is 404 to the machine, and a line of its timeline", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", documents)
  local running = test.run(recipe, { folder = folder })
  for name, why in pairs { broken = "generic/broken.txt:2: no value for .missing", syntax = "generic/syntax.txt:3: {{if}} has no {{end}}" } do
    local got = raised(running, "/generic?case=" .. name .. "&mac=02:00:00:00:00:" .. (name == "broken" and "01" or "02"))
    test.equal(got.status, 404)
    test.falsy(got.body:find(".missing", 1, true), "what failed is the operator's business")
    test.contains(running:logged(why), "NL-BOOT-040")
  end
  local step = running:await(function()
    return running:step("02:00:00:00:00:01", "refused")
  end, "the timeline told of it")
  test.contains(step.detail, "generic/broken.txt:2: no value for .missing")
  test.equal(step.id, "NL-BOOT-040")
  test.equal(running:stop().exit_code, 0)
end)

test.case("broken files are named, the rest is served", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", {
    ["groups/default.json"] = group "linux",
    ["groups/truncated.json"] = '{"profile": "linux", "selector": {"a": "b"',
    ["groups/list.json"] = "[1, 2]",
    ["groups/empty.json"] = "",
    ["groups/mac.json"] = group("linux", { mac = "nonsense" }),
    ["groups/number.json"] = '{"profile": 5}',
    ["groups/selector.json"] = '{"profile": "linux", "selector": {"count": 5}}',
    ["groups/metadata.json"] = '{"profile": "linux", "metadata": ["a"]}',
    ["groups/bytes.json"] = "\255\254\0\1",
    ["groups/comma.json"] = '{"profile": "comma", "selector": {"comma": "a,]}\\"",}, "metadata": {"list": [1, 2, ], },}',
    ["profiles/linux.json"] = profile "linux",
    ["profiles/comma.json"] = '{"id": "comma", "boot": {"kernel": "k", "args": ["profile=comma",],},}',
    ["profiles/args.json"] = '{"id": "args", "boot": {"kernel": "k", "args": "no list"}}',
    ["groups/args.json"] = group("args", { args = "yes" }),
    ["profiles/half.json"] = '{"id": "half", "boot": {"kern',
    ["groups/half.json"] = group("half", { half = "yes" }),
  })
  local running = test.run(recipe, { folder = folder })
  test.equal(which(running, "?count=5"), "linux")
  test.equal(which(running, "?a=b"), "linux")
  test.equal(which(running, "?comma=a,%5D%7D%22"), "comma")
  test.equal(which(running, "?args=yes"), 404)
  test.equal(which(running, "?half=yes&mac=02:00:00:00:00:09"), 404)
  local log = running:log()
  for _, why in ipairs {
    "groups/truncated.json: ", "groups/list.json: it must hold a JSON object", "groups/empty.json: ", 'groups/mac.json: the selector "mac" is no MAC address: "nonsense"',
    'groups/number.json: "profile" must be a string, got number 5', 'groups/selector.json: "selector.count" must be a string, got number 5',
    'groups/metadata.json: "metadata" must be an object, got a list', "groups/bytes.json: ", "groups/comma.json: a comma before a closing bracket",
    "profiles/comma.json: a comma before a closing bracket", 'profiles/args.json: "args" must be a list of strings, got string no list', "profiles/half.json: ",
  } do
    test.contains(log, why)
  end
  local _, told = log:gsub("groups/list%.json", "")
  which(running, "")
  local _, again = running:log():gsub("groups/list%.json", "")
  test.equal(again, told, "a broken file is told once")
  test.equal(running:stop().exit_code, 0)
end)

test.case("files are read again when they change", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", { ["groups/default.json"] = group "one", ["profiles/one.json"] = profile "one", ["profiles/two.json"] = profile "two", ["generic/a"] = "first", ["profiles/gen.json"] = { id = "gen", generic_id = "a" } })
  local running = test.run(recipe, { folder = folder })
  test.equal(which(running, ""), "one")
  place(folder .. "/matchbox", { ["groups/default.json"] = group "two" })
  test.equal(which(running, ""), "two") -- the same size, within the same second
  place(folder .. "/matchbox", { ["groups/new.json"] = group("one", { x = "1" }) })
  test.equal(which(running, "?x=1"), "one")
  netlab.fs.remove(folder .. "/matchbox/groups/new.json")
  test.equal(which(running, "?x=1"), "two")
  netlab.fs.remove(folder .. "/matchbox/groups/default.json")
  test.equal(which(running, ""), 404)
  place(folder .. "/matchbox", { ["groups/default.json"] = group "gen" })
  for _, text in ipairs { "first", "other", "third" } do
    netlab.fs.write(folder .. "/matchbox/generic/a", text)
    test.equal(raised(running, "/generic").body, text)
  end
  test.equal(running:stop().exit_code, 0)
end)

test.case("the recipe's own profiles come after the sources", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", { ["groups/one.json"] = group("one", { mac = "02:00:00:00:00:01" }), ["profiles/one.json"] = profile "one", ["assets/one/vmlinuz"] = "kernel of one" })
  place(folder .. "/state/assets", { own = "own kernel" })
  local running = test.run([[
    local folder = netlab.plugin("matchbox").folder { path = "matchbox" }
    local boot = netlab.boot.service {
      sources = { folder },
      profiles = { own = { kernel = "own", args = { "profile=own" } } },
      groups = { { profile = "own" } },
    }
    netlab.http.server { listen = "127.0.0.1:0", serve = {
      boot, netlab.http.route("/once", function() return tostring(boot:boot_once("n1", "own")) end),
      netlab.http.route("/select", function(r) local got, err = folder:select { mac = r.body } return got and got.profile or tostring(err) end),
    } }
    netlab.nodes { { name = "n1", mac = "02:00:00:00:00:01" } }
  ]], { folder = folder })
  test.equal(which(running, "?mac=02:00:00:00:00:01"), "one")
  test.equal(which(running, "?mac=02:00:00:00:00:02"), "own")
  test.equal(raised(running, "/assets/one/vmlinuz").body, "kernel of one")
  test.equal(raised(running, "/assets/own").body, "own kernel")
  local base = "http://" .. running:endpoint "http.server"
  test.equal(netlab.http.request({ url = base .. "/select", method = "POST", body = "02-00-00-00-00-01" }).body, "one")
  test.equal(netlab.http.request({ url = base .. "/select", method = "POST", body = "02-00-00-00-00-02" }).body, "nil")
  -- What an operator chose for one boot wins over every source.
  test.equal(raised(running, "/once").body, "true")
  test.equal(which(running, "?mac=02:00:00:00:00:01"), "own")
  test.equal(running:stop().exit_code, 0)
end)

test.case("options and what netlab check sees", { deadline = "30s" }, function()
  local folder = test.folder()
  place(folder .. "/matchbox", {
    ["groups/default.json"] = group "missing", ["groups/broken.json"] = "{", ["profiles/a.json"] = profile("a", { generic_id = "gone" }),
    ["profiles/b.json"] = profile("b", { generic_id = "bad" }), ["generic/bad"] = "{{.x",
  })
  local function check(text)
    local path = folder .. "/r.lua"
    return test.check('local netlab = require "netlab"\nlocal folder = netlab.plugin("matchbox").folder\n' .. text, {}, path).messages
  end
  local function at(line, text)
    return ("%s/r.lua:%d: %s"):format(folder, line, text)
  end
  test.equal(check 'netlab.boot.service { sources = { folder { path = "matchbox" } } }', {})
  test.equal(check 'folder {}\nfolder {\n  path = "nowhere",\n}\nfolder { path = "matchbox", name = "x", asset = "a" }\nnetlab.boot.service {\n  sources = { netlab.network { address = "10.0.0.1/24" } },\n}\nnetlab.boot.service {}', {
    at(3, 'matchbox.folder: option "path" is missing: a file name'),
    at(5, "matchbox.folder.path: there is no folder " .. folder .. "/nowhere"),
    at(7, 'matchbox.folder: unknown option "asset" (did you mean "assets"?)'),
    at(9, "boot.service.sources[1]: expected what netlab.boot.source returns, got network \"network\""),
    at(11, "boot.service: there is nothing to boot: give it profiles, sources or both"),
  })
  netlab.fs.write(folder .. "/r.lua", 'local netlab = require "netlab"\nnetlab.boot.service { sources = { netlab.plugin("matchbox").folder { path = "matchbox" } } }\n')
  local done = netlab.process.run { argv = { netlab.testing.program(), "check", folder .. "/r.lua" } }
  test.equal(done.exit_code, 0, done.errors)
  for _, note in ipairs { 'groups/default.json names the profile "missing": there is no file', "groups/broken.json: ", "profiles/a.json: there is no file", "generic/bad:1: an action {{ is not closed by }}" } do
    test.contains(done.errors, note)
  end
  test.contains(done.errors, folder .. "/r.lua:2: note: matchbox.folder")
end)
