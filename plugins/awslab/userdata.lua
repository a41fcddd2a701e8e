-- What machines are told at their first boot, and what the bastion's role may do.
local netlab = require "netlab"

local userdata = {}

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

---The bastion's script: forwarding and masquerade when it is the way out, the package from the lab's bucket by its
---checksum, the recipe as a service.
function userdata.bastion(o)
  local b = o.bastion
  local out = { "#!/bin/sh", "set -eu" }
  local function line(text, ...)
    out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
  end
  if o.nat == "instance" then
    line "echo net.ipv4.ip_forward=1 > /etc/sysctl.d/60-netlab.conf"
    line "sysctl -q -p /etc/sysctl.d/60-netlab.conf"
    line "way=$(ip -o -4 route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)"
    line "nft -f - <<RULES"
    line('table ip netlab_nat { chain post { type nat hook postrouting priority 100; ip saddr %s oifname "$way" masquerade; } }', o.cidr)
    line "RULES"
  end
  if o.bucket and o.bucket.package then
    -- The instance's own role reads the bucket. By IPv6 or the VPC's gateway endpoint: no public IPv4 address is needed.
    line "imds=http://169.254.169.254/latest"
    line "token=$(curl -fsS --retry 10 --retry-all-errors -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $imds/api/token)"
    line "meta() { curl -fsS --retry 10 --retry-all-errors -H \"X-aws-ec2-metadata-token: $token\" \"$imds/meta-data/iam/security-credentials/$1\"; }"
    line "keys=$(meta \"$(meta '')\")"
    line "word() { printf '%s\\n' \"$keys\" | tr ',' '\\n' | sed -n \"s/.*\\\"$1\\\"[^:]*:[^\\\"]*\\\"\\([^\\\"]*\\)\\\".*/\\1/p\"; }"
    line("curl -fsS --retry 10 --retry-all-errors --retry-delay 3 --aws-sigv4 %s --user \"$(word AccessKeyId):$(word SecretAccessKey)\" -H \"x-amz-security-token: $(word Token)\" -H 'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' -o /var/tmp/netlab.deb %s",
      quote("aws:amz:" .. o.region .. ":s3"), quote(("https://s3.dualstack.%s.amazonaws.com/%s/%s"):format(o.region, o.bucket.name, o.bucket.key)))
    line("echo %s | sha256sum -c -", quote(o.bucket.sha256 .. "  /var/tmp/netlab.deb"))
    line "apt-get install -y /var/tmp/netlab.deb"
  elseif b.package then
    line "fetch() { curl -fsS --retry 10 --retry-all-errors --retry-delay 3 -o \"$2\" \"$1\"; }"
    line("fetch %s /var/tmp/netlab.deb", quote(b.package.url))
    line("echo %s | sha256sum -c -", quote(b.package.sha256 .. "  /var/tmp/netlab.deb"))
    line "apt-get install -y /var/tmp/netlab.deb"
  end
  if b.recipe then
    line "mkdir -p /etc/netlab"
    line("base64 -d > /etc/netlab/recipe.lua <<'RECIPE'\n%s\nRECIPE", netlab.base64.encode(b.recipe))
    line "systemctl enable --now netlab"
  end
  for _, extra in ipairs(b.user_data and { b.user_data } or {}) do
    line(extra)
  end
  return table.concat(out, "\n") .. "\n"
end

---Only what the bastion does by itself: it ends nodes whose time is over, and reads the lab's bucket.
function userdata.policy(o)
  local statements = {
    { Effect = "Allow", Action = { "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeTags" }, Resource = "*" },
    { Effect = "Allow", Action = { "ec2:TerminateInstances" }, Resource = "*",
      Condition = { StringEquals = { ["aws:ResourceTag/netlab:lab"] = o.name } } },
  }
  if o.bucket then
    statements[#statements + 1] = { Effect = "Allow", Action = { "s3:GetObject", "s3:PutObject", "s3:ListBucket" },
      Resource = { "arn:aws:s3:::" .. o.bucket.name, "arn:aws:s3:::" .. o.bucket.name .. "/*" } }
  end
  return netlab.json.encode { Version = "2012-10-17", Statement = statements }
end

userdata.assume = function(service)
  return netlab.json.encode { Version = "2012-10-17", Statement = { { Effect = "Allow", Principal = { Service = service }, Action = "sts:AssumeRole" } } }
end

---An iPXE image reads its script from the user data.
function userdata.ipxe(bastion, name)
  return ("#!ipxe\nset hostname %s\nchain http://%s:8080/boot.ipxe || shell\n"):format(name, bastion)
end

return userdata
