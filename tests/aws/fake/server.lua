-- The stand-in's front: checks the signature, refuses as often as it is told, and gives the request to its service.
local netlab = require "netlab"
local core = require "fake.core"
local ec2 = require "fake.ec2"
local identity = require "fake.identity"
local others = require "fake.others"
local s3 = require "fake.s3"
local signature = require "fake.signature"

local server = {}

local function failure(world, service, e)
  local id = core.id(world, "req")
  if service == "json" or service == "scheduler" then
    return { status = e.status, content_type = "application/x-amz-json-1.1", headers = { ["x-amzn-RequestId"] = id },
      body = netlab.json.encode { __type = "com.amazonaws.test#" .. e.code, message = e.message } }
  end
  local code, message = core.escape(e.code), core.escape(e.message)
  local body
  if service == "ec2" then
    body = ("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>"):format(code, message, id)
  elseif service == "s3" then
    body = ("<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>"):format(code, message, id)
  else
    body = ("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>"):format(code, message, id)
  end
  return { status = e.status, content_type = "text/xml", body = '<?xml version="1.0" encoding="UTF-8"?>\n' .. body }
end

local throttles = { ec2 = { "RequestLimitExceeded", 503 }, s3 = { "SlowDown", 503 }, json = { "ThrottlingException", 400 }, scheduler = { "ThrottlingException", 429 } }

-- Where a permission has another prefix than the signature.
local permissions = { tagging = "tag" }

local function answer(world, request)
  local unsigned = identity.answer(world, request)
  if unsigned then
    return unsigned
  end
  local style = "query"
  local target = request.headers["x-amz-target"]
  local scope = (request.headers.authorization or ""):match "Credential=[^/]+/%d+/[^/]+/([^/]+)/"
  if target then
    style = "json"
  elseif scope == "ec2" or scope == "s3" or scope == "scheduler" then
    style = scope
  end
  local lost = false
  local ok, out = pcall(function()
    if world.stopped then
      core.refuse("ServiceUnavailable", "the stand-in is told to be silent", 503)
    end
    local from = signature.check(world, request)
    local c = { world = world, region = core.region(world, from.region), key = from.key }
    local p, action
    if style == "ec2" or style == "query" then
      p = core.form(request.body or "")
      action = p.Action
    else
      action = target and target:match "%.(.*)$" or request.method .. " " .. request.path
    end
    world.calls[#world.calls + 1] = { service = from.service, action = action, region = from.region, key = from.key, at = core.now(world) }
    if world.throttle > 0 and core.random(world) < world.throttle then
      local how = throttles[style] or { "Throttling", 400 }
      core.refuse(how[1], "Request limit exceeded.", how[2])
    end
    local full = (permissions[from.service] or from.service) .. ":" .. tostring(action)
    if world.denied[full] then
      if style == "ec2" then
        core.refuse("UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf", 403)
      end
      core.refuse(style == "json" and "AccessDeniedException" or "AccessDenied", ("User: arn:aws:iam::%s:user/test is not authorized to perform: %s on resource: *"):format(core.account, full), style == "json" and 400 or 403)
    end
    -- Carried out, and the answer lost on the way.
    lost = world.lose > 0 and core.random(world) < world.lose
    if style == "ec2" then
      if p.Version ~= "2016-11-15" then
        core.refuse("InvalidParameterValue", "no such version")
      end
      c.p, c.action = p, action
      return { status = 200, content_type = "text/xml", body = ec2.answer(c) }
    elseif style == "query" then
      local service = others.query[from.service] or others.query[from.service .. " " .. tostring(p.Version)] or core.refuse("InvalidAction", "no such service")
      c.p, c.action = p, action
      ec2.settle(c)
      local handler = service[1][action] or core.refuse("InvalidAction", "Could not find operation " .. tostring(action))
      local result = handler(c)
      local inner = result ~= "" and ("<%sResult>%s</%sResult>"):format(action, core.xml(result, "member"), action) or ""
      return { status = 200, content_type = "text/xml", body = ('<%sResponse xmlns="%s">%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>'):format(action, service[2], inner, core.id(world, "req"), action) }
    elseif style == "json" then
      local handler = others.json[target] or core.refuse("UnknownOperationException", target)
      local input = netlab.json.decode(request.body)
      if not input then
        core.refuse("SerializationException", "no JSON")
      end
      return { status = 200, content_type = "application/x-amz-json-1.1", body = netlab.json.encode(handler(c, input)) }
    elseif style == "scheduler" then
      return { status = 200, content_type = "application/json", body = netlab.json.encode(others.schedule(c, request)) }
    end
    return s3.answer(c, request)
  end)
  if not ok then
    if type(out) == "table" and out.fake then
      return failure(world, style, out)
    end
    netlab.log.error("the stand-in failed: " .. tostring(type(out) == "table" and out.message or out))
    return failure(world, style, { code = "InternalFailure", message = "the stand-in failed: " .. tostring(out), status = 500 })
  end
  if lost then
    return failure(world, style, { code = "InternalError", message = "An internal error has occurred", status = 500 })
  end
  return out
end

---An entry for http.server's `serve`.
function server.route(world)
  return netlab.http.route("/", function(request)
    request.query = core.form(request.query)
    return answer(world, request)
  end)
end

---What is there, by kind: { "region kind id tag", … } of everything that has the lab's tag, or everything.
function server.list(world, lab)
  local out = {}
  for name, region in pairs(world.regions) do
    ec2.settle { world = world, region = region, p = {} }
    for id, r in pairs(region.all) do
      local gone = r._kind == "instance" and r.instanceState.name == "terminated" or r._kind == "nat" and r.state == "deleted"
      if not gone and (not lab or core.tag(r, "netlab:lab") == lab) then
        out[#out + 1] = ("%s %s %s"):format(r._kind, core.tag(r, "netlab:name") or core.tag(r, "Name") or "-", lab and "" or id)
      end
    end
    for group_name, g in pairs(region.groups or {}) do
      local mine = not lab
      for _, t in ipairs(g.Tags) do mine = mine or (t.Key == "netlab:lab" and t.Value == lab) end
      if mine and not g._deleting then out[#out + 1] = "asg " .. group_name end
    end
  end
  for _, kind in ipairs { "roles", "profiles" } do
    for name, r in pairs(world.iam[kind]) do
      local mine = not lab
      for _, t in ipairs(r.Tags) do mine = mine or (t.Key == "netlab:lab" and t.Value == lab) end
      if mine then out[#out + 1] = kind .. " " .. name end
    end
  end
  for name, b in pairs(world.buckets) do
    local mine = not lab
    for _, t in ipairs(b.tags) do mine = mine or (t[1] == "netlab:lab" and t[2] == lab) end
    if mine then out[#out + 1] = "bucket " .. name end
  end
  for name in pairs(world.schedules) do
    if not lab or name:find("netlab-" .. lab, 1, true) == 1 then out[#out + 1] = "schedule " .. name end
  end
  table.sort(out)
  return out
end

return server
