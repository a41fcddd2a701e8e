-- The recipe test kit: `local test = require "netlab.test"`. Cases run one after another, each as a task of its own
-- with a deadline, after the file's top level has been declared and its services are bound.
local netlab = require "netlab"

local test = {}
local cases = {}
local folders = {}

local function at_line()
  local file, line = netlab.testing.where()
  return ("%s:%d"):format(file, line)
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function show(value, depth)
  if type(value) == "string" then
    return ("%q"):format(value):gsub("\\\n", "\\n")
  elseif type(value) ~= "table" then
    return tostring(value)
  elseif (depth or 0) >= 6 then
    return "{…}"
  end
  local parts = {}
  local length = #value
  for index = 1, length do
    parts[#parts + 1] = show(value[index], (depth or 0) + 1)
  end
  for _, key in ipairs(sorted_keys(value)) do
    if type(key) ~= "number" or key < 1 or key > length or key % 1 ~= 0 then
      local name = type(key) == "string" and key:match("^[%a_][%w_]*$") or ("[%s]"):format(show(key))
      parts[#parts + 1] = name .. " = " .. show(value[key], (depth or 0) + 1)
    end
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

local function child_path(path, key)
  if type(key) == "string" then
    return path .. "." .. key
  end
  return ("%s[%s]"):format(path, tostring(key))
end

-- Collects "where: expected …, got …" lines; at most eight, because the first few tell.
local function differences(expected, got, path, out, depth)
  if #out >= 8 then
    return
  end
  if type(expected) ~= "table" or type(got) ~= "table" or depth > 32 then
    if expected ~= got and not (expected ~= expected and got ~= got) then
      local where = path == "" and "" or path .. ": "
      out[#out + 1] = ("%sexpected %s, got %s"):format(where, show(expected), show(got))
    end
    return
  end
  for _, key in ipairs(sorted_keys(expected)) do
    differences(expected[key], got[key], child_path(path, key), out, depth + 1)
  end
  for _, key in ipairs(sorted_keys(got)) do
    if expected[key] == nil and #out < 8 then
      out[#out + 1] = ("%s: unexpected %s"):format(child_path(path, key), show(got[key]))
    end
  end
end

local function failed(text, message)
  error(setmetatable({
    code = "failed",
    message = ("%s: %s%s"):format(at_line(), message and message .. ": " or "", text),
    op = "test",
  }, {
    __tostring = function(self)
      return self.message
    end,
  }), 0)
end

---Fails when the values differ; tables are compared by content.
function test.equal(got, expected, message)
  local lines = {}
  differences(expected, got, "", lines, 0)
  if #lines > 0 then
    failed(table.concat(lines, "\n"), message)
  end
end

---Fails when the values are equal.
function test.differ(got, other, message)
  local lines = {}
  differences(other, got, "", lines, 0)
  if #lines == 0 then
    failed("expected something else than " .. show(other), message)
  end
end

---Fails for nil and false. Returns the value, so that it can be used on.
function test.truthy(value, message)
  if not value then
    failed("expected a value, got " .. show(value), message)
  end
  return value
end

---Fails for everything but nil and false.
function test.falsy(value, message)
  if value then
    failed("expected nil or false, got " .. show(value), message)
  end
end

---Fails when `text` does not hold `part` (plain text).
function test.contains(text, part, message)
  if type(text) ~= "string" or not text:find(part, 1, true) then
    failed(("expected text with %s, got %s"):format(show(part), show(text)), message)
  end
end

---Fails when `text` does not match the Lua pattern.
function test.matches(text, pattern, message)
  if type(text) ~= "string" or not text:find(pattern) then
    failed(("expected text matching %s, got %s"):format(show(pattern), show(text)), message)
  end
end

---Fails when `fn` does not raise, or raises without `part` in its text. Returns the text.
function test.raises(fn, part, message)
  local ok, why = pcall(fn)
  if ok then
    failed("expected an error, there was none", message)
  end
  local text = type(why) == "table" and why.message or tostring(why)
  if part and not text:find(part, 1, true) then
    failed(("expected an error with %s, got %s"):format(show(part), show(text)), message)
  end
  return text
end

---Fails unless the results of an I/O function are nil and an error of that code. Returns the error.
function test.fails(value, err, code, message)
  if value ~= nil then
    failed("expected nil and an error, got " .. show(value), message)
  end
  if type(err) ~= "table" or type(err.code) ~= "string" then
    failed("expected an error, got " .. show(err), message)
  end
  if code and err.code ~= code then
    failed(("expected an error of code %q, got %q: %s"):format(code, err.code, err.message), message)
  end
  return err
end

local skipped = {}

---Ends the case without a verdict.
function test.skip(reason)
  error(setmetatable({ code = "skipped", message = reason }, skipped), 0)
end

---A folder for the case's files; removed with its content when the file's cases have run.
function test.folder()
  local path, err = netlab.testing.folder()
  if not path then
    failed(err.message)
  end
  folders[#folders + 1] = path
  return path
end

---Checks a recipe given as text, as `netlab check` does: { messages, graph }. `path` is where it is taken to lie,
---by default "recipe.lua" in the working folder.
function test.check(recipe, arguments, path)
  return netlab.testing.check(recipe, arguments or {}, path)
end

---@class netlab.test.running A recipe that runs as a `netlab run` of its own.
---@field folder string where its recipe, state and log lie
---@field state string its state folder
---@field pid integer
local running = {}
running.__index = running

---What `netlab status --json` says of it, or nil and why.
function running:status()
  local got, err = netlab.process.run { argv = { netlab.testing.program(), "--state", self.state, "status", "--json" } }
  if not got then
    return nil, err
  elseif got.exit_code ~= 0 then
    return nil, got.errors
  end
  return netlab.json.decode(got.output)
end

---The endpoint that a service of this kind is bound to, such as "127.0.0.1:40123". `name` picks one of several.
function running:endpoint(kind, name)
  for _, service in ipairs(test.truthy(self:status()).services) do
    if service.kind == kind and (not name or service.name == name) then
      return (service.endpoints[1]:gsub("^%a+ ", ""))
    end
  end
  failed(("no %s runs%s"):format(kind, name and " as " .. name or ""))
end

---The sum of a counter over all its labels, or over those that have the given ones.
function running:counter(name, labels)
  local sum = 0
  for _, sample in ipairs(test.truthy(self:status()).counters) do
    local fits = sample.name == name
    for key, value in pairs(labels or {}) do
      fits = fits and sample.labels[key] == value
    end
    sum = sum + (fits and sample.value or 0)
  end
  return sum
end

---The first step of this stage in the boot of a node, or nil.
function running:step(node, stage)
  for _, boot in ipairs(test.truthy(self:status()).boots) do
    for _, step in ipairs(boot.node == node and boot.steps or {}) do
      if step.stage == stage then
        return step
      end
    end
  end
end

---What it logged so far.
function running:log()
  return netlab.fs.read(self.folder .. "/log") or ""
end

---Calls `fn` until it returns a value, and returns that. Fails with the log when the recipe has ended.
function running:await(fn, what)
  while true do
    local value = fn()
    if value then
      return value
    elseif self.ended then
      failed(("the recipe ended before %s:\n%s"):format(what or "that", self:log()))
    end
    netlab.sleep "5ms"
  end
end

---Waits until the log holds the text (plain), and returns the log.
function running:logged(text)
  return self:await(function()
    local log = self:log()
    return log:find(text, 1, true) and log
  end, "it logged " .. show(text))
end

---Sends a signal, "TERM" unless given, waits for the end and returns { exit_code, signal, … }.
function running:stop(signal)
  netlab.process.run { argv = { "kill", "-" .. (signal or "TERM"), tostring(self.pid) } }
  return test.truthy(self.task:wait "10s")
end

---Runs a recipe given as text in a netlab of its own, waits until it is ready and returns it. It is killed when
---the case ends. options: `folder` (of an earlier run, to start again on its state), `arguments` of the recipe,
---`netlab` (global options, such as { "--jit" }; by default those of this run), `deadline`.
function test.run(recipe, options)
  options = options or {}
  local folder = options.folder or test.folder()
  local self = setmetatable({ folder = folder, state = folder .. "/state" }, running)
  local prefix = 'local netlab = require "netlab"; netlab.state "state"; '
  test.truthy(netlab.fs.write(folder .. "/recipe.lua", prefix .. recipe))
  netlab.fs.write(folder .. "/log", "")
  netlab.fs.write(folder .. "/pid", "")
  local argv = { "sh", "-c", 'echo $$ > pid; exec "$@" 2> log', "sh", netlab.testing.program() }
  for _, word in ipairs(options.netlab or (netlab.testing.jit() and { "--jit" } or {})) do
    argv[#argv + 1] = word
  end
  argv[#argv + 1] = "run"
  argv[#argv + 1] = folder .. "/recipe.lua"
  for _, word in ipairs(options.arguments or {}) do
    argv[#argv + 1] = word
  end
  self.task = netlab.spawn(function()
    local result, err = netlab.process.run { argv = argv, folder = folder, timeout = options.deadline or "5m" }
    self.ended = true
    return result, err
  end)
  self:logged "NL-HOST-001"
  self.pid = tonumber((netlab.fs.read(folder .. "/pid"):match "%d+"))
  return self
end

local function remove_tree(path)
  for _, entry in ipairs(netlab.fs.list(path) or {}) do
    local inside = netlab.fs.join(path, entry.name)
    if entry.folder then
      remove_tree(inside)
    else
      netlab.fs.remove(inside)
    end
  end
  netlab.fs.remove(path)
end

local function run_case(case)
  local skip_reason
  local began = netlab.testing.now()
  local done, err = netlab.timeout(case.deadline, function()
    local ok, why = pcall(case.fn)
    if ok then
      return true
    end
    if getmetatable(why) == skipped then
      skip_reason = why.message
      return true
    end
    error(why, 0)
  end)
  netlab.testing.report {
    name = case.name,
    passed = done == true and not skip_reason,
    skipped = skip_reason ~= nil,
    problem = skip_reason or (not done and err.message) or "",
    seconds = netlab.testing.now() - began,
  }
  return done == true
end

local function run_all()
  local good = true
  for _, case in ipairs(cases) do
    good = run_case(case) and good
  end
  for _, path in ipairs(folders) do
    remove_tree(path)
  end
  return good and 0 or 1
end

---Declares a case. `options` may give a deadline other than "10s".
function test.case(name, options, fn)
  if fn == nil then
    options, fn = {}, options
  end
  if type(name) ~= "string" or type(options) ~= "table" or type(fn) ~= "function" then
    error("test.case takes a name, options if any, and a function", 2)
  end
  if #cases == 0 then
    netlab.main(run_all)
  end
  cases[#cases + 1] = { name = name, fn = fn, deadline = options.deadline or "10s" }
end

return test
