-- The functions that Go's text/template knows by itself. Each takes the run (for its limits) and the arguments,
-- and returns a value; what it cannot do it raises as plain text.
local values = require "matchbox.values"

local integer, kind_of, type_name, show = values.integer, values.kind, values.type_name, values.show

local functions = {}

local function refuse(text, ...)
  error(text:format(...), 0)
end

-- fmt.Sprint: a blank between two arguments when neither is a string.
local function print_all(arguments, count)
  local out = {}
  for index = 1, count do
    local blank = index > 1 and kind_of(arguments[index]) ~= "string" and kind_of(arguments[index - 1]) ~= "string"
    out[#out + 1] = (blank and " " or "") .. show(arguments[index], true)
  end
  return table.concat(out)
end

local function basic(value)
  local kind = kind_of(value)
  if kind == "list" or kind == "map" then
    refuse("%s cannot be compared", type_name(value))
  end
  return kind
end

local function equal(a, b)
  local left, right = basic(a), basic(b)
  if left == "nil" or right == "nil" then
    return left == right
  elseif left ~= right then
    refuse("incompatible types for comparison: %s and %s (numbers of metadata are float64: write 3.0)", type_name(a), type_name(b))
  elseif left == "int" then
    return a.value == b.value
  end
  return a == b
end

local function less(a, b)
  local left, right = basic(a), basic(b)
  if left == "nil" or left == "bool" or right == "nil" then
    refuse("%s and %s cannot be ordered", type_name(a), type_name(b))
  elseif left ~= right then
    refuse("incompatible types for comparison: %s and %s (numbers of metadata are float64: write 3.0)", type_name(a), type_name(b))
  elseif left == "int" then
    return a.value < b.value
  end
  return a < b
end

local function need(name, count, least, most)
  if count < least or (most and count > most) then
    refuse("wrong number of args for %s: want %s%d, got %d", name, most == least and "" or "at least ", least, count)
  end
end

-- "and" and "or" are not here: they stop at the first value that decides, so the run itself evaluates them.
functions["not"] = function(_, a, n)
  need("not", n, 1, 1)
  return not values.truth(a[1])
end

function functions.eq(_, a, n)
  need("eq", n, 2)
  for index = 2, n do
    if equal(a[1], a[index]) then
      return true
    end
  end
  return false
end

function functions.ne(_, a, n)
  need("ne", n, 2, 2)
  return not equal(a[1], a[2])
end

function functions.lt(_, a, n)
  need("lt", n, 2, 2)
  return less(a[1], a[2])
end

function functions.le(_, a, n)
  need("le", n, 2, 2)
  return less(a[1], a[2]) or equal(a[1], a[2])
end

function functions.gt(_, a, n)
  need("gt", n, 2, 2)
  return not (less(a[1], a[2]) or equal(a[1], a[2]))
end

function functions.ge(_, a, n)
  need("ge", n, 2, 2)
  return not less(a[1], a[2])
end

function functions.len(_, a, n)
  need("len", n, 1, 1)
  local kind = kind_of(a[1])
  if kind == "string" or kind == "list" then
    return integer(#a[1])
  elseif kind == "map" then
    return integer(#values.sorted_keys(a[1]))
  end
  refuse("len of %s", kind == "nil" and "nil pointer" or "type " .. type_name(a[1]))
end

local function position(value, length, last)
  if kind_of(value) ~= "int" then
    refuse("cannot index slice/array with %s", kind_of(value) == "nil" and "nil" or "type " .. type_name(value))
  elseif value.value < 0 or value.value > last then
    refuse("index out of range: %d of %d", value.value, length)
  end
  return value.value
end

function functions.index(_, a, n)
  need("index", n, 1)
  local item = a[1]
  for at = 2, n do
    local kind = kind_of(item)
    if kind == "list" then
      item = item[position(a[at], #item, #item - 1) + 1]
    elseif kind == "string" then
      item = integer(item:byte(position(a[at], #item, #item - 1) + 1))
    elseif kind == "map" then
      if kind_of(a[at]) ~= "string" then
        refuse("value has type %s; should be string", type_name(a[at]))
      end
      local found = item[a[at]]
      item = found == nil and values.zero_of(item) or found
    else
      refuse(kind == "nil" and "index of untyped nil" or "can't index item of type " .. type_name(item))
    end
  end
  return item
end

function functions.slice(_, a, n)
  need("slice", n, 1, 4)
  local item, kind = a[1], kind_of(a[1])
  if kind ~= "string" and kind ~= "list" then
    refuse("can't slice item of type %s", type_name(item))
  elseif kind == "string" and n == 4 then
    refuse "cannot 3-index slice a string"
  end
  local first = n >= 2 and position(a[2], #item, #item) or 0
  local past = n >= 3 and position(a[3], #item, #item) or #item
  if n == 4 then
    position(a[4], #item, #item)
  end
  if first > past then
    refuse("invalid slice index: %d > %d", first, past)
  elseif kind == "string" then
    return item:sub(first + 1, past)
  end
  local out = {}
  for index = first + 1, past do
    out[#out + 1] = item[index]
  end
  return values.list(out)
end

function functions.print(_, a, n)
  return print_all(a, n)
end

function functions.println(_, a, n)
  local out = {}
  for index = 1, n do
    out[index] = show(a[index], true)
  end
  return table.concat(out, " ") .. "\n"
end

local function text_of(a, n)
  if n == 1 and type(a[1]) == "string" then
    return a[1]
  end
  return print_all(a, n)
end

local html = { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;", ["'"] = "&#39;", ['"'] = "&#34;", ["\0"] = "\239\191\189" }
function functions.html(_, a, n)
  return (text_of(a, n):gsub("[%z<>&'\"]", html))
end

local js = { ["\\"] = "\\\\", ["'"] = "\\'", ['"'] = '\\"', ["<"] = "\\u003C", [">"] = "\\u003E", ["&"] = "\\u0026", ["="] = "\\u003D" }
function functions.js(_, a, n)
  return (text_of(a, n):gsub("[%c\\'\"<>&=]", function(c)
    return js[c] or ("\\u%04X"):format(c:byte())
  end))
end

function functions.urlquery(_, a, n)
  return (text_of(a, n):gsub("[^%w%-_%.~ ]", function(c)
    return ("%%%02X"):format(c:byte())
  end):gsub(" ", "+"))
end

-- A string in Go's quotes (%q).
local quoted = { ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v", ['"'] = '\\"', ["\\"] = "\\\\" }
local function quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return quoted[c] or ("\\x%02x"):format(c:byte())
  end) .. '"'
end

local function hex(text, upper)
  return (text:gsub(".", function(c)
    return (upper and "%02X" or "%02x"):format(c:byte())
  end))
end

local function binary(n)
  local out = ""
  local left = math.abs(n)
  repeat
    out = left % 2 .. out
    left = math.floor(left / 2)
  until left == 0
  return (n < 0 and "-" or "") .. out
end

local function utf8(n)
  if n < 0x80 then
    return string.char(n)
  elseif n < 0x800 then
    return string.char(0xc0 + math.floor(n / 64), 0x80 + n % 64)
  elseif n < 0x10000 then
    return string.char(0xe0 + math.floor(n / 4096), 0x80 + math.floor(n / 64) % 64, 0x80 + n % 64)
  end
  return string.char(0xf0 + math.floor(n / 262144), 0x80 + math.floor(n / 4096) % 64, 0x80 + math.floor(n / 64) % 64, 0x80 + n % 64)
end

-- Goes on where %s stands for an element of a list or map too, as Go does.
local function each(value, format)
  local out = {}
  if kind_of(value) == "list" then
    for index, item in ipairs(value) do
      out[index] = format(item)
    end
    return "[" .. table.concat(out, " ") .. "]"
  end
  for index, key in ipairs(values.sorted_keys(value)) do
    out[index] = format(key) .. ":" .. format(value[key])
  end
  return "map[" .. table.concat(out, " ") .. "]"
end

local verbs = {}

local function format_one(verb, flags, precision, value)
  local kind = kind_of(value)
  if verb == "v" then
    return show(value, true)
  elseif verb == "T" then
    return type_name(value)
  elseif (kind == "list" or kind == "map") and verbs[verb] then
    return each(value, function(item)
      return format_one(verb, flags, precision, item)
    end)
  end
  local made = verbs[verb] and kind ~= "nil" and verbs[verb](value, kind, flags, precision)
  if made then
    return made
  elseif kind == "nil" then
    return ("%%!%s(<nil>)"):format(verb)
  end
  return ("%%!%s(%s=%s)"):format(verb, type_name(value), show(value))
end

local function cut(text, precision)
  return precision and text:sub(1, precision) or text
end

function verbs.s(value, kind, _, precision)
  return kind == "string" and cut(value, precision)
end

function verbs.q(value, kind, _, precision)
  if kind == "int" then
    return "'" .. utf8(value.value) .. "'"
  end
  return kind == "string" and quote(cut(value, precision))
end

function verbs.t(value, kind)
  return kind == "bool" and tostring(value)
end

function verbs.d(value, kind, flags)
  return kind == "int" and (flags:find("+", 1, true) and "%+d" or "%d"):format(value.value)
end

function verbs.c(value, kind)
  return kind == "int" and utf8(value.value)
end

function verbs.b(value, kind)
  return kind == "int" and binary(value.value)
end

function verbs.o(value, kind)
  return kind == "int" and (value.value < 0 and "-" or "") .. ("%o"):format(math.abs(value.value))
end

local function hexadecimal(upper)
  return function(value, kind, flags)
    local prefix = flags:find("#", 1, true) and (upper and "0X" or "0x") or ""
    if kind == "int" then
      return (value.value < 0 and "-" or "") .. prefix .. (upper and "%X" or "%x"):format(math.abs(value.value))
    end
    return kind == "string" and prefix .. hex(value, upper)
  end
end
verbs.x, verbs.X = hexadecimal(false), hexadecimal(true)

local function float(verb)
  return function(value, kind, flags, precision)
    if kind ~= "float" then
      return false
    elseif not precision and (verb == "g" or verb == "G") then
      return values.format_float(value)
    end
    return ("%" .. (flags:find("+", 1, true) and "+" or "") .. "." .. math.min(precision or 6, 99) .. verb):format(value)
  end
end
for _, verb in ipairs { "e", "E", "f", "g", "G" } do
  verbs[verb] = float(verb)
end
verbs.F = verbs.f

local widest = 1000

local function pad(text, width, flags)
  local _, continued = text:gsub("[\128-\191]", "")
  local missing = width - (#text - continued)
  if missing <= 0 then
    return text
  elseif flags:find("-", 1, true) then
    return text .. (" "):rep(missing)
  elseif flags:find("0", 1, true) then
    local sign, rest = text:match "^([+-]?)(.*)$"
    return sign .. ("0"):rep(missing) .. rest
  end
  return (" "):rep(missing) .. text
end

function functions.printf(run, a, n)
  need("printf", n, 1)
  local format = a[1]
  if type(format) ~= "string" then
    refuse("printf: the format is a %s, not a string", type_name(format))
  end
  local out, at, next_argument = {}, 1, 2
  while true do
    local percent = format:find("%", at, true)
    if not percent then
      out[#out + 1] = format:sub(at)
      break
    end
    out[#out + 1] = format:sub(at, percent - 1)
    local flags, width, dot, precision, verb, past = format:match("^([%-%+# 0]*)(%d*)(%.?)(%d*)(.?)()", percent + 1)
    if verb == "[" or verb == "*" then
      refuse("printf: %%%s is not supported: write the arguments in order", verb)
    elseif #width > 4 or #precision > 4 or tonumber(width) and tonumber(width) > widest or tonumber(precision) and tonumber(precision) > widest then
      refuse("printf: a width or precision of more than %d", widest)
    end
    local made
    if verb == "" then
      made = "%!(NOVERB)"
    elseif verb == "%" then
      made = "%"
    elseif next_argument > n then
      made = ("%%!%s(MISSING)"):format(verb)
    else
      made = pad(format_one(verb, flags, dot ~= "" and (tonumber(precision) or 0) or nil, a[next_argument]), tonumber(width) or 0, flags)
      next_argument = next_argument + 1
    end
    run:spend(#made + 1)
    out[#out + 1] = made
    at = past
  end
  if next_argument <= n then
    local extra = {}
    for index = next_argument, n do
      extra[#extra + 1] = kind_of(a[index]) == "nil" and "<nil>" or type_name(a[index]) .. "=" .. show(a[index])
    end
    out[#out + 1] = "%!(EXTRA " .. table.concat(extra, ", ") .. ")"
  end
  return table.concat(out)
end

function functions.call(_, a, n)
  need("call", n, 1)
  refuse(kind_of(a[1]) == "nil" and "call of nil" or "non-function of type " .. type_name(a[1]))
end

return { known = functions, utf8 = utf8 }
