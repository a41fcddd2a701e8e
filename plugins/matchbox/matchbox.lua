-- matchbox's HTTP surface over a matchbox folder, as a source of boot.service.
local netlab = require "netlab"
local store = require "matchbox.store"
local template = require "matchbox.template"
local values = require "matchbox.values"

local plain = "text/plain; charset=utf-8"

-- The query as labels: a MAC address in its normal spelling, and none at all when it cannot be read.
local function labels_of(query)
  local out = {}
  for key, value in pairs(query) do
    if key:lower() == "mac" then
      out[key] = store.normal_mac(value)
    else
      out[key] = value
    end
  end
  return out
end

-- What templates see: metadata, over it the selectors in lower case, over these the request.
local function variables_of(group, labels, raw_query)
  local out = {}
  for key, value in pairs(group.metadata) do
    out[key] = value
  end
  for key, value in pairs(group.selector) do
    out[key:lower()] = value
  end
  out.request = { query = values.text_map(labels), raw_query = raw_query }
  return out
end

-- The content type that Go guesses for a text without a name.
local markup = { "!DOCTYPE HTML", "HTML", "HEAD", "SCRIPT", "IFRAME", "H1", "DIV", "FONT", "TABLE", "A", "STYLE", "TITLE", "B", "BODY", "BR", "P", "!--" }
local function sniff(text)
  local begin = text:sub(1, 512)
  local bare = begin:gsub("^[\t\n\f\r ]+", "")
  if bare:find "^<%?xml" then
    return "text/xml; charset=utf-8"
  end
  local upper = bare:upper()
  for _, tag in ipairs(markup) do
    if upper:sub(1, #tag + 1) == "<" .. tag and (tag == "!--" or upper:find("^[ >]", #tag + 2)) then
      return "text/html; charset=utf-8"
    end
  end
  if begin:find "^%%PDF%-" then
    return "application/pdf"
  elseif begin:find "^\31\139\8" then
    return "application/x-gzip"
  elseif begin:find "^\254\255" then
    return "text/plain; charset=utf-16be"
  elseif begin:find "^\255\254" then
    return "text/plain; charset=utf-16le"
  elseif not begin:find "^\239\187\191" and begin:find "[%z\1-\8\11\14-\26\28-\31]" then
    return "application/octet-stream"
  end
  return plain
end

local folder = {}
folder.__index = folder

-- The group and the profile of a request. nil and why when the group that won names a profile that is not there;
-- nothing at all when no group fits, which is the next source's chance.
function folder:choose(request)
  local labels = labels_of(request.query)
  local group = self.store:select(labels)
  if not group then
    return nil
  end
  local profile, why = self.store:profile(group.profile)
  if not profile then
    return nil, ('%s names the profile "%s": %s'):format(group.file, group.profile, why)
  end
  return { group = group, profile = profile, labels = labels }
end

-- The file of a kind that the request's profile names, as text with its values filled in; and how it is called.
function folder:rendered(request, kind)
  local chosen, why = self:choose(request)
  if not chosen then
    return nil, why
  end
  local name = chosen.profile[kind .. "_id"]
  if name == "" then
    return nil, ("%s has no %s_id"):format(chosen.profile.file, kind)
  end
  local shown = ("%s of %s (%s)"):format(kind, chosen.profile.id, name)
  if kind == "ignition" and (name:find "%.ign$" or name:find "%.ignition$") then
    local text, missing = self.store:text("ignition/" .. name)
    return text, missing, shown, name
  end
  local read, problem = self.store:template(kind, name)
  if not read then
    return nil, problem
  end
  local text, failed = template.execute(read, variables_of(chosen.group, chosen.labels, request.raw_query))
  return text, failed, shown, name
end

local answers = {}

answers["/"] = function(_, request)
  if request.protocol == "http" then
    return { text = "matchbox\n", content_type = plain }
  end
end

local function first_script()
  return {
    text = "#!ipxe\nchain ipxe?uuid=${uuid}&mac=${mac:hexhyp}&domain=${domain}&hostname=${hostname}&serial=${serial}&arch=${buildarch:uristring}\n",
    content_type = plain,
    stage = "script",
  }
end
answers["/boot.ipxe"], answers["/boot.ipxe.0"] = first_script, first_script

-- A script of the profile's boot settings; `write(boot)` returns its lines.
local function script(kind, write)
  return function(self, request)
    local chosen, why = self:choose(request)
    if not chosen then
      return nil, why
    elseif not chosen.profile.boot then
      return nil, chosen.profile.file .. ' has no "boot"'
    end
    return {
      text = table.concat(write(chosen.profile.boot), "\n") .. "\n",
      content_type = plain,
      stage = "script",
      shown = ("%s script of %s"):format(kind, chosen.profile.id),
    }
  end
end

local function words(first, rest)
  return #rest > 0 and first .. " " .. table.concat(rest, " ") or first
end

answers["/ipxe"] = script("iPXE", function(boot)
  local lines = { "#!ipxe", words("kernel " .. boot.kernel, boot.args) }
  for _, initrd in ipairs(boot.initrd) do
    lines[#lines + 1] = "initrd " .. initrd
  end
  lines[#lines + 1] = "boot"
  return lines
end)

answers["/grub"] = script("GRUB", function(boot)
  local initrds = {}
  for index, initrd in ipairs(boot.initrd) do
    initrds[index] = ' "' .. initrd .. '"'
  end
  local lines = { "default=0", "fallback=1", "timeout=1" }
  for _, way in ipairs { { "EFI", "efi" }, { "BIOS", "" } } do
    lines[#lines + 1] = ('menuentry "CoreOS (%s)" {'):format(way[1])
    lines[#lines + 1] = 'echo "Loading kernel"'
    lines[#lines + 1] = words(('linux%s "%s"'):format(way[2], boot.kernel), boot.args)
    lines[#lines + 1] = 'echo "Loading initrd"'
    lines[#lines + 1] = ("initrd%s %s"):format(way[2], table.concat(initrds))
    lines[#lines + 1] = "}"
  end
  return lines
end)

answers["/generic"] = function(self, request)
  local text, why, shown = self:rendered(request, "generic")
  return text and { text = text, content_type = sniff(text), stage = "config", shown = shown }, why
end

answers["/cloud"] = function(self, request)
  local text, why, shown, name = self:rendered(request, "cloud")
  if not text then
    return nil, why
  end
  local first = text:match "^[^\n]*"
  if first:match "^%s*(.-)%s*$" == "#cloud-config" then
    local _, err = netlab.yaml.decode(text)
    if err then
      return nil, ("cloud/%s: %s"):format(name, err.message)
    end
  elseif text:sub(1, 2) ~= "#!" then
    return nil, ("cloud/%s is neither a cloud-config (#cloud-config) nor a script (#!)"):format(name)
  end
  return { text = text, content_type = sniff(text), stage = "config", shown = shown }
end

-- Why a text that should be Ignition is not.
local function no_ignition(text, name, problem)
  if name:find "%.ign$" or name:find "%.ignition$" then
    return ("ignition/%s is no Ignition config: %s"):format(name, problem)
  end
  local yaml = netlab.yaml.decode(text)
  local variant = type(yaml) == "table" and yaml.variant
  if type(variant) == "string" then
    return ("ignition/%s is a Butane config (variant %s, version %s), which netlab does not translate: translate it with butane, call the result *.ign and name that in ignition_id"):format(
      name, variant, tostring(yaml.version))
  end
  return ("ignition/%s is neither Ignition JSON nor a Butane config: %s"):format(name, problem)
end

answers["/ignition"] = function(self, request)
  local text, why, shown, name = self:rendered(request, "ignition")
  if not text then
    return nil, why
  end
  local config, err = netlab.json.decode(text)
  if err or type(config) ~= "table" or type(config.ignition) ~= "table" then
    return nil, no_ignition(text, name, err and err.message or 'it has no "ignition"')
  end
  return { text = text, content_type = "application/json", stage = "config", shown = shown }
end

-- KEY=value lines of what shell scripts can take: nested maps with their names joined, no lists and no nulls.
local function environment(map, prefix, out)
  for _, key in ipairs(values.sorted_keys(map)) do
    local value, kind = map[key], values.kind(map[key])
    if kind == "map" then
      environment(value, prefix .. key .. "_", out)
    elseif kind ~= "list" and kind ~= "nil" then
      out[#out + 1] = ("%s=%s\n"):format((prefix .. key):upper(), values.show(value))
    end
  end
  return out
end

answers["/metadata"] = function(self, request)
  local labels = labels_of(request.query)
  local group = self.store:select(labels)
  if group then
    local lines = environment(variables_of(group, labels, request.raw_query), "", {})
    return { text = table.concat(lines), content_type = "plain/text" } -- sic
  end
end

-- What a file of the assets is to a boot: the profiles say it.
function folder:stage_of(path)
  local function is(address)
    return address:gsub("^%a[%w+.-]*://[^/]*", ""):gsub("[?#].*$", "") == path
  end
  for _, profile in ipairs(self.store:profiles()) do
    local boot = profile.boot or { kernel = "", initrd = {} }
    if is(boot.kernel) then
      return "kernel"
    end
    for _, initrd in ipairs(boot.initrd) do
      if is(initrd:gsub("^%-%-name%s+%S+%s+", "")) then
        return "initrd"
      end
    end
  end
  return "http"
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&#34;", ["'"] = "&#39;" }

local function listing(path, address)
  local out = { "<!doctype html>\n<pre>\n" }
  for _, entry in ipairs(netlab.fs.list(path) or {}) do
    local name = entry.name .. (entry.folder and "/" or "")
    local link = (address .. "/" .. name):gsub("//+", "/"):gsub("[^%w%-%._~/]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
    out[#out + 1] = ('<a href="%s">%s</a>\n'):format(link, (name:gsub("[&<>\"']", entities)))
  end
  out[#out + 1] = "</pre>\n"
  return { text = table.concat(out), content_type = "text/html; charset=utf-8" }
end

function folder:asset(request)
  local name = request.path:match "^/assets/?(.*)$"
  local path = self.assets .. netlab.fs.join("/", name)
  local info = netlab.fs.stat(path)
  if not info then
    return nil
  elseif not info.folder then
    return { file = path, stage = self:stage_of(request.path), shown = name }
  elseif netlab.fs.exists(path .. "/index.html") then
    return { file = path .. "/index.html" }
  end
  return listing(path, request.path)
end

-- What can be seen to be wrong before a machine asks.
function folder:problems()
  local out = {}
  local seen = store.new(self.path, function(text)
    out[#out + 1] = self.path .. ": " .. text
  end)
  if #seen:groups() == 0 then
    out[#out + 1] = self.path .. ": there is no group that can be used, so no machine gets anything"
  end
  for _, group in ipairs(seen:groups()) do
    local profile, why = seen:profile(group.profile)
    if not profile then
      out[#out + 1] = ('%s: %s names the profile "%s": %s'):format(self.path, group.file, group.profile, why)
    end
  end
  for _, profile in ipairs(seen:profiles()) do
    for _, kind in ipairs { "generic", "cloud", "ignition" } do
      local name = profile[kind .. "_id"]
      local read, why
      if name:find "%.ign$" or name:find "%.ignition$" then
        read, why = seen:text(kind .. "/" .. name)
      elseif name ~= "" then
        read, why = seen:template(kind, name)
      end
      if name ~= "" and not read and why:find "^there is no" then
        out[#out + 1] = ("%s: %s: %s"):format(self.path, profile.file, why)
      end
    end
  end
  return out
end

return {
  folder = {
    help = "A matchbox data folder (groups, profiles, generic, cloud, ignition, assets) for boot.service's `sources`.",
    example = 'netlab.boot.service { sources = { netlab.plugin("matchbox").folder { path = "/var/lib/matchbox" } } }',
    options = {
      { name = "path", type = "path", required = true, help = "the folder; files are read again when they change" },
      { name = "assets", type = "path", help = "what /assets/ shows, by default the folder's own assets" },
    },
    create = function(options)
      local info = netlab.fs.stat(options.path)
      if not info or not info.folder then
        return nil, netlab.err.new("invalid", "there is no folder " .. options.path, "path")
      end
      local path = netlab.fs.join(options.path, ".")
      local function warn(text)
        netlab.log.warn(text, { folder = path })
      end
      return setmetatable({ path = path, assets = options.assets or path .. "/assets", store = store.new(path, warn) }, folder)
    end,
    check = function(self)
      return self:problems()
    end,
    start = function(self)
      netlab.log.info("a matchbox folder is served", { folder = self.path, groups = #self.store:groups(), profiles = #self.store:profiles() })
    end,
    source = function(self, request)
      local answer = answers[request.path]
      if answer then
        return answer(self, request)
      elseif request.path == "/assets" or request.path:sub(1, 8) == "/assets/" then
        return self:asset(request)
      end
    end,
    methods = {
      select = function(self, labels)
        local chosen, why = self:choose { query = labels }
        if not chosen then
          return nil, why and netlab.err.new("not_found", why) or nil
        end
        return { group = chosen.group.id ~= "" and chosen.group.id or chosen.group.name, profile = chosen.profile.id }
      end,
    },
  },
}
