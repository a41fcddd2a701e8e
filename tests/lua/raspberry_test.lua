-- boot.raspberry: its options, and a Pi's files over TFTP from a running recipe.
local netlab = require "netlab"
local test = require "netlab.test"

local function check(recipe, expected)
  test.equal(test.check('local netlab = require "netlab"\n' .. recipe).messages, expected)
end

test.case("bad options, each at its line", function()
  check([[
netlab.boot.raspberry {
  kernel = "pi/u-boot.bin",
  uefi = "RPI_EFI.fd",
}
netlab.boot.raspberry { initrd = { "initrd.gz" } }
netlab.boot.raspberry { firmware = 3, cmdline = "quiet" }
netlab.boot.service {
  profiles = { pi = { raspberry = { kernel = "kernel8.img" } } },
  groups = { { profile = "pi" } },
}
]], {
    "recipe.lua:4: boot.raspberry.uefi: a Pi starts either a kernel or UEFI firmware, not both",
    "recipe.lua:6: boot.raspberry.initrd: an initrd goes with a kernel, and none is given",
    'recipe.lua:7: boot.raspberry: unknown option "cmdline"',
    "recipe.lua:7: boot.raspberry.firmware: expected a string, got number 3",
    "recipe.lua:9: boot.service.profiles.pi.raspberry: expected what netlab.boot.raspberry returns, got table",
  })
end)

test.case("a Pi reads its configuration below its MAC and its name", { deadline = "30s" }, function()
  local running = test.run [[
    local boot = netlab.boot.service {
      nodes = netlab.nodes { { name = "pi4-1", mac = "dc:a6:32:20:30:40", labels = { disk = "sda" } } },
      profiles = {
        linux = { raspberry = netlab.boot.raspberry { kernel = "pi/kernel8.img", config = { "gpu_mem=16" },
                                                      args = { "root=/dev/{{disk|none}}", "quiet" } } },
      },
      groups = { { profile = "linux" } },
    }
    netlab.tftp.server { listen = "127.0.0.1:0", serve = { boot } }
  ]]
  local at = "tftp://" .. running:endpoint "tftp.server"
  test.equal(test.truthy(netlab.tftp.get(at .. "/11223344/cmdline.txt")).body, "root=/dev/none quiet\n")
  test.equal(test.truthy(netlab.tftp.get(at .. "/pi4-1/cmdline.txt")).body, "root=/dev/sda quiet\n")
  test.equal(test.truthy(netlab.tftp.get(at .. "/dc-a6-32-20-30-40/config.txt")).body,
    "arm_64bit=1\nenable_uart=1\n# pi4-1: profile linux\nkernel=kernel8.img\ngpu_mem=16\n")
  test.fails(netlab.tftp.get(at .. "/pi4-1/start4.elf"))
  test.equal(running:stop().exit_code, 0)
end)
