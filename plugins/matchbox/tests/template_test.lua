-- Go's text/template as the plugin has it: what it makes, what it refuses and where, and that it ends.
local netlab = require "netlab"
local test = require "netlab.test"

netlab.plugin "matchbox"
local template = require "matchbox.template"

local data = assert(netlab.json.decode [[{
  "name": "node1", "empty": "", "yes": true, "no": false, "null": null, "n": 3, "half": 0.5, "big": 1000000, "six": 123456,
  "small": 0.00001, "negative": -7.25, "html": "<a href='x'>&\"</a>", "path with": "spaced",
  "list": ["a", "b", "c"], "none": [], "nothing": {}, "mixed": [1, true, null, "x"],
  "etcd": { "name": "e1", "peers": { "b": "2", "a": "1" }, "ports": [2379, 2380] },
  "nodes": [ { "name": "n1", "ip": "10.0.0.1" }, { "name": "n2", "ip": "10.0.0.2" } ]
}]])

local function render(text)
  local parsed, why = template.parse(text, "t")
  if not parsed then
    return nil, why
  end
  return template.execute(parsed, data)
end

local good = {
  { "plain {text}", "plain {text}" },
  { "{{.name}}", "node1" },
  { "{{ .name }}-{{.etcd.name}}", "node1-e1" },
  { "{{.empty}}|{{.yes}}|{{.no}}|{{.null}}", "|true|false|<no value>" },
  -- Numbers are float64.
  { "{{.n}} {{.half}} {{.big}} {{.six}} {{.small}} {{.negative}}", "3 0.5 1e+06 123456 1e-05 -7.25" },
  { "{{.list}} {{.none}} {{.etcd.peers}} {{.mixed}}", "[a b c] [] map[a:1 b:2] [1 true <nil> x]" },
  -- White space and comments.
  { "a  {{- .name -}}  \n b", "anode1b" },
  { "a {{/* a comment */}} b", "a  b" },
  { "a {{- /* a comment */ -}} b", "ab" },
  { "{{.n -}}\n\n  x", "3x" },
  { "{{- 3 -}}", "3" },
  { "{{-3}}", "-3" },
  -- if, else, with, range.
  { "{{if .yes}}y{{else}}n{{end}}{{if .no}}y{{else}}n{{end}}", "yn" },
  { "{{if .empty}}a{{else if .none}}b{{else if .n}}c{{else}}d{{end}}", "c" },
  { "{{if .nothing}}a{{end}}{{if .null}}b{{end}}{{if 0}}c{{end}}{{if .list}}d{{end}}", "d" },
  { "{{with .etcd}}{{.name}} of {{$.name}}{{end}}", "e1 of node1" },
  { "{{with .empty}}a{{else}}{{.name}}{{end}}", "node1" },
  { "{{with .empty}}a{{else with .n}}{{.}}{{end}}", "3" },
  { "{{with $x := .etcd.name}}{{$x}}{{end}}", "e1" },
  { "{{range .list}}<{{.}}>{{end}}", "<a><b><c>" },
  { "{{range $i, $e := .list}}{{$i}}={{$e}} {{end}}", "0=a 1=b 2=c " },
  { "{{range $k, $v := .etcd.peers}}{{$k}}{{$v}}{{end}}", "a1b2" },
  { "{{range $e := .nodes}}{{$e.name}}={{$e.ip}},{{end}}", "n1=10.0.0.1,n2=10.0.0.2," },
  { "{{range .none}}x{{else}}none{{end}}{{range .null}}x{{else}}nil{{end}}", "nonenil" },
  { "{{range .list}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac" },
  { "{{range .list}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a" },
  { "{{range 3}}{{.}}{{end}}", "012" },
  { "{{range .nodes}}\n- {{.name}}\n{{- end}}", "\n- n1\n- n2" },
  -- Variables.
  { "{{$x := .n}}{{$x}}{{$x = .name}}{{$x}}", "3node1" },
  { "{{$x := 1}}{{if .yes}}{{$x = 2}}{{$y := 3}}{{end}}{{$x}}", "2" },
  { "{{$last := \"\"}}{{range .list}}{{$last = .}}{{end}}{{$last}}", "c" },
  { "{{$.name}}{{range .list}}{{$.n}}{{end}}", "node1333" },
  -- Pipelines and functions.
  { "{{.name | printf \"%s!\"}}", "node1!" },
  { "{{printf \"%s-%v %5.1f|%-4s|%04d|%q|%t\" .name .n .half \"ab\" 7 .name .yes}}", "node1-3   0.5|ab  |0007|\"node1\"|true" },
  { "{{printf \"%d\" .n}} {{printf \"%d %s\" 1}} {{printf \"%s\" .name .n}}", "%!d(float64=3) 1 %!s(MISSING) node1%!(EXTRA float64=3)" },
  { "{{printf \"%x %X %c %% %b %o %e %T\" \"hi\" 255 65 5 8 .half .list}}", "6869 FF A % 101 10 5.000000e-01 []interface {}" },
  { "{{len .list}}{{len .name}}{{len .etcd.peers}}{{len .none}}", "3520" },
  { "{{index .list 1}} {{index .etcd.peers \"a\"}} {{index .nodes 1 \"ip\"}} {{index .etcd \"missing\"}}", "b 1 10.0.0.2 <no value>" },
  { "{{index . \"path with\"}}", "spaced" },
  { "{{slice .name 1 3}} {{slice .list 1}} {{slice .list 3}}", "od [b c] []" },
  { "{{eq .name \"node1\"}} {{eq .n 3.0}} {{eq .name \"a\" \"node1\"}} {{ne .name \"x\"}} {{eq .null nil}}", "true true true true true" },
  { "{{lt .n 4.0}} {{le .n 3.0}} {{gt .n 3.0}} {{ge \"b\" \"a\"}} {{lt 1 2}}", "true true false true true" },
  { "{{and .yes .name}} {{and .empty .missing}}|{{or .empty .name}} {{or .name .missing}} {{not .no}}", "node1 |node1 node1 true" },
  { "{{if and .yes (not .no) (or .empty .name)}}y{{end}}", "y" },
  { "{{.no | or .empty}} {{.name | and .yes}}", "false node1" },
  { "{{html .html}}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;" },
  { "{{urlquery \"a b&c=ü\"}} {{js \"it's <b>\"}}", "a+b%26c%3D%C3%BC it\\'s \\u003Cb\\u003E" },
  { "{{print \"a\" 1 2 \"b\"}} {{println \"x\" 1}}", "a1 2b x 1\n" },
  { "{{(index .nodes 0).name}}", "n1" },
  { "{{\"q\\t\\\"\\u00fc\"}}{{`raw \\n`}}{{'A'}}{{0x10}}{{1_000}}{{010}}", "q\t\"üraw \\n651610008" },
  -- Templates of the same file.
  { "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .name}}{{template \"t\" .n}}", "<node1><3>" },
  { "{{block \"b\" .etcd}}{{.name}}{{end}}", "e1" },
}

