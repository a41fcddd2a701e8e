-- audit.lua: nothing is public. Looks at groups, addresses, routes, metadata, volumes, buckets and keys, and writes a
-- dated report that can be filed.
--
--   netlab run examples/aws/audit.lua --report audit
--
-- Exit codes: 0 nothing found, 2 findings, 1 could not look at everything.
local netlab = require "netlab"
local declaration = require "declaration"

local opt = netlab.args(declaration.options {
  { name = "report", type = "path", help = "writes REPORT.md and REPORT.json" },
  { name = "all-regions", type = "boolean", default = false, help = "look at every enabled region" },
  { name = "allow-ssh", type = "cidr", help = "the only network that may reach SSH: any other is a finding" },
  { name = "key-age", type = "integer", default = 90, help = "days that an access key may be old" },
})

local lab = declaration.lab(opt)
local aws = declaration.client(opt)
local prices = require "awslab.prices"

local findings, hidden = {}, {}
local function found(where, what, fix)
  findings[#findings + 1] = { where = where, what = what, fix = fix }
end

local open = { ["0.0.0.0/0"] = true, ["::/0"] = true }

-- The command that takes one rule away.
local function revoking(id, p, range)
  local words = { "IpProtocol=" .. p.ip_protocol }
  if p.from_port then
    words[2] = ("FromPort=%s,ToPort=%s"):format(p.from_port, p.to_port)
  end
  words[#words + 1] = range.cidr_ip and ("IpRanges=[{CidrIp=%s}]"):format(range.cidr_ip) or ("Ipv6Ranges=[{CidrIpv6=%s}]"):format(range.cidr_ipv6)
  return ("aws ec2 revoke-security-group-ingress --group-id %s --ip-permissions '%s'"):format(id, table.concat(words, ","))
end

local function groups(items)
  for _, item in ipairs(items) do
    if item.kind == "security_group" then
      for _, p in ipairs(item.raw.ip_permissions) do
        local ports = not p.from_port and "all ports" or p.from_port == p.to_port and "port " .. p.from_port or ("ports %s-%s"):format(p.from_port, p.to_port)
        for _, list in ipairs { p.ip_ranges, p.ipv6_ranges } do
          for _, range in ipairs(list) do
            local cidr = range.cidr_ip or range.cidr_ipv6
            local ssh = opt["allow-ssh"] and cidr ~= opt["allow-ssh"] and (not p.from_port or p.from_port <= 22 and 22 <= p.to_port)
            if ssh and not open[cidr] then
              found(item.id, ("security group %s lets SSH in from %s"):format(item.raw.group_name, cidr), ("only %s may: %s"):format(opt["allow-ssh"], revoking(item.id, p, range)))
            elseif open[cidr] then
              found(item.id, ("security group %s lets %s in from %s"):format(item.raw.group_name, ports, cidr), "give it your own network, or revoke it: " .. revoking(item.id, p, range))
            end
          end
        end
      end
    end
  end
end

local function machines(items)
  local public_subnets = {}
  for _, item in ipairs(items) do
    if item.kind == "route_table" then
      local out = false
      for _, route in ipairs(item.raw.routes) do
        out = out or (route.gateway_id or ""):find "^igw" ~= nil
      end
      for _, a in ipairs(item.raw.associations) do
        if a.subnet_id then public_subnets[a.subnet_id] = out end
      end
    end
  end
  for _, item in ipairs(items) do
    local raw = item.raw
    if item.kind == "instance" then
      if raw.public_ip_address and not (item.name or ""):find "bastion" then
        found(item.id, ("%s has the public address %s"):format(item.name or "an instance", raw.public_ip_address), "nodes reach out by the bastion: end it and launch it in the private subnet")
      end
      if not raw.metadata_options or raw.metadata_options.http_tokens ~= "required" then
        found(item.id, ("%s answers metadata without a token (IMDSv1)"):format(item.name or "an instance"), ("aws ec2 modify-instance-metadata-options --instance-id %s --http-tokens required"):format(item.id))
      end
    elseif (item.kind == "load_balancer" or item.kind == "classic_load_balancer") and raw.scheme == "internet-facing" then
      found(item.id, ("load balancer %s faces the internet"):format(item.id), "delete it, or make it with the scheme internal")
    elseif item.kind == "image" and raw.public then
      found(item.id, ("anybody may start the image %s, and read what is on it"):format(item.name or item.id), ("aws ec2 modify-image-attribute --image-id %s --launch-permission Remove=[{Group=all}]"):format(item.id))
    elseif item.kind == "volume" and not raw.encrypted then
      found(item.id, ("volume %s is not encrypted"):format(item.id), "copy it encrypted, and switch on encryption by default: aws ec2 enable-ebs-encryption-by-default")
    elseif item.kind == "subnet" and item.name and item.name:find "private" and public_subnets[item.id] then
      found(item.id, ("the private subnet %s has a route to an internet gateway"):format(item.name), "its default route leads to the NAT: netlab run lab.lua --yes puts it back")
    elseif item.kind == "subnet" and raw.map_public_ip_on_launch then
      found(item.id, ("subnet %s gives public addresses at launch"):format(item.name or item.id), "aws ec2 modify-subnet-attribute --no-map-public-ip-on-launch")
    end
  end
end

-- What lets the public into one bucket; nil, err when it may not be looked at.
local function of_bucket(item)
  local there = { region = item.region }
  local status, refused = aws.s3:get_bucket_policy_status({ bucket = item.id }, there)
  if not status and refused.code ~= "not_found" then
    return nil, refused
  elseif status and tostring((status.policy_status or {}).is_public):lower() == "true" then
    found(item.id, "the bucket's policy is public", "delete the statement with Principal \"*\"")
  end
  local block, why = aws.s3:get_public_access_block({ bucket = item.id }, there)
  if not block and why.code ~= "not_found" then
    return nil, why
  end
  local settings = block and block.public_access_block_configuration or {}
  for _, key in ipairs { "block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets" } do
    if tostring(settings[key]) ~= "true" then
      found(item.id, "the bucket does not block public access (" .. key .. ")", ("aws s3api put-public-access-block --bucket %s …"):format(item.id))
      break
    end
  end
  return true
end

local function buckets(items)
  for _, item in ipairs(items) do
    if item.kind == "bucket" then
      local ok, why = of_bucket(item)
      if not ok then
        return nil, why
      end
    end
  end
  return true
end

local function keys()
  local users, err = aws.iam:list_users {}
  if not users then
    return nil, err
  end
  local today = prices.days(netlab.time())
  for _, user in ipairs(users.users) do
    local list, why = aws.iam:list_access_keys { user_name = user.user_name }
    if not list then
      return nil, why
    end
    for _, key in ipairs(list.access_key_metadata) do
      local age = today - prices.days(key.create_date)
      if key.status == "Active" and age > opt["key-age"] then
        found(user.user_name, ("an access key of %s is %d days old"):format(user.user_name, age), "make a new one, and delete it: aws iam delete-access-key")
      end
    end
  end
  return true
end

netlab.main(function()
  local who, unknown = aws.sts:get_caller_identity()
  if not who then
    return declaration.finish(nil, unknown, "account")
  end
  local inventory, err = lab:inventory { all_regions = opt["all-regions"] }
  if not inventory then
    return declaration.finish(nil, err, "inventory")
  end
  groups(inventory.items)
  machines(inventory.items)
  for name, look in pairs { buckets = buckets, ["access keys"] = keys } do
    local ok, why = look(inventory.items)
    if not ok then
      hidden[#hidden + 1] = { where = name, why = why.message }
    end
  end
  for _, missing in ipairs(inventory.unseen) do
    hidden[#hidden + 1] = { where = missing.region .. ", " .. missing.what:gsub("_", " "), why = missing.why }
  end
  table.sort(hidden, function(a, b) return a.where .. a.why < b.where .. b.why end)
  table.sort(findings, function(a, b) return a.where .. a.what < b.where .. b.what end)
  local regions = {}
  for name in pairs(inventory.regions) do
    regions[#regions + 1] = name
  end
  table.sort(regions)
  local date = netlab.time()
  local lines = { "# Audit of lab " .. opt.lab, "", ("%s, account %s, %d resources in %s, seen by %s."):format(date, who.account, #inventory.items, table.concat(regions, ", "), who.arn), "" }
  if #findings == 0 and #hidden == 0 then
    lines[#lines + 1] = "Nothing is public: no group lets the internet in, nodes have no public address, private subnets lead to no internet gateway, metadata needs tokens, volumes are encrypted, buckets block public access, no access key is older than " .. opt["key-age"] .. " days."
  end
  for _, f in ipairs(findings) do
    lines[#lines + 1] = ("- **%s**: %s. Fix: %s"):format(f.where, f.what, f.fix)
  end
  for _, h in ipairs(hidden) do
    lines[#lines + 1] = ("- **not looked at**: %s: %s. Give the profile the permission, and look again"):format(h.where, h.why)
  end
  local text = table.concat(lines, "\n") .. "\n"
  print(text)
  if opt.report then
    assert(netlab.fs.write(opt.report .. ".md", text))
    assert(netlab.fs.write(opt.report .. ".json", netlab.json.encode({ lab = opt.lab, date = date, account = who.account, seen_by = who.arn, regions = regions, resources = #inventory.items, findings = #findings > 0 and findings or nil, not_looked_at = #hidden > 0 and hidden or nil, clean = #findings + #hidden == 0 }, true)))
  end
  return #hidden > 0 and 1 or #findings > 0 and 2 or 0
end)
