-- What cannot be changed where it is: which resources have to be made anew with it, and their going. What goes first
-- and is made again is found missing by the next scan, so that a run that ends between the two is gone on with.
local netlab = require "netlab"
local kinds = require "awslab.kinds"

local replace = {}

---Marks the steps that stand on one that is replaced: a subnet takes its interfaces along, a VPC all that is in it.
function replace.spread(steps)
  local by_key = {}
  for _, step in ipairs(steps) do
    by_key[step.resource.key] = step
  end
  local again = true
  while again do
    again = false
    for _, step in ipairs(steps) do
      local kind = kinds[step.resource.kind]
      if kind.bound and (step.action == "keep" or step.action == "change") then
        for _, key in ipairs(kind.bound(step.resource)) do
          local base = by_key[key]
          if base and base.action == "replace" and not kinds[base.resource.kind].before then
            step.action, again = "replace", true
            step.differences[#step.differences + 1] = { field = "stands on", have = key, want = "the new one", replace = true }
            break
          end
        end
      end
    end
  end
end

-- What has to go before it is made again.
local function doomed(plan)
  local out = {}
  for _, step in ipairs(plan.steps) do
    if step.action == "replace" and not kinds[step.resource.kind].before then out[#out + 1] = step end
  end
  return out
end

---Without leave, deletes nothing: the first of them is told, with what it is and should be.
function replace.refuse(plan, allowed)
  local steps, ids = doomed(plan), {}
  if #steps == 0 then
    return
  elseif allowed then
    -- Nodes of an evening would lose the ground: what is not of this plan is not this plan's to end.
    for _, step in ipairs(steps) do
      local raw = plan.run.live[step.resource.key]
      ids[raw[kinds[step.resource.kind].id]] = true
    end
    for key, raw in pairs(plan.run.live) do
      if key:find "^network_interface/" and kinds.tag_map(raw)["netlab:session"] and (ids[raw.subnet_id] or ids[raw.vpc_id]) and not ids[raw.network_interface_id] then
        error(netlab.err.new("conflict", ("%s is in what would be replaced: end the session first (teardown.lua --session)"):format(key), "awslab"), 0)
      end
    end
    return
  end
  local words, names = {}, {}
  for i, d in ipairs(steps[1].differences) do
    words[i] = ("%s is %s and should be %s"):format(d.field, d.have, d.want)
  end
  for i, step in ipairs(steps) do
    names[i] = step.resource.key
  end
  error(netlab.err.new("conflict", ("%s cannot be changed where it is (%s): put the declaration back, or allow it to be deleted and made again (replace = true, --replace): %s"):format(
    steps[1].resource.key, table.concat(words, ", "), table.concat(names, ", ")), "awslab"), 0)
end

---Deletes what is to be made again. Returns whether there was something; raises when one cannot go.
function replace.clear(run, plan, tell)
  local found, ids = {}, {}
  for _, step in ipairs(doomed(plan)) do
    local word, raw = step.resource.kind, run.live[step.resource.key]
    if raw then
      found[word] = found[word] or {}
      table.insert(found[word], raw)
      ids[raw[kinds[word].id]] = true
    end
  end
  if not next(ids) then
    return false
  end
  -- A group ends its instances; they hold the interfaces until they have ended.
  for _, raw in ipairs(run.found.instance or {}) do
    for _, tag in ipairs(raw.tags or {}) do
      if tag.key == "aws:autoscaling:groupName" and ids[tag.value] then
        found.instance = found.instance or {}
        table.insert(found.instance, raw)
      end
    end
  end
  local failed = run:teardown(found, tell)
  if failed[1] then
    error(failed[1].err, 0)
  end
  return true
end

---Gives way to the new one: the old one has its name no longer, and goes when nothing needs it.
function replace.retire(run, raw, kind)
  run:call("ec2", "create_tags", { resources = { raw[kind.id] }, tags = { ["netlab:replaced"] = "yes" } })
end

---Deletes what has given way, now or in an earlier run.
function replace.sweep(run, tell)
  for _, old in ipairs(run.replaced) do
    run:remove(old.word, old.raw, tell)
  end
end

return replace