test.case("what templates make", function()
  for _, case in ipairs(good) do
    if case[2] then
      local got, why = render(case[1])
      test.equal(got, case[2], case[1] .. (why and ": " .. why or ""))
    end
  end
end)

test.case("a value as a whole: Go's map", function()
  test.equal(template.execute(template.parse("{{.}}", "t"), { b = 1, a = { "x" } }), "map[a:[x] b:1]")
end)

local bad = {
  -- Missing keys are errors, with the line.
  { "{{.missing}}", "t:1: no value for .missing" },
  { "a\nb\n{{.etcd.missing}}", "t:3: no value for .missing" },
  { "{{\n\n.missing}}", "t:3: no value for .missing" },
  { "{{range .nodes}}\n{{.mac}}{{end}}", "t:2: no value for .mac" },
  { "{{.name.first}}", "a value of type string has no field .first" },
  { "{{.null.x}}", "nil has no field .x" },
  { "{{.list.x}}", "[]interface {} has no field .x" },
  -- Go's kinds.
  { "{{if eq .n 3}}x{{end}}", "incompatible types for comparison: float64 and int" },
  { "{{lt .name 1}}", "incompatible types" },
  { "{{eq .list .list}}", "cannot be compared" },
  { "{{lt .yes .no}}", "cannot be ordered" },
  { "{{index .list 7}}", "index out of range: 7 of 3" },
  { "{{index .list .n}}", "cannot index slice/array with type float64" },
  { "{{index .name \"x\"}}", "cannot index" },
  { "{{index .null 1}}", "index of untyped nil" },
  { "{{slice .name 3 1}}", "invalid slice index: 3 > 1" },
  { "{{len .n}}", "len of type float64" },
  { "{{not}}", "wrong number of args for not: want 1, got 0" },
  { "{{range .name}}x{{end}}", "range can't iterate over a value of type string" },
  { "{{.name 1}}", "only functions take arguments" },
  { "{{1 | .name}}", "only functions take arguments" },
  { "{{nil}}", "nil is not a command" },
  { "{{call .name}}", "non-function of type string" },
  { "{{template \"x\"}}", 'template "x" not defined' },
  -- What is no template.
  { "{{", "t:1: an action {{ is not closed by }}" },
  { "\n{{.name", "t:2: an action {{ is not closed by }}" },
  { "{{}}", "an action without a command" },
  { "{{if .yes}}", "t:1: {{if}} has no {{end}}" },
  { "{{end}}", "unexpected {{end}}" },
  { "{{else}}", "unexpected {{else}}" },
  { "{{if}}x{{end}}", "a value is missing" },
  { "{{if .yes}}{{else}}{{else}}{{end}}", "two {{else}}" },
  { "{{sha256 .name}}", 'function "sha256" not defined' },
  { "{{default \"x\" .name}}", 'function "default" not defined' },
  { "{{$x}}", 'undefined variable "$x"' },
  { "{{$x = 1}}", 'undefined variable "$x"' },
  { "{{if .yes}}{{$x := 1}}{{end}}{{$x}}", 'undefined variable "$x"' },
  { "{{break}}", "{{break}} outside {{range}}" },
  { "{{\"open}}", "a string that does not end" },
  { "{{`open}}", "a raw string that does not end" },
  { "{{'ab'}}", "a character constant holds one character" },
  { "{{\"\\q\"}}", "a bad escape" },
  { "{{/* open", "a comment that does not end" },
  { "{{/* x */ .name}}", "a comment ends with */}}" },
  { "{{(.name}}", 'expected ")"' },
  { "{{.name)}}", "unexpected" },
  { "{{.name @}}", 'unexpected "@"' },
  { "{{1x}}", "bad number: 1x" },
  { "{{1 | 2}}", "a function belongs here" },
  { "{{range $a, $b, $c := .list}}{{end}}", "expected :=" },
  { "{{$a, $b := .list}}", 'undefined variable "$a"' },
  { "{{define \"x\"}}", "has no {{end}}" },
  { "{{.list.0}}", "unexpected" },
}

