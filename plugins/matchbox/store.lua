-- A matchbox data folder: groups, profiles and templates, read again when they change. What is broken is told once
-- and left out; the rest stays.
local netlab = require "netlab"
local template = require "matchbox.template"
local values = require "matchbox.values"

local null, kind_of = values.null, values.kind

local store = {}
store.__index = store

local json_limit = 4 * 1024 * 1024

function store.new(root, warn)
  return setmetatable({ root = root, warn = warn, cache = {}, found = {}, sorted = {} }, store)
end

---A path inside the folder: ".." cannot lead out of it.
function store:path(name)
  return self.root .. netlab.fs.join("/", name)
end

-- What `make(text)` made of a file, as long as the file is the same. A file that changed less than a second before it
-- was read may change again within the same tick of the system's clock, so it is read once more.
function store:load(name, make, info)
  info = info or netlab.fs.stat(self:path(name))
  if not info or info.folder then
    self.cache[name] = nil
    return nil, info and name .. " is a folder" or "there is no file " .. self:path(name)
  end
  local entry = self.cache[name]
  local same = entry and entry.changed == info.changed and entry.size == info.size
  if same and entry.settled then
    return entry.value, entry.why
  end
  local now = netlab.uptime()
  if not same then
    entry = { changed = info.changed, size = info.size, seen = now, told = entry and entry.told }
    self.cache[name] = entry
  end
  local text, err = netlab.fs.read(self:path(name))
  if not text then
    return nil, err.message
  end
  entry.settled = now - entry.seen > 1
  if text ~= entry.text then
    entry.text = text
    local note
    entry.value, entry.why, note = make(text, name)
    note = note or entry.why
    if note and note ~= entry.told then
      self.warn(note)
    end
    entry.told = note
  end
  return entry.value, entry.why
end

