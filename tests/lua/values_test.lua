-- netlab.json, yaml, template, err, version: plain functions.
local netlab = require "netlab"
local test = require "netlab.test"

test.case("version is a dotted number", function()
  test.matches(netlab.version, "^%d+%.%d+%.%d+$")
end)

test.case("json: encode sorts keys and keeps lists", function()
  test.equal(netlab.json.encode { b = 1, a = { 1, 2.5, "x" }, c = netlab.null, d = true }, '{"a":[1,2.5,"x"],"b":1,"c":null,"d":true}')
  test.equal(netlab.json.encode({ a = 1 }, true), '{\n  "a": 1\n}')
end)

test.case("json: what was decoded encodes to the same text", function()
  for _, text in ipairs { "[]", "{}", '{"a":[],"b":{}}', "null", "-0.5", '"é"', "[[1],[null]]" } do
    test.equal(netlab.json.encode((netlab.json.decode(text))), text)
  end
  test.equal(netlab.json.decode('{"x":null}').x, netlab.null)
end)

test.case("json: bad text is nil, err with line and column", function()
  local err = test.fails(netlab.json.decode '{\n  "a": }')
  test.equal(err.code, "invalid")
  test.contains(err.message, "line 2")
  test.contains(tostring(err), "line 2")
  test.fails(netlab.json.decode(("["):rep(100)))
  test.fails(netlab.json.decode "")
end)

test.case("json: what is no data raises with its path", function()
  test.raises(function()
    netlab.json.encode { a = { b = print } }
  end, "a.b: a function is not data")
  test.raises(function()
    netlab.json.encode { 1, nil, 3, x = 1 }
  end, "not both")
  test.raises(function()
    netlab.json.encode(0 / 0)
  end, "NaN")
  local loop = {}
  loop.loop = loop
  test.raises(function()
    netlab.json.encode(loop)
  end, "cycle")
end)

test.case("yaml: decodes the core schema", function()
  test.equal(
    netlab.yaml.decode [[
a: 1
b: [x, "2", 2.5, true, null, ~]
c:
  - d: 0x10
    e: 'yes'
    f: yes
text: |
  two
  lines
]],
    {
      a = 1,
      b = { "x", "2", 2.5, true, netlab.null, netlab.null },
      c = { { d = 16, e = "yes", f = "yes" } },
      text = "two\nlines\n",
    }
  )
end)

test.case("yaml: anchors are expanded, several documents are told apart", function()
  test.equal(netlab.yaml.decode "a: &x { k: 1 }\nb: *x\n", { a = { k = 1 }, b = { k = 1 } })
  test.contains(test.fails(netlab.yaml.decode "a: 1\n---\nb: 2\n").message, "decode_all")
  test.equal(netlab.yaml.decode_all "a: 1\n---\nb: 2\n", { { a = 1 }, { b = 2 } })
end)

test.case("yaml: bombs and broken text are errors", function()
  local bomb = { "a0: &a0 [1,1,1,1,1,1,1,1,1,1]" }
  for level = 1, 9 do
    local last = ("*a%d"):format(level - 1)
    bomb[#bomb + 1] = ("a%d: &a%d [%s]"):format(level, level, (last .. ","):rep(9) .. last)
  end
  local _, err = netlab.yaml.decode(table.concat(bomb, "\n"))
  test.equal(err.code, "limit")
  test.equal(select(2, netlab.yaml.decode(("["):rep(5000))).code, "limit")
  test.equal(select(2, netlab.yaml.decode(("- "):rep(500) .. "x")).code, "limit")
  test.contains(select(2, netlab.yaml.decode "a: 1\na: 2").message, "twice")
  test.contains(select(2, netlab.yaml.decode "a: [1").message, "line")
  test.contains(select(2, netlab.yaml.decode "b: *nowhere").message, "line")
end)

test.case("yaml: what is encoded decodes to the same", function()
  local value = {
    name = "talos-1",
    words = { "yes", "no", "null", "1.5", "", " lead", "a: b", "#c", "multi\nline\n", "~", "0x1f", "é" },
    empty = netlab.json.decode "[]",
    nested = { list = { { a = 1 }, { b = { true, false } } } },
    number = 0.1,
  }
  local text = netlab.yaml.encode(value)
  local back, err = netlab.yaml.decode(text)
  test.equal(err, nil)
  test.equal(back, value, text)
end)

test.case("template fills names and leaves ${…} alone", function()
  test.equal(netlab.template("a {{x}} {{ node.name }} ${net0/mac} {{n}}", { x = "1", node = { name = "t" }, n = 7 }), "a 1 t ${net0/mac} 7")
end)

test.case("template: a missing name raises and says where", function()
  local text = test.raises(function()
    netlab.template("ok\n{{nodes.name}}", { node = {} })
  end, "no value for {{nodes.name}}")
  test.contains(text, "line 2")
  test.matches(text, "values_test.lua:%d+:")
  test.raises(function()
    netlab.template("{{a", {})
  end, 'without "}}"')
  test.raises(function()
    netlab.template("{{a}}", { a = {} })
  end, "no value")
end)

test.case("err: makes and recognises errors", function()
  local err = netlab.err.new("not_found", "no such thing", "look")
  test.equal({ err.code, err.message, err.op, tostring(err) }, { "not_found", "no such thing", "look", "no such thing" })
  test.truthy(netlab.err.is(err, "not_found"))
  test.falsy(netlab.err.is(err, "timeout"))
  test.falsy(netlab.err.is("text", "timeout"))
  test.raises(function()
    netlab.err.new("not_fund", "x")
  end, 'did you mean "not_found"?')
end)

test.case("a wrong argument raises at the caller's line and says what is expected", function()
  local text = test.raises(function()
    netlab.json.decode(5)
  end, "netlab.json.decode: the text must be a string, got number 5")
  test.matches(text, "^[^:]*values_test%.lua:%d+: ")
end)
