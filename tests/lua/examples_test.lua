-- Every recipe of examples/ is free of mistakes, and its --help works.
local netlab = require "netlab"
local test = require "netlab.test"

local folder = "../../examples"

for _, entry in ipairs(test.truthy(netlab.fs.list(folder))) do
  if entry.name:match "%.lua$" then
    test.case("example " .. entry.name, function()
      local source = test.truthy(netlab.fs.read(folder .. "/" .. entry.name))
      local checked = test.check(source, { "--state", test.folder() }, netlab.fs.join(folder, entry.name))
      test.equal(checked.messages, {})
      test.truthy(#checked.graph > 3)
    end)
  end
end
