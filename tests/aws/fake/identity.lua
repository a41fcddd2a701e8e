-- Where credentials come from: sessions that STS gives, and what answers without a signature: web identities, the SSO
-- portal, the metadata of an instance and of a container.
local netlab = require "netlab"
local core = require "fake.core"

local identity = {}

---New keys of a role: { id, secret, token, ends }. Whoever signs with them is told to be `arn`.
function identity.issue(world, arn)
  local id = "ASIA" .. core.id(world, "x"):upper():gsub("%W", "")
  world.keys[id] = { secret = "secret-of-" .. id, token = "token-of-" .. id, arn = arn, session = true }
  return { id = id, secret = "secret-of-" .. id, token = "token-of-" .. id, ends = world.session_ends or "2099-01-01T00:00:00Z" }
end

---The same as STS writes it.
function identity.credentials(keys)
  return { AccessKeyId = keys.id, SecretAccessKey = keys.secret, SessionToken = keys.token, Expiration = keys.ends }
end

---Every session that was given is over.
function identity.expire(world)
  for _, key in pairs(world.keys) do
    key.expired = key.expired or key.session
  end
end

local function assumed(name)
  return ("arn:aws:sts::%s:assumed-role/%s/session"):format(core.account, name)
end

local function document(keys)
  return { status = 200, content_type = "application/json", body = netlab.json.encode {
    Code = "Success", AccessKeyId = keys.id, SecretAccessKey = keys.secret, Token = keys.token, Expiration = keys.ends } }
end

local metadata = "/latest/meta-data/iam/security-credentials/"

-- Only with a token that was asked for first (IMDSv2).
local function of_instance(world, request)
  if request.path == "/latest/api/token" then
    if request.method ~= "PUT" or not request.headers["x-aws-ec2-metadata-token-ttl-seconds"] then
      return { status = 400, body = "" }
    end
    return { status = 200, body = "metadata-token" }
  elseif request.headers["x-aws-ec2-metadata-token"] ~= "metadata-token" then
    return { status = 401, body = "" }
  elseif request.path == metadata and not world.no_role then
    return { status = 200, body = "lab-bastion" }
  elseif request.path == metadata .. "lab-bastion" then
    return document(identity.issue(world, assumed "lab-bastion"))
  end
  return { status = 404, body = "" }
end

local function of_container(world, request)
  if request.headers.authorization ~= "container-token" then
    return { status = 403, body = "" }
  end
  return document(identity.issue(world, assumed "task"))
end

local function of_portal(world, request)
  if request.headers["x-amz-sso_bearer_token"] ~= "portal-token" then
    return { status = 401, content_type = "application/json", body = netlab.json.encode { __type = "UnauthorizedException", message = "Session token not found or invalid" } }
  end
  local keys = identity.issue(world, assumed(request.query.role_name))
  return { status = 200, content_type = "application/json", body = netlab.json.encode { roleCredentials = {
    accessKeyId = keys.id, secretAccessKey = keys.secret, sessionToken = keys.token, expiration = 4070908800000 } } }
end

local function of_web(world, p)
  local id = core.id(world, "req")
  if p.WebIdentityToken ~= "web-token" then
    return { status = 400, content_type = "text/xml", body = ("<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>Couldn't retrieve verification key from your identity provider</Message></Error><RequestId>%s</RequestId></ErrorResponse>"):format(id) }
  end
  local keys = identity.issue(world, assumed(p.RoleArn:match "[^/]+$"))
  return { status = 200, content_type = "text/xml", body = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>%s</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"):format(
    core.xml(identity.credentials(keys), "member")) }
end

---The answer to a request that nobody signs; nothing when it should have been signed.
function identity.answer(world, request)
  if request.path:find "^/latest/" then
    return of_instance(world, request)
  elseif request.path == "/v2/credentials/lab" then
    return of_container(world, request)
  elseif request.path == "/federation/credentials" then
    return of_portal(world, request)
  end
  local p = request.method == "POST" and not request.headers.authorization and core.form(request.body or "") or {}
  return p.Action == "AssumeRoleWithWebIdentity" and of_web(world, p) or nil
end

return identity
