-- Prepares a fresh Lua state for recipes. Gets the marks that netlab's scheduler uses and returns the function
-- that makes a waiting binding out of a yielding one. Runs before anything else, in every VM.
local wait_mark, cancel_mark, nearest = ...

local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local error, select, setmetatable, tostring, type = error, select, setmetatable, tostring, type

-- A wait inside a recipe's own coroutine yields through every resume up to netlab's scheduler, and comes back
-- down the same way, so that I/O looks blocking there as well.
local function pass(co, ok, first, ...)
  if ok and first == wait_mark then
    return pass(co, resume(co, yield(wait_mark)))
  end
  return ok, first, ...
end

function coroutine.resume(co, ...)
  return pass(co, resume(co, ...))
end

local function unwrap(ok, first, ...)
  if not ok then
    error(first, 0)
  end
  return first, ...
end

function coroutine.wrap(fn)
  local co = create(fn)
  return function(...)
    return unwrap(pass(co, resume(co, ...)))
  end
end

local cancelled = setmetatable({ code = "cancelled", message = "the task was cancelled", op = "task" }, {
  __tostring = function(self)
    return self.message
  end,
})

local function settle(first, ...)
  if first == cancel_mark then
    error(cancelled, 0)
  end
  return first, ...
end

local function waiting(fn)
  return function(...)
    return settle(fn(...))
  end
end

-- What could block the whole process, or reach around netlab, names its alternative.
local function closed(name, alternatives, fallback, kept)
  return setmetatable(kept or {}, {
    __index = function(_, key)
      error(("%s.%s is not available in recipes: %s"):format(name, tostring(key), alternatives[key] or fallback), 2)
    end,
    __newindex = function(_, key)
      error(("%s.%s cannot be set"):format(name, tostring(key)), 2)
    end,
  })
end

local function refused(what, instead)
  return function()
    error(what .. " is not available in recipes: " .. instead, 2)
  end
end

local real_os, real_debug, real_jit = os, debug, jit
os = closed("os", {
  execute = "use netlab.process.run { argv = { … } }",
  exit = "return the exit code from netlab.main",
  remove = "use netlab.fs.remove",
  rename = "use netlab.fs.write, which replaces a file in one step",
  tmpname = "use netlab.fs.mkdir and a name of your own",
  setlocale = "netlab always works in the C locale",
}, "there is no such function", {
  clock = real_os.clock,
  date = real_os.date,
  difftime = real_os.difftime,
  getenv = real_os.getenv,
  time = real_os.time,
})
io = closed("io", {
  popen = "use netlab.process.run { argv = { … } }",
  write = "use print or netlab.log.info",
  stdout = "use print",
  stderr = "use netlab.log.warn",
  open = "use netlab.fs.read or netlab.fs.write",
  lines = "use netlab.fs.read",
}, "use netlab.fs")
debug = closed("debug", {}, "only debug.traceback and debug.getinfo are", {
  traceback = real_debug.traceback,
  getinfo = real_debug.getinfo,
})
jit = closed("jit", { on = "start netlab with --jit", off = "the JIT is off unless netlab runs with --jit" }, "it is fixed", {
  version = real_jit.version,
  os = real_jit.os,
  arch = real_jit.arch,
})
package.loadlib = refused("package.loadlib", "native code comes in plugins")
package.cpath = ""
package.loaded.ffi, package.preload.ffi = nil, nil
package.loaded.jit, package.loaded.os, package.loaded.io, package.loaded.debug = jit, os, io, debug
package.loaded["jit.opt"], package.loaded["jit.util"] = nil, nil
package.preload["jit.opt"], package.preload["jit.util"] = nil, nil
string.dump = refused("string.dump", "bytecode is never loaded")
module = nil
dofile = refused("dofile", "use require")
loadfile = refused("loadfile", "use require")

local load_text = load
function load(chunk, name, _, env)
  if env == nil then
    env = _G
  end
  return load_text(chunk, name or "=(load)", "t", env)
end
function loadstring(text, name)
  return load_text(text, name or "=(load)", "t", _G)
end

setmetatable(_G, {
  __index = function(_, key)
    local near = nearest(tostring(key), _G)
    error(("undefined global %q%s"):format(tostring(key), near and (" (did you mean %q?)"):format(near) or ""), 2)
  end,
  __newindex = function(_, key)
    error(("assignment to global %q: declare it with local"):format(tostring(key)), 2)
  end,
})

return waiting
