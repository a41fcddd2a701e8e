-- Files, processes, HTTP failures, modules.
local netlab = require "netlab"
local test = require "netlab.test"

test.case("fs: write, read, stat, list, remove", function()
  local folder = test.folder()
  local path = netlab.fs.join(folder, "a", "b.txt")
  test.equal(test.fails(netlab.fs.read(path)).code, "not_found")
  test.falsy(netlab.fs.exists(path))
  test.truthy(netlab.fs.mkdir(netlab.fs.join(folder, "a")))
  test.truthy(netlab.fs.write(path, "hello\0world"))
  test.equal(netlab.fs.read(path), "hello\0world")
  local info = netlab.fs.stat(path)
  test.equal({ info.name, info.size, info.folder }, { "b.txt", 11, false })
  local listed = netlab.fs.list(folder)
  test.equal({ #listed, listed[1].name, listed[1].folder }, { 1, "a", true })
  test.truthy(netlab.fs.remove(path))
  test.falsy(netlab.fs.exists(path))
  test.fails(netlab.fs.remove(path))
  test.fails(netlab.fs.list(path))
end)

test.case("fs: wrong arguments raise, join resolves", function()
  test.equal(netlab.fs.join("/a/b", "../c", "d"), "/a/c/d")
  test.equal(netlab.fs.join("/a", "/b"), "/b")
  test.raises(function()
    netlab.fs.read()
  end, "the path must be a string")
  test.raises(function()
    netlab.fs.write("/tmp/x", "y", { privat = true })
  end, 'unknown option "privat" (did you mean "private"?)')
end)

test.case("process: output, errors, input, exit code", function()
  local result = test.truthy(netlab.process.run { argv = { "sh", "-c", "cat; echo oops >&2; echo $LAB; exit 3" }, input = "in\n", env = { LAB = "yes" } })
  test.equal({ result.exit_code, result.signal, result.output, result.errors }, { 3, 0, "in\nyes\n", "oops\n" })
end)

test.case("process: a program that is not there, a deadline, a signal", function()
  test.fails(netlab.process.run { argv = { "no-such-program-here" } })
  local err = test.fails(netlab.process.run { argv = { "sleep", "600" }, timeout = "20ms" })
  test.equal(err.code, "timeout")
  test.equal(netlab.process.run({ argv = { "sh", "-c", "kill -9 $$" } }).signal, 9)
end)

test.case("process: options are closed", function()
  test.raises(function()
    netlab.process.run { argv = { "true" }, timout = "1s" }
  end, 'unknown option "timout" (did you mean "timeout"?)')
  test.raises(function()
    netlab.process.run { argv = "true" }
  end, "netlab.process.run.argv: expected a list of string")
  test.raises(function()
    netlab.process.run { argv = {} }
  end, "argv is empty")
end)

test.case("process: cancelling the task ends the program", function()
  local folder = test.folder()
  local task = netlab.spawn(function()
    netlab.process.run { argv = { "sh", "-c", "sleep 600" }, folder = folder }
  end)
  netlab.sleep "20ms"
  task:cancel()
  test.equal(test.fails(task:wait()).code, "cancelled")
end)

test.case("http: no server is nil, err; a bad URL too", function()
  local err = test.fails(netlab.http.get("http://127.0.0.1:1/", { timeout = "2s" }))
  test.equal(err.code, "refused")
  test.fails(netlab.http.get "nonsense://x")
  test.raises(function()
    netlab.http.get("http://127.0.0.1/", { timeout = 5 })
  end, 'netlab.http.get.timeout: expected a duration such as "1h", got number 5')
  test.raises(function()
    netlab.http.request { url = "ftp://x/" }
  end, 'netlab.http.request.url: expected a URL such as "http://example.org/"')
end)

test.case("log takes text and plain fields", function()
  netlab.log.debug("a debug line", { n = 1, list = { 1, 2 } })
  test.raises(function()
    netlab.log.info("x", { f = print })
  end, "plain values")
  test.raises(function()
    netlab.log.info(5)
  end, "the text must be a string")
end)