-- JSON as Go reads it, and as people write it: a comma before a closing bracket is what matchbox's own example has.
local function without_trailing_commas(text)
  local out, at = {}, 1
  while true do
    local quote = text:find('"', at, true)
    out[#out + 1] = text:sub(at, (quote or #text + 1) - 1):gsub(",(%s*[%]}])", "%1")
    if not quote then
      return table.concat(out)
    end
    local past = quote + 1
    while true do
      local stop = text:find('["\\]', past)
      if not stop then
        return text
      elseif text:sub(stop, stop) == '"' then
        at = stop + 1
        break
      end
      past = stop + 2
    end
    out[#out + 1] = text:sub(quote, at - 1)
  end
end

-- The object of a JSON file, or nil and why; the third result is a note about what was overlooked.
local function read_object(text, name)
  if #text > json_limit then
    return nil, ("%s: more than %d MiB"):format(name, json_limit / 1048576)
  end
  local object, err = netlab.json.decode(text)
  local note
  if err then
    local again, still = netlab.json.decode(without_trailing_commas(text))
    if still then
      return nil, ("%s: %s"):format(name, err.message)
    end
    object, note = again, name .. ": a comma before a closing bracket: matchbox refuses this file, netlab overlooks it"
  end
  if object == null then
    object = {}
  elseif type(object) ~= "table" or kind_of(object) ~= "map" then
    return nil, ("%s: it must hold a JSON object"):format(name)
  end
  return object, nil, note
end

-- Go matches the names of fields whatever their case.
local function field(object, name)
  local value = object[name]
  if value == nil then
    for key, other in pairs(object) do
      if key:lower() == name then
        value = other
        break
      end
    end
  end
  if value == null then
    return nil
  end
  return value
end

-- Raises the text that `checked` returns.
local function wrong(name, key, expected, got)
  local shown = type(got) == "table" and (kind_of(got) == "list" and "a list" or "an object") or ("%s %s"):format(type(got), tostring(got))
  error({ why = ('%s: "%s" must be %s, got %s'):format(name, key, expected, shown) }, 0)
end

local function checked(fn, ...)
  local ok, value = pcall(fn, ...)
  if ok then
    return value
  elseif type(value) == "table" and value.why then
    return nil, value.why
  end
  error(value, 0)
end

local function text_field(object, key, name)
  local value = field(object, key)
  if value ~= nil and type(value) ~= "string" then
    wrong(name, key, "a string", value)
  end
  return value or ""
end

local function map_field(object, key, name)
  local value = field(object, key)
  if value ~= nil and (type(value) ~= "table" or kind_of(value) ~= "map") then
    wrong(name, key, "an object", value)
  end
  return value
end

local function texts_field(object, key, name)
  local value = field(object, key)
  if value == nil then
    return {}
  elseif type(value) ~= "table" or kind_of(value) ~= "list" then
    wrong(name, key, "a list of strings", value)
  end
  local out = {}
  for index, item in ipairs(value) do
    if type(item) ~= "string" and item ~= null then
      wrong(name, ("%s[%d]"):format(key, index), "a string", item)
    end
    out[index] = item == null and "" or item
  end
  return out
end

---A hardware address of 6, 8 or 20 bytes in any of the three usual spellings, as lower case with colons; else nil.
function store.normal_mac(text)
  local digits
  if text:find "^%x%x[:-]" then
    local separator = text:sub(3, 3)
    local plain = text:gsub("[:-]", function(c)
      return c == separator and "" or nil
    end)
    if not plain:find "^%x+$" or #text ~= #plain / 2 * 3 - 1 or not text:find("^%x%x" .. ("[:-]%x%x"):rep(#plain / 2 - 1) .. "$") then
      return nil
    end
    digits = plain
  elseif text:find "^%x%x%x%x%." then
    digits = text:gsub("%.", "")
    if not text:find("^%x%x%x%x" .. ("%.%x%x%x%x"):rep(#digits / 4 - 1) .. "$") then
      return nil
    end
  else
    return nil
  end
  if #digits ~= 12 and #digits ~= 16 and #digits ~= 40 then
    return nil
  end
  return (digits:lower():gsub("%x%x", "%0:"):sub(1, -2))
end

local function read_group(object, name)
  local group = {
    file = name,
    id = text_field(object, "id", name),
    name = text_field(object, "name", name),
    profile = text_field(object, "profile", name),
    metadata = map_field(object, "metadata", name) or {},
    selector = {},
    count = 0,
  }
  local pairs_of = {}
  for key, value in pairs(map_field(object, "selector", name) or {}) do
    if value == null then
      value = ""
    elseif type(value) ~= "string" then
      wrong(name, "selector." .. key, "a string", value)
    end
    if key:lower() == "mac" then
      value = store.normal_mac(value) or error({ why = ('%s: the selector "%s" is no MAC address: "%s"'):format(name, key, value) }, 0)
    end
    group.selector[key] = value
    group.count = group.count + 1
    pairs_of[#pairs_of + 1] = key .. "=" .. value
  end
  table.sort(pairs_of)
  group.order = table.concat(pairs_of, ",")
  return group
end

local function read_profile(object, name)
  local profile = {
    file = name,
    id = text_field(object, "id", name),
    name = text_field(object, "name", name),
    ignition_id = text_field(object, "ignition_id", name),
    cloud_id = text_field(object, "cloud_id", name),
    generic_id = text_field(object, "generic_id", name),
  }
  local boot = map_field(object, "boot", name)
  if boot then
    profile.boot = { kernel = text_field(boot, "kernel", name), initrd = texts_field(boot, "initrd", name), args = texts_field(boot, "args", name) }
  end
  if profile.id == "" then
    error({ why = name .. ': "id" is missing' }, 0)
  end
  return profile
end

local function made_by(read)
  return function(text, name)
    local object, why, note = read_object(text, name)
    if not object then
      return nil, why
    end
    local value, problem = checked(read, object, name)
    return value, problem, not problem and note or nil
  end
end

local make_group, make_profile = made_by(read_group), made_by(read_profile)

local function make_template(text, name)
  local parsed, why = template.parse(text, name)
  return parsed, why
end

local function make_text(text)
  return text
end

-- The JSON files of a subfolder that can be used, in the order of their names. As with matchbox, a file of any
-- extension stands for the .json file of its name, and folders in it are not looked into.
function store:all(folder, make)
  local entries = netlab.fs.list(self:path(folder)) or {}
  local out, seen = {}, {}
  for _, entry in ipairs(entries) do
    local name = entry.name:match "^(.*)%.[^%.]*$" or entry.name
    if not seen[name] then
      seen[name] = true
      local file = name .. ".json"
      local is_it = entry.name == file
      if is_it and not entry.folder or not is_it and netlab.fs.exists(self:path(folder .. "/" .. file)) then
        out[#out + 1] = self:load(folder .. "/" .. file, make, is_it and entry or nil)
      end
    end
  end
  return out
end

---Every group that can be used, in the order in which they are tried: most selectors first, and among as many the
---one whose selectors, written as sorted "key=value", come last.
function store:groups()
  local found = self:all("groups", make_group)
  local same = #found == #self.found
  for index = 1, #found do
    same = same and found[index] == self.found[index]
  end
  if not same then
    self.found, self.sorted = found, { unpack(found) }
    table.sort(self.sorted, function(a, b)
      if a.count ~= b.count then
        return a.count > b.count
      elseif a.order ~= b.order then
        return a.order > b.order
      end
      return a.file < b.file
    end)
  end
  return self.sorted
end

function store:profiles()
  return self:all("profiles", make_profile)
end

---The profile of that file name, or nil and why.
function store:profile(name)
  return self:load("profiles/" .. name .. ".json", make_profile)
end

---A template, read, of "generic", "cloud" or "ignition"; or nil and why.
function store:template(folder, name)
  return self:load(folder .. "/" .. name, make_template)
end

---A file as it is, or nil and why.
function store:text(name)
  return self:load(name, make_text)
end

---The group for these labels, or nil. A selector with an empty value fits where the label is missing.
function store:select(labels)
  for _, group in ipairs(self:groups()) do
    local fits = true
    for key, value in pairs(group.selector) do
      if (labels[key] or "") ~= value then
        fits = false
        break
      end
    end
    if fits then
      return group
    end
  end
end

return store
