-- boot.assets and talos.profile: options, mistakes, and what a boot service makes of them, without a network.
local netlab = require "netlab"
local test = require "netlab.test"

local sha = ("a"):rep(64)

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("good options need no network", function()
  local checked = test.check([[
    local netlab = require "netlab"
    local assets = netlab.boot.assets {
      folder = "files", concurrency = 2, refresh = "1h", retry = "1s", stall = "10s", keep_free = "1GiB", verify = true,
      files = {
        ["debian/linux"] = "https://example.org/linux",
        ["debian/initrd.gz"] = { url = "http://example.org/initrd.gz", sha256 = "]] .. sha .. [[" },
        ["debian/other"] = { url = "http://example.org/other", checksums = "http://example.org/SHA256SUMS" },
        ["talos/vmlinuz"] = { url = "oci://ghcr.io/example/talos:v1#vmlinuz", arch = "arm64" },
      },
    }
    netlab.boot.service {
      assets = assets,
      profiles = {
        debian = { kernel = "debian/linux", initrd = { "debian/initrd.gz" } },
        remote = { kernel = "https://example.org/vmlinuz", initrd = { "https://example.org/initrd?x=${uuid}" } },
        talos = netlab.talos.profile {
          version = "v1.11.3", extensions = { "siderolabs/tailscale" }, kernel_args = { "vga=791" }, arch = { "arm64" },
          overlay = { name = "rpi_generic", image = "siderolabs/sbc-raspberrypi", options = { data = "x" } },
          checksums = { ["kernel-arm64"] = "sha256:]] .. sha .. [[" }, config = "worker.yaml",
        },
        secure = netlab.talos.profile { version = "v1.12.0-beta.1", secureboot = true, schematic = "]] .. sha .. [[" },
      },
      groups = { { profile = "debian" } },
    }
  ]])
  test.equal(checked.messages, {})
  test.equal({ checked.graph[1].kind, checked.graph[1].name }, { "boot.assets", "assets" })
end)

test.case("mistakes, each at its line", function()
  check([[
netlab.boot.assets { files = {
  ["../a"] = "https://example.org/a",
} }
netlab.boot.assets { files = {
  b = {
    url = "https://example.org/b",
    sha256 = "123",
  },
} }
netlab.boot.assets { files = {
  c = "ftp://example.org/c",
} }
netlab.boot.assets { files = {
  d = { url = "oci://ghcr.io/Example#d" },
} }
netlab.boot.assets { files = {
  e = { url = "https://example.org/e", sha265 = "" },
} }]], {
    'recipe.lua:3: boot.assets.files.../a: "../a" cannot be a file\'s name in the assets folder',
    'recipe.lua:8: boot.assets.files.b.sha256: a sha256 checksum has 64 hexadecimal digits, got "123"',
    'recipe.lua:12: boot.assets.files.c: "ftp://example.org/c" cannot be fetched: http://, https:// and oci:// addresses can',
    'recipe.lua:15: boot.assets.files.d.url: "oci://ghcr.io/Example#d" has a malformed repository name: write oci://registry/repository:tag#file',
    'recipe.lua:18: boot.assets.files.e: unknown option "sha265" (did you mean "sha256"?)',
  })
end)

test.case("mistakes of a Talos profile", function()
  local function talos(options, message)
    check("netlab.talos.profile { " .. options .. " }", { "recipe.lua:2: talos.profile" .. message })
  end
  talos('version = "1.11.3"', '.version: expected a release such as "v1.11.3", got "1.11.3"')
  talos('version = "v1.11.3/../x"', '.version: expected a release such as "v1.11.3", got "v1.11.3/../x"')
  talos('version = "v1.11.3", extensions = { "tailscale" }',
    '.extensions[1]: expected an extension such as "siderolabs/tailscale", got "tailscale"')
  talos('version = "v1.11.3", kernel_args = { "talos.config={{boot_url}}/config" }',
    ".kernel_args[1]: the factory puts kernel_args into the image, so that nothing can be filled in: write it in args")
  talos('version = "v1.11.3", uki = true, args = { "x" }',
    ".args: nothing can be added to a unified image on the way: write it in kernel_args")
  talos('version = "v1.11.3", schematic = "123"', ".schematic: expected the id of a schematic, 64 hexadecimal digits")
  talos('version = "v1.11.3", schematic = "' .. sha .. '", extensions = { "a/b" }',
    ".extensions: the schematic says that already: give one of the two")
  talos('version = "v1.11.3", checksums = { ["kernel-amd46"] = "' .. sha .. '" }',
    '.checksums.kernel-amd46: no such file is fetched (did you mean "kernel-amd64"?)')
  talos('version = "v1.11.3", arch = { "sparc" }', '.arch[1]: expected "amd64" or "arm64", got string "sparc"')
end)
