-- registry.proxy and registry.mirrors: options, mistakes, and what nodes are told.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options", function()
  local checked = test.check [[
    local netlab = require "netlab"
    local lan = netlab.network { interface = "lo", address = "127.0.0.1/8" }
    netlab.registry.proxy {
      cache = { path = "registry", max_size = "20GiB", keep_free = "1GiB" },
      upstreams = {
        ["docker.io"] = { listen = lan:at(5050), tags = "1h", latest = "5m", mirrors = { "https://mirror.gcr.io" } },
        ["registry.k8s.io"] = { listen = { lan:at(5054), "127.0.0.2:5054" } },
        ["10.0.0.9:5000"] = { url = "http://10.0.0.9:5000", verify = false },
      },
      listen = lan:at(5000), allow = { "*.example.org" }, hosted = "lab",
    }
  ]]
  test.equal(checked.messages, {})
  test.equal(checked.graph[2].endpoints,
    { "tcp 127.0.0.1:5050", "tcp 127.0.0.1:5054", "tcp 127.0.0.2:5054", "tcp 127.0.0.1:5000" })
  test.equal(checked.graph[2].name, "registry")
end)

test.case("bad options, each at its line", function()
  check([[
netlab.registry.proxy { listen = "127.0.0.1:5000", upstreams = { ["ghcr.io"] = { tag = "1h" } } }
netlab.registry.proxy { upstreams = { ["ghcr.io"] = { listen = "127.0.0.1:5003" } }, hosted = "lab" }
netlab.registry.proxy { upstreams = { ["ghcr.io"] = { listen = "127.0.0.1:5005", credentials = { username = "me" } } } }
netlab.registry.proxy { upstreams = { ["ghcr.io"] = { listen = "127.0.0.1:5006", credentials = { username = "me", password_env = "NO_SUCH_VARIABLE" } } } }
netlab.registry.proxy { upstreams = { ["ghcr.io"] = { listen = "127.0.0.1:5007" } }, cache = { max_size = 20 } }]], {
    'recipe.lua:2: registry.proxy.upstreams.ghcr.io: unknown option "tag" (did you mean "tags"?)',
    "recipe.lua:3: registry.proxy.hosted: it needs the port for all: give listen",
    'recipe.lua:4: registry.proxy.upstreams.ghcr.io.credentials: one of "password_file" and "password_env" is needed',
    "recipe.lua:5: registry.proxy.upstreams.ghcr.io.credentials.password_env: the environment has no NO_SUCH_VARIABLE",
    'recipe.lua:6: registry.proxy.cache.max_size: expected a size such as "20GiB", got number 20',
  })
end)

test.case("what does not fit together", function()
  check([[
netlab.registry.proxy { upstreams = { ["docker.io"] = {} } }
netlab.registry.proxy { listen = "127.0.0.1:5001" }
netlab.registry.proxy { listen = "127.0.0.1:5002", upstreams = { ["docker io"] = {} } }]], {
    "recipe.lua:2: registry.proxy.listen: nothing says where to listen",
    "recipe.lua:3: registry.proxy.upstreams: there is no upstream",
    'recipe.lua:4: registry.proxy.upstreams.docker io: "docker io" is no registry\'s name',
  })
  check('netlab.registry.mirrors({})',
    { "recipe.lua:2: netlab.registry.mirrors: the first argument is what netlab.registry.proxy returned" })
  check([[
local proxy = netlab.registry.proxy { upstreams = { ["docker.io"] = { listen = "0.0.0.0:5050" } } }
netlab.registry.mirrors(proxy)]],
    { "recipe.lua:3: netlab.registry.mirrors: the proxy listens on every address: say by which one nodes reach it, with address" })
end)

test.case("what is fetched at the start: the images of a Talos release", function()
  local proxy = [[
netlab.registry.proxy { upstreams = { ["ghcr.io"] = {}, ["registry.k8s.io"] = {}, ["gcr.io"] = {} },
  listen = "127.0.0.1:5000", prefetch = { %s } }]]
  check(proxy:format 'talos = "v1.11.5", kubernetes = "1.33.6", platforms = { "linux/arm64" }', {})
  check(proxy:format 'kubernetes = "v1.33.6"',
    { "recipe.lua:3: registry.proxy.prefetch.kubernetes: it goes with a release of Talos: give talos" })
  check(proxy:format 'talos = "latest"',
    { 'recipe.lua:3: registry.proxy.prefetch.talos: "latest" is no version of Talos such as v1.11.5' })
  check(proxy:format 'platforms = { "linux/arm64" }',
    { 'recipe.lua:3: registry.proxy.prefetch: one of "images", "files" and "talos" is needed' })
  -- From 1.14 on the installer is of a registry that this proxy does not have.
  check(proxy:format 'talos = "v1.14.0-rc.1"', { "recipe.lua:3: registry.proxy.prefetch: factory.talos.dev/metal-installer/" ..
    "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.14.0-rc.1 is of no registry of this proxy" })
end)

test.case("what nodes are told", function()
  -- A false assertion is a mistake of the recipe.
  check([=[
local proxy = netlab.registry.proxy {
  upstreams = { ["docker.io"] = { listen = "127.0.0.1:5050" }, ["quay.io"] = {} },
  listen = "127.0.0.1:5000",
}
local mirrors = netlab.registry.mirrors(proxy)
assert(mirrors.urls["docker.io"] == "http://127.0.0.1:5050")
assert(mirrors.urls["quay.io"] == "http://127.0.0.1:5000/v2/quay.io")
assert(mirrors.containerd["quay.io/hosts.toml"] ==
  'server = "https://quay.io"\n\n[host."http://127.0.0.1:5000/v2/quay.io"]\n' ..
  '  capabilities = ["pull", "resolve"]\n  override_path = true\n')
local docker = netlab.json.decode(mirrors.docker)
assert(docker["registry-mirrors"][1] == "http://127.0.0.1:5050")
assert(docker["insecure-registries"][1] == "127.0.0.1:5000" and docker["insecure-registries"][2] == "127.0.0.1:5050")
local talos = netlab.yaml.decode(mirrors.talos)
assert(talos.machine.registries.mirrors["docker.io"].endpoints[1] == "http://127.0.0.1:5050")
assert(talos.machine.registries.mirrors["quay.io"].overridePath == true)
assert(mirrors.talos_documents:find("kind: RegistryMirrorConfig", 1, true))
assert(netlab.registry.mirrors(proxy, { address = "10.0.0.2" }).urls["docker.io"] == "http://10.0.0.2:5050")]=], {})
end)
