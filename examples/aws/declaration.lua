-- The lab of these recipes: one declaration that lab.lua raises, talos-launch.lua fills and teardown.lua removes.
-- Change it here, or take a copy.
local netlab = require "netlab"

local declaration = {}

-- When the bastion runs.
declaration.schedule = { start = "18:00", stop = "23:00", time_zone = "Europe/Dublin" }

-- How many t4g instances may run at the same time.
declaration.at_once = 4

-- Options that every recipe has.
function declaration.options(more)
  local out = {
    { name = "lab", type = "string", default = "third-death-star", help = "the lab's name, in the tag netlab:lab" },
    { name = "profile", type = "string", help = "a profile of ~/.aws; by default AWS_PROFILE" },
    { name = "mfa-code", type = "string", help = "for a profile with role_arn and mfa_serial" },
    { name = "region", type = "string", default = "eu-west-1", help = "where the lab is" },
    { name = "account", type = "string", help = "the account that it belongs into; another one is refused" },
    { name = "prices", type = "path", default = "prices.json", help = "refreshed prices, if the file is there" },
    { name = "pace", type = "duration", default = "5s", help = "the longest pause between two looks" },
    { name = "backoff", type = "duration", default = "100ms", help = "the first pause before a request is repeated" },
    { name = "visibility", type = "duration", default = "30s", help = "how long what was made may take to show" },
    { name = "budget", type = "number", default = 0.10, help = "dollars a month" },
  }
  for _, option in ipairs(more or {}) do
    out[#out + 1] = option
  end
  return out
end

-- Options of recipes that make or delete something.
function declaration.acting(more)
  local out = {
    { name = "dry-run", type = "boolean", default = false, help = "say what would be done, and change nothing" },
    { name = "yes", type = "boolean", default = false, help = "do it" },
  }
  for _, option in ipairs(more) do
    out[#out + 1] = option
  end
  return declaration.options(out)
end

-- Whether such a recipe only tells; `code` is what it would end with.
function declaration.only_tells(opt, code)
  if opt.yes and not opt["dry-run"] then
    return false
  end
  if code ~= 0 and not opt["dry-run"] then
    print "nothing was changed: --yes does it"
  end
  return true
end

-- One for everything that a recipe asks: a role is taken once, and an MFA code is good for one time only.
local aws
function declaration.client(opt)
  aws = aws or netlab.aws.client { region = opt.region, profile = opt.profile, mfa_code = opt["mfa-code"], backoff = opt.backoff }
  return aws
end

function declaration.lab(opt, more)
  more = more or {}
  local bastion = "10.20.13.140"
  local inward = { { group = "talos-nodes-sg" } }
  if more.ssh then
    inward[2] = { cidr = more.ssh, port = 22 }
  end
  return netlab.plugin("awslab").lab {
    name = opt.lab, aws = declaration.client(opt), region = opt.region, zone = "a", account = opt.account,
    cidr = "10.20.0.0/16", ipv6 = true,
    subnets = {
      public = { cidr = "10.20.1.0/24", public = true, ipv6 = true },
      private = { cidr = "10.20.13.0/24" },
    },
    -- The bastion is the way out: a NAT gateway costs $38.69 a month.
    nat = more.nat or "instance",
    dns = bastion, domain = "lab.internal",
    groups = {
      ["bastion-sg"] = {
        description = "SSH from home, everything from the nodes",
        ingress = inward,
        egress = { { cidr = "0.0.0.0/0" }, { cidr = "::/0" } },
      },
      ["talos-nodes-sg"] = {
        description = "nodes reach the bastion and each other, HTTPS goes out",
        ingress = { { group = "bastion-sg" }, { group = "talos-nodes-sg" } },
        egress = { { group = "bastion-sg" }, { group = "talos-nodes-sg" }, { cidr = "0.0.0.0/0", port = 443 }, { cidr = "169.254.169.123/32", protocol = "udp", port = 123 } },
      },
    },
    bastion = {
      name = "tf-bastion", group = "tf-asg", type = more.bastion_type or "t4g.small", address = bastion, groups = { "bastion-sg" }, disk = more.disk or "4GiB",
      key = more.key, recipe = more.recipe, package = more.package,
      schedule = declaration.schedule,
    },
    nodes = {
      name = "talos-node", type = more.node_type or "t4g.small", image = more.image, groups = { "talos-nodes-sg" },
      first_address = "10.20.13.11", disk = "10GiB", runs = more.runs or { "talos-worker" },
    },
    bucket = more.bucket,
    budget = opt.budget, prices = opt.prices, pace = opt.pace, visibility = opt.visibility,
    lease = 120,
  }
end

-- One line for each thing that a run has done.
local past = { create = "created", change = "changed", replace = "replaced", delete = "deleted" }
function declaration.tell(step, seconds)
  print(("  %s %s (%.1f s)"):format(past[step.action], step.resource.key, seconds))
end

---Hours from one time of AWS or netlab.time() to another, "2026-11-21T18:00:00Z".
function declaration.hours_between(from, to)
  local prices = require "awslab.prices"
  local function seconds(text)
    local h, m, s = text:match "T(%d+):(%d+):(%d+)"
    return prices.days(text) * 86400 + (h or 0) * 3600 + (m or 0) * 60 + (s or 0)
  end
  return math.max(0, seconds(to) - seconds(from)) / 3600
end

-- Columns that are as wide as their widest entry; the last one is as long as it is.
local function columns(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i = 1, #row - 1 do
      widths[i] = math.max(widths[i] or 0, #row[i])
    end
  end
  for _, row in ipairs(rows) do
    local line = " "
    for i, text in ipairs(row) do
      line = line .. " " .. text .. (i < #row and (" "):rep(widths[i] - #text) or "")
    end
    print((line:gsub("%s+$", "")))
  end
end

-- One line for each thing of an inventory: where, what, its name, and what it costs if it stays.
function declaration.show(items)
  local rows = {}
  for i, item in ipairs(items) do
    local price = item.monthly > 0 and ("$%.4f/h, $%.2f a month%s"):format(item.hourly, item.monthly, item.note and " (" .. item.note .. ")" or "") or item.note or "costs nothing"
    rows[i] = { item.region, (item.kind:gsub("_", " ")), item.id, item.name or "", price }
  end
  columns(rows)
end

---What is to be said after a sum when some of it has no price here.
function declaration.unpriced(items)
  local count = 0
  for _, item in ipairs(items) do
    if item.unpriced then count = count + 1 end
  end
  return count > 0 and (", and what %d of them cost%s only the bill tells"):format(count, count == 1 and "s" or "") or ""
end

-- What the credentials may not look at; returns whether there is any.
function declaration.show_unseen(unseen)
  for _, missing in ipairs(unseen) do
    print(("  not looked at: %s, %s: %s"):format(missing.region, (missing.what:gsub("_", " ")), missing.why))
  end
  return #unseen > 0
end

-- Prints what a run did and turns it into an exit code: 0 nothing to do, 2 something was done, 1 it failed.
function declaration.finish(out, err, what)
  if not out then
    print(("%s: %s"):format(what, err.message))
    return 1
  end
  for _, f in ipairs(out.failed or {}) do
    print(("  failed: %s: %s"):format(f.key, f.message))
  end
  return out.code
end

return declaration
