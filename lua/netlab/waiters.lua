-- Waits until what AWS makes or deletes is there or gone: client.ec2:wait("instance_running", { instance_ids = { id } }).
local netlab = require "netlab"
local names = require "netlab.names"

local waiters = {}

-- The texts at a path of lists and members, as in "reservations.instances.state.name".
local function values(answer, path)
  local here = { answer }
  for word in path:gmatch "[^.]+" do
    local below = {}
    for _, value in ipairs(here) do
      local got = type(value) == "table" and value[word]
      if type(got) == "table" and #got > 0 then
        for _, entry in ipairs(got) do below[#below + 1] = entry end
      elseif got ~= nil and got ~= false and not (type(got) == "table" and next(got) == nil) then
        below[#below + 1] = got
      end
    end
    here = below
  end
  return here
end

-- `action` is asked until every value at `path` is `want`; one of `never` ends the waiting, `reason` says why. With
-- `gone`, what AWS does not know any longer, or lists no more, is there already where one wants to be.
waiters.states = {
  ec2 = {
    instance_running = { action = "describe_instances", path = "reservations.instances.state.name", want = "running", never = { "shutting-down", "terminated", "stopping" }, reason = "reservations.instances.state_reason.message" },
    instance_stopped = { action = "describe_instances", path = "reservations.instances.state.name", want = "stopped", never = { "terminated" } },
    instance_terminated = { action = "describe_instances", path = "reservations.instances.state.name", want = "terminated", gone = true },
    nat_gateway_available = { action = "describe_nat_gateways", path = "nat_gateways.state", want = "available", never = { "failed", "deleting", "deleted" }, reason = "nat_gateways.failure_message" },
    nat_gateway_deleted = { action = "describe_nat_gateways", path = "nat_gateways.state", want = "deleted", gone = true },
    vpc_available = { action = "describe_vpcs", path = "vpcs.state", want = "available" },
    subnet_available = { action = "describe_subnets", path = "subnets.state", want = "available" },
    network_interface_available = { action = "describe_network_interfaces", path = "network_interfaces.status", want = "available" },
    volume_available = { action = "describe_volumes", path = "volumes.state", want = "available", never = { "error", "deleted" } },
    volume_deleted = { action = "describe_volumes", path = "volumes.state", want = "deleted", gone = true },
    snapshot_completed = { action = "describe_snapshots", path = "snapshots.state", want = "completed", never = { "error" } },
    image_available = { action = "describe_images", path = "images.state", want = "available", never = { "failed", "deregistered", "invalid", "error" }, reason = "images.state_reason.message" },
  },
  autoscaling = {
    group_in_service = { action = "describe_auto_scaling_groups", path = "auto_scaling_groups.instances.lifecycle_state", want = "InService" },
    group_deleted = { action = "describe_auto_scaling_groups", path = "auto_scaling_groups.auto_scaling_group_name", want = "", gone = true },
  },
  iam = {
    role_exists = { action = "get_role", path = "role.role_name" },
    instance_profile_exists = { action = "get_instance_profile", path = "instance_profile.instance_profile_name" },
  },
  s3 = {
    bucket_exists = { action = "get_bucket_location" },
    bucket_deleted = { action = "get_bucket_location", want = "", gone = true },
    object_exists = { action = "head_object" },
  },
}

-- true, or nil to go on, or nil, text when it will never be.
local function reached(state, answer)
  local found = state.path and values(answer, state.path) or { true }
  if #found == 0 then
    return state.gone
  end
  for _, value in ipairs(found) do
    for _, bad in ipairs(state.never or {}) do
      if value == bad then
        local why = state.reason and values(answer, state.reason)[1]
        return nil, ("it is %s%s"):format(bad, why and ": " .. why or "")
      end
    end
    if state.want and value ~= state.want then
      return nil
    end
  end
  return true
end

---The last answer, or nil and an error: timeout after `options.deadline` (default "15m"), refused when it will never
---be, or what AWS says. `options.pace` is the longest pause between two looks (default "5s"), `options.region` as in
---every call.
function waiters.wait(service, service_name, name, input, options)
  options = options or {}
  local known = waiters.states[service_name] or {}
  local state = known[name]
  if not state then
    error(("%s has no state %q to wait for: %s"):format(service_name, tostring(name), next(known) and names(known) or "none"), 3)
  end
  local pace = options.pace or "5s"
  local last, problem
  local ok, err = netlab.timeout(options.deadline or "15m", function()
    local pause = 8
    while true do
      local got, why = service[state.action](service, input, { region = options.region })
      if got then
        last = got
        local there, never = reached(state, got)
        if there then
          return true
        elseif never then
          problem = netlab.err.new("refused", ("%s: %s"):format((name:gsub("_", " ")), never), "aws")
          return true
        end
      elseif why.code == "not_found" and state.gone then
        last = {}
        return true
      elseif why.code ~= "not_found" and why.aws ~= "404" then
        problem = why
        return true
      end
      local number, unit = pace:match "^([%d.]+)(%a+)$"
      netlab.sleep(("%dus"):format(math.max(1000, math.floor(tonumber(number) / pause * ({ ms = 1e3, s = 1e6, m = 6e7, h = 3.6e9 })[unit]))))
      pause = math.max(1, pause / 1.5)
    end
  end)
  if problem then
    return nil, problem
  elseif not ok then
    return nil, netlab.err.new(err.code, ("%s: not reached within %s"):format((name:gsub("_", " ")), options.deadline or "15m"), "aws")
  end
  return last
end

return waiters
