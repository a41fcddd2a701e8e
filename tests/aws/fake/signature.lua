-- Signature Version 4, from the service's side: written from its documentation, without netlab's own signer.
local netlab = require "netlab"
local core = require "fake.core"

local signature = {}

local function encode(text, slash)
  return (text:gsub("[^%w%-%._~" .. (slash and "/" or "") .. "]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function seconds(stamp)
  local y, mo, d, h, mi, s = stamp:match "^(%d%d%d%d)%-?(%d%d)%-?(%d%d)T(%d%d):?(%d%d):?(%d%d)"
  if not y then
    return nil
  end
  y, mo, d = tonumber(y), tonumber(mo), tonumber(d)
  -- Days since 1970-01-01 (Howard Hinnant's civil calendar).
  local year = mo <= 2 and y - 1 or y
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local day = math.floor((153 * (mo + (mo > 2 and -3 or 9)) + 2) / 5) + d - 1
  local days = era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + day - 719468
  return ((days * 24 + h) * 60 + mi) * 60 + s
end
signature.seconds = seconds

-- A clock that is off, in the words that each service has for it.
local function too_far(service, stamp, their, our)
  if their and math.abs(their - our) <= 300 then
    return
  elseif service == "ec2" then
    core.refuse("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
  elseif service == "s3" then
    core.refuse("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403)
  end
  local which = their and their > our and "Signature not yet current: %s is still later than the time of the service" or "Signature expired: %s is now earlier than the time of the service"
  core.refuse((service == "sts" or service == "iam" or service == "autoscaling") and "SignatureDoesNotMatch" or "InvalidSignatureException", which:format(stamp), 403)
end

---Checks a request and returns who it is from and the scope: { key, region, service }.
function signature.check(world, request)
  local given = request.headers.authorization
  if not given then
    core.refuse("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
  end
  local id, date, region, service, signed, mac =
    given:match "^AWS4%-HMAC%-SHA256 Credential=([^/]+)/(%d+)/([^/]+)/([^/]+)/aws4_request, *SignedHeaders=([^,]+), *Signature=(%x+)$"
  if not id then
    core.refuse("IncompleteSignature", "Authorization header is not of the expected form", 400)
  end
  local key = world.keys[id]
  if not key then
    core.refuse(service == "ec2" and "AuthFailure" or "InvalidClientTokenId", "The security token included in the request is invalid", service == "ec2" and 401 or 403)
  end
  local stamp = request.headers["x-amz-date"]
  too_far(service, stamp or "", seconds(stamp or ""), seconds(netlab.time()) + world.skew)
  if key.token ~= request.headers["x-amz-security-token"] then
    core.refuse(service == "ec2" and "AuthFailure" or "InvalidClientTokenId", "The security token included in the request is invalid", 403)
  end
  local names, covered, lines = {}, {}, {}
  for name in signed:gmatch "[^;]+" do
    names[#names + 1] = name
    covered[name] = true
    local value = request.headers[name]
    if not value then
      core.refuse("SignatureDoesNotMatch", "a signed header is missing: " .. name, 403)
    end
    lines[#lines + 1] = name .. ":" .. value:gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", " ") .. "\n"
  end
  for name in pairs(request.headers) do
    if (name == "host" or name:sub(1, 6) == "x-amz-") and not covered[name] then
      core.refuse("SignatureDoesNotMatch", "a header that must be signed is not: " .. name, 403)
    end
  end
  local query = {}
  for name, value in pairs(request.query) do
    query[#query + 1] = encode(name) .. "=" .. encode(value)
  end
  table.sort(query)
  local hash = netlab.digest.sha256(request.body or "")
  local told = request.headers["x-amz-content-sha256"]
  if told and told ~= "UNSIGNED-PAYLOAD" and told:find "^%x+$" and told ~= hash then
    core.refuse("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.", 400)
  elseif service == "s3" and not told then
    core.refuse("MissingSecurityHeader", "Your request was missing a required header: x-amz-content-sha256", 400)
  end
  local path = encode(request.path, true)
  if service ~= "s3" then
    path = encode(path, true)
  end
  local canonical = table.concat({ request.method, path, table.concat(query, "&"), table.concat(lines), signed, told or hash }, "\n")
  local scope = ("%s/%s/%s/aws4_request"):format(date, region, service)
  local text = ("AWS4-HMAC-SHA256\n%s\n%s\n%s"):format(stamp, scope, netlab.digest.sha256(canonical))
  local mac_key = "AWS4" .. key.secret
  for _, part in ipairs { date, region, service, "aws4_request" } do
    mac_key = netlab.digest.hmac_sha256(mac_key, part, true)
  end
  if netlab.digest.hmac_sha256(mac_key, text) ~= mac then
    core.refuse("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.", 403)
  end
  if key.expired then
    core.refuse(service == "ec2" and "RequestExpired" or "ExpiredToken", "The security token included in the request is expired", 400)
  end
  return { key = id, region = region, service = service }
end

return signature
