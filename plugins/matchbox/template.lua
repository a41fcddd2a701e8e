-- Go's text/template, as matchbox renders its configs with it: missing keys are errors. A template is read once
-- (template.parse) and run as often as wanted (template.execute). Both are bounded, because what is rendered may be
-- anybody's: depth of nesting, steps, and bytes made.
local functions = require "matchbox.functions"
local reader = require "matchbox.template_reader"
local values = require "matchbox.values"

local kind_of, type_name, integer = values.kind, values.type_name, values.integer

local template = {}

template.depth_limit = 100 -- of templates that call templates
template.step_limit = 200000 -- nodes that one execution may visit
template.byte_limit = 16 * 1024 * 1024 -- that one execution may make, thrown away again or not
template.text_limit = 4 * 1024 * 1024 -- of the template itself

-- What goes wrong is raised as { line = …, text = … } and caught at the two entrances.
local function fail(line, text, ...)
  error({ line = line, text = select("#", ...) > 0 and text:format(...) or text }, 0)
end

local run = {}
run.__index = run

function run:spend(bytes)
  self.bytes = self.bytes + bytes
  if self.bytes > template.byte_limit then
    error(("it makes more than %d MiB"):format(template.byte_limit / 1048576), 0)
  end
end

function run:step(line)
  self.steps = self.steps + 1
  if self.steps > template.step_limit then
    fail(line, "it takes more than %d steps", template.step_limit)
  end
end

local function field_of(value, name, line)
  local kind = kind_of(value)
  if kind == "nil" then
    fail(line, "nil has no field .%s", name)
  elseif kind ~= "map" then
    fail(line, "a value of type %s has no field .%s", type_name(value), name)
  end
  local found = value[name]
  if found == nil then
    fail(line, "no value for .%s", name)
  end
  return found
end

local function fields_of(value, fields, line)
  for _, name in ipairs(fields or {}) do
    value = field_of(value, name, line)
  end
  return value
end

function run:lookup(name)
  for index = #self.variables, 1, -1 do
    if self.variables[index].name == name then
      return self.variables[index]
    end
  end
end

-- The value of an operand that gets no arguments.
function run:value(node, dot)
  self:step(node.line)
  if node.type == "field" then
    return fields_of(dot, node.fields, node.line)
  elseif node.type == "dot" then
    return dot
  elseif node.type == "variable" then
    return fields_of(self:lookup(node.name).value, node.fields, node.line)
  elseif node.type == "constant" then
    return node.value
  elseif node.type == "nil" then
    return values.null
  elseif node.type == "group" then
    return fields_of(self:pipeline(node.pipeline, dot), node.fields, node.line)
  end
  return self:call(node, {}, dot)
end