test.case("what templates refuse, with the line", function()
  for _, case in ipairs(bad) do
    local got, why = render(case[1])
    test.equal(got, nil, case[1])
    test.contains(why, case[2], case[1])
  end
end)

test.case("hostile templates end", { deadline = "60s" }, function()
  local levels = template.depth_limit + 1
  local hostile = {
    { ("{{if .yes}}"):rep(levels) .. ("{{end}}"):rep(levels), "nested deeper" },
    { ("{{with .etcd}}"):rep(levels), "nested deeper" },
    { "{{if .empty}}" .. ("{{else if .empty}}"):rep(levels) .. "{{end}}", "nested deeper" },
    { "{{" .. ("("):rep(5000) .. "1" .. (")"):rep(5000) .. "}}", "nested deeper" },
    { '{{define "t"}}{{template "t" .}}{{end}}{{template "t" .}}', "templates call one another deeper" },
    { '{{define "t"}}{{template "t" .}}{{template "t" .}}{{end}}{{template "t" .}}', "deeper" },
    { "{{range 1000000000}}x{{end}}", "steps" },
    { "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}", "steps" },
    { ("{{range $.list}}"):rep(60) .. ("{{end}}"):rep(60), "steps" },
    { '{{$x := "aaaaaaaaaaaaaaaa"}}{{range 100}}{{$x = print $x $x}}{{end}}', "MiB" },
    { '{{$x := "aaaaaaaaaaaaaaaa"}}{{range 100}}{{$x = printf "%s%s" $x $x}}{{end}}', "MiB" },
    { '{{$x := "<<<<<<<<<<<<<<<<"}}{{range 100}}{{$x = html $x}}{{$x = print $x $x}}{{end}}', "MiB" },
    { "{{range 100000}}" .. ("0123456789"):rep(1000) .. "{{end}}", "MiB" },
    { '{{printf "%99999999d" 1}}', "width or precision" },
    { '{{printf "%.99999999f" .half}}', "width or precision" },
    { '{{printf "%*d" 1000000 1}}', "not supported" },
    { ("{{.name}}"):rep(500000), "MiB" },
  }
  for _, case in ipairs(hostile) do
    local got, why = render(case[1])
    test.equal(got, nil, case[1]:sub(1, 60))
    test.contains(why, case[2], case[1]:sub(1, 60))
    netlab.sleep "0s"
  end
end)

test.case("bytes of any kind neither crash nor hang the reader", { deadline = "60s" }, function()
  local seeds = {}
  for _, list in ipairs { good, bad } do
    for _, case in ipairs(list) do
      seeds[#seeds + 1] = case[1]
    end
  end
  local pieces = { "{{", "}}", "-", " ", "|", "(", ")", ".", "$", ":=", "\"", "`", "'", "\\", "\0", "\255", "if ", "range ", "end", "else", "/*", "*/", ",", "0x", "9e9", "\n" }
  local state = 12345
  local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return math.floor(state / 65536) % n + 1
  end
  for round = 1, 4000 do
    local text = seeds[random(#seeds)]
    for _ = 1, random(4) do
      local at = random(#text + 1)
      text = text:sub(1, at - 1) .. pieces[random(#pieces)] .. text:sub(at + random(3) - 1)
    end
    local got, why = render(text)
    test.truthy(got or type(why) == "string" and why:find "^t:", text)
    if round % 100 == 0 then
      netlab.sleep "0s"
    end
  end
end)
