-- What recipes may not reach, and strict globals.
local netlab = require "netlab"
local test = require "netlab.test"

local function refuses(name, fn, part)
  test.case(name, function()
    local text = test.raises(fn, part)
    test.matches(text, "sandbox_test%.lua:%d+: ", "the message names the recipe's line")
  end)
end

refuses("os.execute names its alternative", function()
  os.execute "true"
end, "netlab.process.run")
refuses("os.exit names its alternative", function()
  os.exit(0)
end, "netlab.main")
refuses("os.remove names its alternative", function()
  os.remove "x"
end, "netlab.fs.remove")
refuses("io.open names its alternative", function()
  io.open "x"
end, "netlab.fs.read")
refuses("io.popen names its alternative", function()
  io.popen "x"
end, "netlab.process.run")
refuses("io.anything", function()
  io.tmpfile()
end, "netlab.fs")
refuses("debug.sethook", function()
  debug.sethook()
end, "debug.traceback")
refuses("debug.getregistry", function()
  debug.getregistry()
end, "debug.traceback")
refuses("package.loadlib", function()
  package.loadlib("x", "y")
end, "plugins")
refuses("jit.on", function()
  jit.on()
end, "--jit")
refuses("string.dump", function()
  string.dump(print)
end, "bytecode")
refuses("loadfile", function()
  loadfile "x"
end, "require")
refuses("reading an undefined global", function()
  return prnt
end, 'undefined global "prnt" (did you mean "print"?)')
refuses("assigning a global", function()
  leaked = 1
end, 'assignment to global "leaked": declare it with local')
refuses("an unknown name of netlab", function()
  return netlab.jsn
end, 'netlab has no "jsn" (did you mean "json"?)')
refuses("an unknown name of a group", function()
  return netlab.fs.raed
end, 'netlab.fs has no "raed" (did you mean "read"?)')
refuses("changing netlab", function()
  netlab.fs = nil
end, "cannot be changed")
refuses("changing a group of netlab", function()
  netlab.fs.new = 1
end, "cannot be changed")

test.case("ffi cannot be had", function()
  test.raises(function()
    require "ffi"
  end, "not available in recipes")
end)

test.case("bytecode is refused, text is loaded", function()
  local chunk, why = loadstring "\27LJ\2\0"
  test.equal(chunk, nil)
  test.contains(why, "wrong mode")
  test.equal(load("return 1 + 1", "x")(), 2)
  test.equal(load("return a", "x", "bt", { a = 5 })(), 5)
  test.equal(select(1, load("\27LJ\2\0", "x", "b")), nil)
end)

test.case("what is harmless stays", function()
  test.equal(type(os.time()), "number")
  test.equal(type(os.getenv "PATH"), "string")
  test.equal(type(debug.traceback()), "string")
  test.equal(("x"):rep(3), "xxx")
  test.equal(math.max(1, 2), 2)
end)

test.case("a module that is not there names where it was looked for", function()
  test.raises(function()
    require "no_such_module"
  end, 'no module "no_such_module" in the recipe\'s folder')
  test.raises(function()
    require "../x"
  end, "no module")
end)
