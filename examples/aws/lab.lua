-- lab.lua: raises the lab's network and bastion in AWS, after saying what it costs.
--
--   netlab run examples/aws/lab.lua --dry-run
--   netlab run examples/aws/lab.lua --ssh 2001:db8::1/128 --yes
--
-- Exit codes: 0 nothing to do, 2 changes made (or, with --dry-run, to be made), 1 failed. What is there already is
-- found by its tags; started again after any interruption, it goes on.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.acting {
  { name = "nat", type = "string", default = "instance", help = "instance (the bastion), gateway ($38.69 a month) or none" },
  { name = "ssh", type = "cidr", help = "the network that may reach SSH, such as your home's IPv6 address/128" },
  { name = "key", type = "path", help = "an SSH public key's file" },
  { name = "image", type = "string", help = "the nodes' image" },
  { name = "recipe", type = "path", help = "the recipe that the bastion runs" },
  { name = "disk", type = "string", default = "4GiB", help = "the bastion's volume: what it has for its registry cache" },
  { name = "bucket", type = "string", help = "a bucket of the lab's own, by a name that nobody in the world has yet" },
  { name = "package", type = "path", help = "netlab's .deb (./lab package --arch arm64): goes into the bucket, the bastion installs it" },
  { name = "package-url", type = "url", help = "where the bastion fetches netlab's package" },
  { name = "package-sha256", type = "string", help = "the package's checksum" },
  { name = "replace", type = "boolean", default = false, help = "allow what cannot be changed where it is to be deleted and made again" },
  { name = "save", type = "path", help = "save the plan in this file" },
  { name = "plan", type = "path", help = "do what this saved plan says, and nothing else" },
})

if opt.package and not opt.bucket then
  error("--package needs --bucket: that is where the bastion fetches it", 0)
elseif opt.ssh and opt.ssh:find "/0$" then
  error(("--ssh %s is the whole internet: give your own network, such as 2001:db8::1/128"):format(opt.ssh), 0)
end

local function content(path)
  return path and assert(netlab.fs.read(path)):gsub("%s+$", "") or nil
end

local lab = declaration.lab(opt, {
  nat = opt.nat, ssh = opt.ssh, key = content(opt.key), image = opt.image, recipe = content(opt.recipe),
  disk = opt.disk, bucket = opt.bucket and { name = opt.bucket, package = opt.package },
  package = opt["package-url"] and { url = opt["package-url"], sha256 = opt["package-sha256"] or "" } or nil,
})

netlab.main(function()
  local plan, err = lab:plan()
  if not plan then
    return declaration.finish(nil, err, "plan")
  end
  print(plan:text())
  if not (opt.ssh and opt.key) then
    print(("nobody can log in to the bastion without %s"):format(opt.ssh and "--key" or opt.key and "--ssh" or "--ssh and --key"))
  end
  if opt.save then
    assert(plan:save(opt.save))
    print("saved: " .. opt.save)
  end
  if declaration.only_tells(opt, plan.code) then
    return plan.code
  end
  local out, why = lab:apply {
    plan = opt.plan, replace = opt.replace, tell = declaration.tell,
  }
  local code = declaration.finish(out, why, "apply")
  if out and code ~= 1 then
    print(("the lab is as declared: %d made or changed in %.1f s"):format(#out.made, out.seconds))
    for _, key in ipairs { "bastion_ip", "bastion_ipv6" } do
      if out.outputs[key] then
        print(("  %s %s"):format(key, out.outputs[key]))
      end
    end
  end
  if out and code == 1 then
    print "what was made stays: run it again, and it goes on; teardown.lua --all --yes takes it back"
  end
  return code
end)
