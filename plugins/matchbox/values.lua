-- The values of Go templates: what JSON holds (strings, float64 numbers, booleans, null, maps, lists) and the
-- whole numbers that templates themselves write. Their kinds, their truth, and how Go prints them.
local netlab = require "netlab"

local values = {}

local null = netlab.null
values.null = null

-- A whole number of the template's own (a literal, len): Go tells it apart from JSON's float64.
local integer = {}
function values.integer(n)
  return setmetatable({ value = n }, integer)
end

-- A map whose values are strings only: what is missing in it is an empty string, not nil.
local text_map = {}
function values.text_map(map)
  local out = setmetatable({}, text_map)
  for key, value in pairs(map) do
    out[key] = value
  end
  return out
end

-- A list that may be empty, which a plain Lua table does not tell from an empty map.
local list_mark = {}
function values.list(items)
  return setmetatable(items, list_mark)
end

---"nil", "string", "bool", "float", "int", "list" or "map".
function values.kind(value)
  local kind = type(value)
  if value == nil or value == null then
    return "nil"
  elseif kind == "string" then
    return "string"
  elseif kind == "boolean" then
    return "bool"
  elseif kind == "number" then
    return "float"
  end
  local meta = getmetatable(value)
  if meta == integer then
    return "int"
  elseif value[1] ~= nil or (meta ~= nil and meta ~= text_map) then
    return "list" -- what netlab.json decodes from [] carries a mark
  end
  return "map"
end
local kind_of = values.kind

---What a missing key of this map stands for where Go has no error for it.
function values.zero_of(map)
  return getmetatable(map) == text_map and "" or null
end

-- Go's names of types, for error messages and printf's complaints.
local type_names = { string = "string", bool = "bool", float = "float64", int = "int", list = "[]interface {}", map = "map[string]interface {}" }
function values.type_name(value)
  if type(value) == "table" and getmetatable(value) == text_map then
    return "map[string]string"
  end
  return type_names[kind_of(value)] or "<nil>"
end

function values.truth(value)
  local kind = kind_of(value)
  if kind == "bool" then
    return value
  elseif kind == "string" then
    return value ~= ""
  elseif kind == "float" then
    return value ~= 0
  elseif kind == "int" then
    return value.value ~= 0
  elseif kind == "list" then
    return #value > 0
  elseif kind == "map" then
    return next(value) ~= nil
  end
  return false
end

function values.sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

---A float64 as Go's %v prints it: the fewest digits that say which number it is, with an exponent where that is
---below -4 or above 5. (123456 is itself, 1234567 is 1.234567e+06.)
function values.format_float(n)
  if n ~= n then
    return "NaN"
  elseif n == math.huge or n == -math.huge then
    return n > 0 and "+Inf" or "-Inf"
  elseif n == 0 then
    return 1 / n < 0 and "-0" or "0"
  end
  local digits = 1
  while digits < 17 and tonumber(("%." .. digits - 1 .. "e"):format(n)) ~= n do
    digits = digits + 1
  end
  local scientific = ("%." .. digits - 1 .. "e"):format(n)
  local exponent = tonumber(scientific:match "e([+-]%d+)$")
  if exponent < -4 or exponent > 5 then
    return scientific
  end
  return ("%." .. math.max(0, digits - 1 - exponent) .. "f"):format(n)
end

local show

local function show_all(list, out)
  for index, item in ipairs(list) do
    out[#out + 1] = (index > 1 and " " or "") .. show(item, true)
  end
end

---As Go's fmt.Print shows a value. Inside a list or map, nil is "<nil>".
show = function(value, inside)
  local kind = kind_of(value)
  if kind == "string" then
    return value
  elseif kind == "bool" then
    return tostring(value)
  elseif kind == "float" then
    return values.format_float(value)
  elseif kind == "int" then
    return ("%d"):format(value.value)
  elseif kind == "list" then
    local out = { "[" }
    show_all(value, out)
    out[#out + 1] = "]"
    return table.concat(out)
  elseif kind == "map" then
    local out = { "map[" }
    for index, key in ipairs(values.sorted_keys(value)) do
      out[#out + 1] = (index > 1 and " " or "") .. key .. ":" .. show(value[key], true)
    end
    out[#out + 1] = "]"
    return table.concat(out)
  end
  return inside and "<nil>" or "<no value>"
end
values.show = show

return values
