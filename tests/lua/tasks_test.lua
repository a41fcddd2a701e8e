-- Tasks, waiting, cancellation, coroutines, the watchdog.
local netlab = require "netlab"
local test = require "netlab.test"

test.case("sleep waits that long and others go on", function()
  local began = netlab.testing.now()
  local order = {}
  local other = netlab.spawn(function()
    netlab.sleep "10ms"
    order[#order + 1] = "other"
  end)
  netlab.sleep "40ms"
  order[#order + 1] = "main"
  other:wait()
  test.equal(order, { "other", "main" })
  test.truthy(netlab.testing.now() - began >= 0.04)
end)

test.case("spawn passes arguments, wait returns results, nil included", function()
  local task = netlab.spawn(function(a, b)
    netlab.sleep "1ms"
    return a, nil, b
  end, 1, "x")
  test.falsy(task:done())
  test.equal({ n = select("#", task:wait()), task:wait() }, { n = 3, 1, nil, "x" })
  test.truthy(task:done())
end)

test.case("a failing task gives nil, err with its line", function()
  local task = netlab.spawn(function()
    netlab.sleep "1ms"
    error "broken"
  end)
  local value, err = task:wait()
  test.fails(value, err)
  test.matches(err.message, "tasks_test%.lua:%d+: broken")
end)

test.case("an error table's message is what wait gives", function()
  local _, err = netlab.spawn(function()
    error(netlab.err.new("timeout", "took too long"))
  end):wait()
  test.equal(err.message, "took too long")
end)

test.case("cancel raises in the wait; cleaning up is possible", function()
  local log = {}
  local task = netlab.spawn(function()
    local ok, err = pcall(netlab.sleep, "10m")
    log[#log + 1] = ok
    log[#log + 1] = err.code
    log[#log + 1] = select(2, pcall(netlab.sleep, "10m")).code
  end)
  netlab.sleep "1ms"
  task:cancel()
  task:wait()
  test.equal(log, { false, "cancelled", "cancelled" })
end)

test.case("cancelling a task that has not begun, or has ended, is fine", function()
  local ran = false
  local task = netlab.spawn(function()
    ran = true
  end)
  task:cancel()
  test.fails(task:wait())
  test.falsy(ran)
  task:cancel()
end)

test.case("a parent that ends cancels its children, and theirs", function()
  local ends = {}
  local function until_cancelled(name)
    local _, err = pcall(netlab.sleep, "10m")
    ends[#ends + 1] = name .. " " .. err.code
    error(err, 0)
  end
  netlab.spawn(function()
    netlab.spawn(function()
      netlab.spawn(until_cancelled, "grandchild")
      until_cancelled "child"
    end)
    netlab.sleep "5ms"
  end):wait()
  netlab.sleep "5ms"
  table.sort(ends)
  test.equal(ends, { "child cancelled", "grandchild cancelled" })
end)

test.case("timeout returns results, or nil and an error of code timeout", function()
  test.equal(netlab.timeout("1s", function(a)
    netlab.sleep "1ms"
    return a + 1
  end, 41), 42)
  local err = test.fails(netlab.timeout("5ms", function()
    netlab.sleep "10m"
  end))
  test.equal(err.code, "timeout")
  local value, other = netlab.timeout("1s", function()
    error "inside"
  end)
  test.contains(test.fails(value, other).message, "inside")
end)

test.case("wait takes a deadline and leaves the task running", function()
  local task = netlab.spawn(function()
    netlab.sleep "20ms"
    return "late"
  end)
  test.equal(test.fails(task:wait "1ms").code, "timeout")
  test.equal(task:wait(), "late")
end)

test.case("every runs until cancelled, and a failing round does not end it", function()
  local rounds = 0
  local job = netlab.every("2ms", function()
    rounds = rounds + 1
    if rounds == 1 then
      error "the first round fails on purpose"
    end
  end)
  while rounds < 3 do
    netlab.sleep "1ms"
  end
  job:cancel()
  job:wait()
  local seen = rounds
  netlab.sleep "10ms"
  test.equal(rounds, seen)
end)

test.case("waits pass through pcall, metamethods, iterators and coroutines", function()
  local ok, value = pcall(function()
    netlab.sleep "1ms"
    return 1
  end)
  test.equal({ ok, value }, { true, 1 })
  local slow = setmetatable({}, {
    __index = function(_, key)
      netlab.sleep "1ms"
      return key .. "!"
    end,
    __add = function()
      netlab.sleep "1ms"
      return 5
    end,
  })
  test.equal(slow.a, "a!")
  test.equal(slow + 1, 5)
  local seen = {}
  for n in function(_, n)
    netlab.sleep "1ms"
    return (n or 0) < 3 and (n or 0) + 1 or nil
  end do
    seen[#seen + 1] = n
  end
  test.equal(seen, { 1, 2, 3 })
  local generator = coroutine.wrap(function(a)
    netlab.sleep "1ms"
    local b = coroutine.yield(a + 1)
    netlab.sleep "1ms"
    return b * 2
  end)
  test.equal(generator(1), 2)
  test.equal(generator(10), 20)
  local inner = coroutine.create(function()
    local deep = coroutine.wrap(function()
      netlab.sleep "1ms"
      return "deep"
    end)
    coroutine.yield(deep())
    netlab.sleep "1ms"
    error "from inside"
  end)
  test.equal({ coroutine.resume(inner) }, { true, "deep" })
  local good, why = coroutine.resume(inner)
  test.falsy(good)
  test.contains(why, "from inside")
end)

test.case("a wait where none is possible raises and says where", function()
  local text = test.raises(function()
    table.sort({ 3, 1, 2 }, function(a, b)
      netlab.sleep "1ms"
      return a < b
    end)
  end, "cannot wait inside require, table.sort or a string.gsub function")
  test.matches(text, "tasks_test%.lua:%d+:")
end)

test.case("coroutine.yield outside of a coroutine ends the task with an error", function()
  local value, err = netlab.spawn(function()
    coroutine.yield(1)
  end):wait()
  test.contains(test.fails(value, err).message, "outside of a coroutine")
end)

test.case("wrong arguments raise at the caller's line", function()
  test.raises(function()
    netlab.sleep(5)
  end, 'netlab.sleep: the time must be a duration such as "5s", got number 5')
  test.raises(function()
    netlab.spawn "x"
  end, "must be a function")
  test.raises(function()
    netlab.every("0s", print)
  end, "period")
  test.raises(function()
    netlab.timeout("soon", print)
  end, "duration")
  test.raises(function()
    netlab.main(print)
  end, "top level")
  test.raises(function()
    netlab.network { address = "10.0.0.1/24" }
  end, "top level")
end)

test.case("many tasks share the pool", function()
  local tasks, sum = {}, 0
  for n = 1, 500 do
    tasks[n] = netlab.spawn(function()
      netlab.sleep "1ms"
      return n
    end)
  end
  for n = 1, 500 do
    sum = sum + tasks[n]:wait()
  end
  test.equal(sum, 125250)
end)

test.case("the watchdog stops an endless loop, pcall or not", { deadline = "60s" }, function()
  local probe = test.check [[
    local netlab = require "netlab"
    netlab.network { address = "10.0.0.1/24" }
  ]]
  test.equal(probe.messages, {})
  if netlab.testing.jit() then
    return -- endless loops are reported and not stopped
  end
  local value, err = netlab.spawn(function()
    while true do
      pcall(function()
        while true do
        end
      end)
    end
  end):wait()
  test.contains(test.fails(value, err).message, "NL-LUA-003")
  test.matches(err.message, "tasks_test%.lua:%d+: task of .*tasks_test%.lua:%d+ ran for %d+ ms without waiting")
  netlab.sleep "1ms"
  test.equal(netlab.spawn(function()
    return "alive"
  end):wait(), "alive")
end)
