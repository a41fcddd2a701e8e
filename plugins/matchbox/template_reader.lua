-- Reads the text of a Go template: text → segments → tokens → nodes, which template.lua runs.
local functions = require "matchbox.functions"
local values = require "matchbox.values"

local integer = values.integer

local reader = {}

reader.depth_limit = 100 -- of blocks and parentheses in one another

-- What goes wrong is raised as { line = …, text = … }, for template.parse to catch.
local function fail(line, text, ...)
  error({ line = line, text = select("#", ...) > 0 and text:format(...) or text }, 0)
end

-- Counts lines up to a position; positions only grow.
local function line_counter(text)
  local line, at = 1, 1
  return function(position)
    while true do
      local found = text:find("\n", at, true)
      if not found or found >= position then
        return line
      end
      line, at = line + 1, found + 1
    end
  end
end

local escapes = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v", ["\\"] = "\\", ['"'] = '"', ["'"] = "'" }

local function code_point(line, digits)
  local n = tonumber(digits, 16)
  if not n or n > 0x10ffff then
    fail(line, "a bad escape in a string")
  end
  return functions.utf8(n)
end

-- What stands between Go's quotes.
local function unquote(line, inside)
  local out, at = {}, 1
  while true do
    local slash = inside:find("\\", at, true)
    if not slash then
      out[#out + 1] = inside:sub(at)
      return table.concat(out)
    end
    out[#out + 1] = inside:sub(at, slash - 1)
    local letter = inside:sub(slash + 1, slash + 1)
    local digits
    if escapes[letter] then
      out[#out + 1], at = escapes[letter], slash + 2
    elseif letter == "x" then
      digits = inside:match("^%x%x", slash + 2) or fail(line, "a bad escape in a string")
      out[#out + 1], at = string.char(tonumber(digits, 16)), slash + 4
    elseif letter == "u" then
      digits = inside:match("^%x%x%x%x", slash + 2) or fail(line, "a bad escape in a string")
      out[#out + 1], at = code_point(line, digits), slash + 6
    elseif letter == "U" then
      digits = inside:match("^%x%x%x%x%x%x%x%x", slash + 2) or fail(line, "a bad escape in a string")
      out[#out + 1], at = code_point(line, digits), slash + 10
    elseif inside:match("^[0-3][0-7][0-7]", slash + 1) then
      out[#out + 1], at = string.char(tonumber(inside:sub(slash + 1, slash + 3), 8)), slash + 4
    else
      fail(line, "a bad escape in a string: \\%s", letter)
    end
  end
end

-- A character constant is a whole number: its code point.
local function character(line, inside)
  local text = unquote(line, inside)
  local first = text:byte(1)
  if not first then
    fail(line, "an empty character constant")
  end
  local length = first < 0x80 and 1 or first < 0xe0 and 2 or first < 0xf0 and 3 or 4
  if #text ~= length then
    fail(line, "a character constant holds one character")
  end
  local n = length == 1 and first or first % 2 ^ (7 - length)
  for index = 2, length do
    n = n * 64 + text:byte(index) % 64
  end
  return integer(n)
end

local function number(line, text)
  local plain = text:gsub("_", "")
  local n = tonumber((plain:gsub("^([+-]?)0[oO]?([0-7]+)$", function(sign, digits)
    return ("%s%d"):format(sign, tonumber(digits, 8))
  end)))
  if not n or plain:find "[xX].*[%.pP]" then
    fail(line, "bad number: %s", text)
  elseif plain:find "^[+-]?0[xX]" or not plain:find "[%.eE]" then
    if n ~= math.floor(n) or math.abs(n) >= 2 ^ 53 then
      fail(line, "the number %s is too large", text)
    end
    return integer(n)
  end
  return n
end

local keywords = { ["if"] = true, ["range"] = true, ["with"] = true, ["else"] = true, ["end"] = true, ["define"] = true, ["template"] = true, ["block"] = true, ["break"] = true, ["continue"] = true }

-- The tokens of one action, from behind its "{{": { type, value, line, spaced }. Returns them and where the text goes
-- on, and whether white space behind the action is cut.
local function tokens_of(text, at, line_at)
  local out = {}
  local began = line_at(at)
  local spaced = false
  local function add(kind, value, past)
    out[#out + 1] = { type = kind, value = value, line = line_at(at), spaced = spaced }
    spaced, at = false, past
  end
  while true do
    if at > #text then
      fail(began, "an action {{ is not closed by }}")
    end
    local c = text:sub(at, at)
    local trimming = text:match("^[ \t\r\n]+%-}}()", at)
    if trimming then
      return out, trimming, true
    elseif text:sub(at, at + 1) == "}}" then
      return out, at + 2, false
    elseif c:find "[ \t\r\n]" then
      spaced, at = true, text:match("^[ \t\r\n]+()", at)
    elseif c == '"' or c == "'" then
      local past = at + 1
      while text:sub(past, past) ~= c do
        local step = text:sub(past, past)
        if step == "" or step == "\n" then
          fail(line_at(at), "a %s that does not end", c == '"' and "string" or "character constant")
        end
        past = past + (step == "\\" and 2 or 1)
      end
      local inside = text:sub(at + 1, past - 1)
      local line = line_at(at)
      add("constant", c == '"' and unquote(line, inside) or character(line, inside), past + 1)
    elseif c == "`" then
      local close = text:find("`", at + 1, true) or fail(line_at(at), "a raw string that does not end")
      add("constant", (text:sub(at + 1, close - 1):gsub("\r", "")), close + 1)
    elseif text:find("^[+-]?%.?%d", at) then
      local word, past = text:match("^([+-]?[%w_%.]+)()", at)
      while word:find "[eE]$" and not word:find "^[+-]?0[xX]" and text:find("^[+-]%d", past) do
        local exponent, behind = text:match("^([+-]%d+)()", past)
        word, past = word .. exponent, behind
      end
      add("constant", number(line_at(at), word), past)
    elseif text:find("^%.[%a_\128-\255]", at) then
      local name, past = text:match("^%.([%w_\128-\255]+)()", at)
      add("field", name, past)
    elseif c == "." then
      add("dot", nil, at + 1)
    elseif c == "$" then
      local name, past = text:match("^(%$[%w_\128-\255]*)()", at)
      add("variable", name, past)
    elseif text:find("^[%a_\128-\255]", at) then
      local name, past = text:match("^([%w_\128-\255]+)()", at)
      if name == "true" or name == "false" then
        add("constant", name == "true", past)
      else
        add(name == "nil" and "nil" or keywords[name] and "keyword" or "name", name, past)
      end
    elseif text:sub(at, at + 1) == ":=" then
      add(":=", nil, at + 2)
    elseif c:find "[|()=,]" then
      add(c, nil, at + 1)
    else
      fail(line_at(at), "unexpected %q in an action", c)
    end
  end
end

-- The text as a list of { text = … } and { tokens = …, line = … }; comments are gone, white space is cut.
local function segments_of(text)
  local out, at, cut = {}, 1, false
  local line_at = line_counter(text)
  while true do
    local open = text:find("{{", at, true)
    local plain = text:sub(at, (open or #text + 1) - 1)
    local inside = open and open + 2
    if cut then
      plain = plain:gsub("^[ \t\r\n]+", "")
    end
    if open and text:find("^%-[ \t\r\n]", inside) then
      plain, inside = plain:gsub("[ \t\r\n]+$", ""), inside + 1
    end
    if plain ~= "" then
      out[#out + 1] = { text = plain }
    end
    if not open then
      return out
    end
    local comment = text:match("^[ \t\r\n]*()/%*", inside)
    if comment then
      local _, close = text:find("*/", comment + 2, true)
      local line = line_at(open)
      if not close then
        fail(line, "a comment that does not end")
      end
      local trimming = text:match("^[ \t\r\n]+%-}}()", close + 1)
      cut = trimming ~= nil
      at = trimming or text:match("^}}()", close + 1) or fail(line, "a comment ends with */}}")
    else
      local line = line_at(open)
      local tokens
      tokens, at, cut = tokens_of(text, inside, line_at)
      out[#out + 1] = { tokens = tokens, line = line }
    end
  end
end

-- Reads nodes from segments. One per parse.
local parser = {}
parser.__index = parser

function parser:fail(text, ...)
  fail(self.line, text, ...)
end

function parser:peek()
  return self.tokens[self.at]
end

function parser:take(kind)
  local token = self.tokens[self.at]
  if token and (not kind or token.type == kind) then
    self.at = self.at + 1
    self.line = token.line
    return token
  end
end

function parser:nested(fn, ...)
  self.depth = self.depth + 1
  if self.depth > reader.depth_limit then
    self:fail("nested deeper than %d levels", reader.depth_limit)
  end
  local out = fn(self, ...)
  self.depth = self.depth - 1
  return out
end

local function shown(token)
  if not token then
    return "the action's end"
  end
  return token.type == "constant" and "a constant" or ("%q"):format((token.type == "field" and "." or "") .. tostring(token.value or token.type))
end

function parser:variable(name)
  for index = #self.variables, 1, -1 do
    if self.variables[index] == name then
      return name
    end
  end
  self:fail("undefined variable %q", name)
end

-- One operand with the fields that follow it at once, or nil.
function parser:operand()
  local token = self:peek()
  if not token or token.type == "|" or token.type == ")" or token.type == "," or token.type == ":=" or token.type == "=" then
    return nil
  end
  self.at, self.line = self.at + 1, token.line
  local node = { line = token.line }
  if token.type == "field" then
    node.type, node.fields = "field", { token.value }
  elseif token.type == "dot" then
    node.type = "dot"
  elseif token.type == "variable" then
    node.type, node.name, node.fields = "variable", self:variable(token.value), {}
  elseif token.type == "constant" then
    node.type, node.value = "constant", token.value
  elseif token.type == "nil" then
    node.type = "nil"
  elseif token.type == "name" then
    if not functions.known[token.value] and token.value ~= "and" and token.value ~= "or" then
      self:fail("function %q not defined", token.value)
    end
    node.type, node.name = "call", token.value
  elseif token.type == "(" then
    node.type, node.pipeline = "group", self:nested(parser.pipeline)
    if not self:take ")" then
      self:fail("expected \")\", got %s", shown(self:peek()))
    end
  else
    self:fail("unexpected %s", shown(token))
  end
  local following = self:peek()
  while following and following.type == "field" and not following.spaced do
    if node.type == "dot" or node.type == "constant" or node.type == "nil" or node.type == "call" then
      self:fail("unexpected .%s behind %s", following.value, shown(token))
    end
    node.fields = node.fields or {}
    node.fields[#node.fields + 1] = following.value
    self.at = self.at + 1
    following = self:peek()
  end
  if following and not following.spaced and following.type ~= "|" and following.type ~= ")" and following.type ~= "," and following.type ~= ":=" and following.type ~= "=" then
    self:fail("unexpected %s: a blank is missing", shown(following))
  end
  return node
end

function parser:pipeline(in_range)
  local out = { line = self.line }
  local first, second = self.tokens[self.at], self.tokens[self.at + 1]
  if first and first.type == "variable" and second and (second.type == ":=" or second.type == "=" or second.type == "," and in_range) then
    out.names = { self:take("variable").value }
    if self:take "," then
      local name = self:take "variable"
      out.names[2] = name and name.value or self:fail "range declares variables, such as $index, $element"
    end
    if self:take ":=" then
      out.declares = true
    elseif self:take "=" then
      for _, name in ipairs(out.names) do
        self:variable(name)
      end
    else
      self:fail("expected := behind a variable, got %s", shown(self:peek()))
    end
  end
  repeat
    local command = { line = self.line }
    while true do
      local operand = self:operand()
      if not operand then
        break
      end
      command[#command + 1] = operand
    end
    if #command == 0 then
      self:fail("a value is missing before %s", shown(self:peek()))
    elseif #out > 0 and (command[1].type == "constant" or command[1].type == "nil" or command[1].type == "dot") then
      self:fail "a value cannot take what the pipeline brings: a function belongs here"
    end
    out[#out + 1] = command
  until not self:take "|"
  if out.declares then
    for _, name in ipairs(out.names) do
      self.variables[#self.variables + 1] = name
    end
  end
  return out
end

function parser:finish()
  if self:peek() then
    self:fail("unexpected %s", shown(self:peek()))
  end
end

-- Nodes up to an "end" or "else" of the block around them; returns them and that keyword.
function parser:list(inside)
  local out = {}
  while true do
    self.segment = self.segment + 1
    local segment = self.segments[self.segment]
    if not segment then
      if inside then
        fail(inside.line, "{{%s}} has no {{end}}", inside.word)
      end
      return out
    elseif segment.text then
      out[#out + 1] = { type = "text", text = segment.text }
    else
      self.tokens, self.at, self.line = segment.tokens, 1, segment.line
      local word = self:take "keyword"
      word = word and word.value
      if word == "end" or word == "else" then
        if not inside then
          self:fail("unexpected {{%s}}", word)
        end
        if word == "end" then
          self:finish()
        end
        return out, word
      end
      out[#out + 1] = self:action(word)
    end
  end
end

function parser:control(word)
  local scope = #self.variables
  local node = { type = word, line = self.line }
  node.pipeline = self:pipeline(word == "range")
  if node.pipeline.names and node.pipeline.names[2] and word ~= "range" then
    self:fail("{{%s}} takes one variable", word)
  end
  self:finish()
  local outer_loop = self.loop
  self.loop = outer_loop or word == "range"
  local stop
  local inside = { line = node.line, word = word }
  node.list, stop = self:list(inside)
  self.loop = outer_loop
  if stop == "else" then
    local chained = self:take "keyword"
    if chained and chained.value == word and word ~= "range" then
      -- {{else if …}} is {{else}}{{if …}} that shares one {{end}}.
      node.otherwise = { self:nested(parser.control, word) }
    elseif chained then
      self:fail("unexpected %s behind {{else}} of {{%s}}", shown(chained), word)
    else
      self:finish()
      node.otherwise, stop = self:list(inside)
      if stop ~= "end" then
        self:fail("{{%s}} has two {{else}}", word)
      end
    end
  end
  for index = #self.variables, scope + 1, -1 do
    self.variables[index] = nil
  end
  return node
end

function parser:name_of_template(word)
  local name = self:take "constant"
  return name and type(name.value) == "string" and name.value or self:fail("{{%s}} takes a name in quotes", word)
end

-- The body of a define or block: its own variables, its own loops.
function parser:body(word)
  local variables, loop = self.variables, self.loop
  self.variables, self.loop = { "$" }, false
  local list, stop = self:list { line = self.line, word = word }
  if stop ~= "end" then
    self:fail("{{%s}} has no {{else}}", word)
  end
  self.variables, self.loop = variables, loop
  return list
end

function parser:action(word)
  local line = self.line
  if word == "if" or word == "with" or word == "range" then
    return self:nested(parser.control, word)
  elseif word == "break" or word == "continue" then
    if not self.loop then
      self:fail("{{%s}} outside {{range}}", word)
    end
    self:finish()
    return { type = word, line = line }
  elseif word == "define" then
    if self.depth > 0 then
      self:fail "{{define}} belongs to the top level"
    end
    local name = self:name_of_template(word)
    self:finish()
    self.templates[name] = self:nested(parser.body, word)
    return { type = "text", text = "" }
  elseif word == "template" or word == "block" then
    local node = { type = "template", line = line, name = self:name_of_template(word) }
    if self:peek() then
      node.pipeline = self:pipeline()
      self:finish()
    end
    if word == "block" then
      if not node.pipeline then
        self:fail "{{block}} takes a name and a value"
      end
      self.templates[node.name] = self:nested(parser.body, word)
    end
    return node
  end
  if not self:peek() then
    self:fail "an action without a command"
  end
  local node = { type = "action", line = line, pipeline = self:pipeline() }
  if node.pipeline.names and node.pipeline.names[2] then
    self:fail "one variable takes one value"
  end
  self:finish()
  return node
end

---The nodes of a template: { root, templates by name }. Raises { line, text } when it is none.
function reader.read(text)
  local self = setmetatable({ templates = {}, variables = { "$" }, depth = 0, segment = 0, line = 1 }, parser)
  self.segments = segments_of(text)
  self.root = self:list()
  return { root = self.root, templates = self.templates }
end

return reader