-- A function with the operands behind it; `final` is what the pipeline brings, if anything.
function run:call(node, command, dot, final)
  local name = node.name
  if name == "and" or name == "or" then
    local count = #command - 1 + (final ~= nil and 1 or 0)
    if #command == 0 or count < 1 then
      fail(node.line, "%s needs a value", name)
    end
    local value
    for index = 2, count + 1 do
      value = command[index] and self:value(command[index], dot)
      if not command[index] then
        value = final
      end
      if values.truth(value) == (name == "or") then
        return value
      end
    end
    return value
  end
  local arguments, count = {}, 0
  for index = 2, #command do
    count = count + 1
    arguments[count] = self:value(command[index], dot)
  end
  if final ~= nil then
    count = count + 1
    arguments[count] = final
  end
  local ok, result = pcall(functions.known[name], self, arguments, count)
  if not ok then
    fail(node.line, "%s", ("%s: %s"):format(name, tostring(result)))
  end
  if type(result) == "string" then
    self:spend(#result)
  end
  return result
end

function run:command(command, dot, final)
  local first = command[1]
  if first.type == "call" then
    self:step(first.line)
    return self:call(first, command, dot, final)
  elseif #command > 1 or final ~= nil then
    fail(first.line, "only functions take arguments")
  elseif first.type == "nil" then
    fail(first.line, "nil is not a command")
  end
  return self:value(first, dot)
end

function run:pipeline(pipeline, dot, keep_names)
  local value -- false is one, nil is none
  for _, command in ipairs(pipeline) do
    value = self:command(command, dot, value)
  end
  if pipeline.names and not keep_names then
    if pipeline.declares then
      self.variables[#self.variables + 1] = { name = pipeline.names[1], value = value }
    else
      self:lookup(pipeline.names[1]).value = value
    end
  end
  return value
end

function run:forget(count)
  for index = #self.variables, count + 1, -1 do
    self.variables[index] = nil
  end
end

-- One round of a range; true when the loop ends.
function run:round(node, key, value)
  local names = node.pipeline.names
  local scope = #self.variables
  if names then
    local last = names[2] and { key, value } or { value }
    for index, name in ipairs(names) do
      if node.pipeline.declares then
        self.variables[#self.variables + 1] = { name = name, value = last[index] }
      else
        self:lookup(name).value = last[index]
      end
    end
  end
  local stop = self:list(node.list, value)
  self:forget(scope)
  return stop == "break"
end

function run:range(node, dot)
  local over = self:pipeline(node.pipeline, dot, true)
  local kind = kind_of(over)
  local empty = true
  if kind == "list" then
    for index, item in ipairs(over) do
      empty = false
      if self:round(node, integer(index - 1), item) then
        break
      end
    end
  elseif kind == "map" then
    for _, key in ipairs(values.sorted_keys(over)) do
      empty = false
      if self:round(node, key, over[key]) then
        break
      end
    end
  elseif kind == "int" then
    for index = 0, over.value - 1 do
      empty = false
      self:step(node.line)
      if self:round(node, integer(index), integer(index)) then
        break
      end
    end
  elseif kind ~= "nil" then
    fail(node.line, "range can't iterate over a value of type %s", type_name(over))
  end
  if empty and node.otherwise then
    return self:list(node.otherwise, dot)
  end
end

function run:write(text)
  self:spend(#text)
  self.out[#self.out + 1] = text
end

function run:template(node, dot)
  local list = self.templates[node.name] or fail(node.line, "template %q not defined", node.name)
  local data = node.pipeline and self:pipeline(node.pipeline, dot) or values.null
  local variables = self.variables
  self.depth = self.depth + 1
  if self.depth > template.depth_limit then
    fail(node.line, "templates call one another deeper than %d levels", template.depth_limit)
  end
  self.variables = { { name = "$", value = data } }
  self:list(list, data)
  self.variables, self.depth = variables, self.depth - 1
end

-- Runs nodes; returns "break" or "continue" when one of them said so.
function run:list(list, dot)
  for _, node in ipairs(list) do
    local stop
    if node.type == "text" then
      self:step(0)
      self:write(node.text)
    elseif node.type == "action" then
      local value = self:pipeline(node.pipeline, dot)
      if not node.pipeline.names then
        self:write(values.show(value))
      end
    elseif node.type == "break" or node.type == "continue" then
      return node.type
    elseif node.type == "template" then
      self:template(node, dot)
    else
      local scope = #self.variables
      self:step(node.line)
      if node.type == "range" then
        stop = self:range(node, dot)
      else
        local value = self:pipeline(node.pipeline, dot)
        if values.truth(value) then
          stop = self:list(node.list, node.type == "with" and value or dot)
        elseif node.otherwise then
          stop = self:list(node.otherwise, dot)
        end
      end
      self:forget(scope)
    end
    if stop then
      return stop
    end
  end
end

local function explain(name, why)
  if type(why) == "table" and why.text then
    return ("%s:%d: %s"):format(name, why.line, why.text)
  end
  return ("%s: %s"):format(name, tostring(why))
end

---Reads a template; `name` is for messages. Returns nil and why ("name:line: …") when it is none.
function template.parse(text, name)
  if #text > template.text_limit then
    return nil, ("%s: a template of more than %d MiB"):format(name, template.text_limit / 1048576)
  end
  local ok, read = pcall(reader.read, text)
  if not ok then
    return nil, explain(name, read)
  end
  read.name = name
  return read
end

---Runs a template that was read with data as netlab.json decodes it. Returns nil and why when it fails.
function template.execute(parsed, data)
  local self = setmetatable({ templates = parsed.templates, variables = { { name = "$", value = data } }, out = {}, steps = 0, bytes = 0, depth = 0 }, run)
  local ok, why = pcall(run.list, self, parsed.root, data)
  if not ok then
    return nil, explain(parsed.name, why)
  end
  return table.concat(self.out)
end

return template
