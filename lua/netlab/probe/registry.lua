-- netlab probe registry IMAGE: pulls an image as a node would, and compares every byte with its digest.
local netlab = require "netlab"
local steps = require "netlab.probe.steps"

local opt = netlab.args {
  { name = "image", type = "string", help = "[REGISTRY/]NAME[:TAG|@DIGEST], as nodes name it" },
  { name = "through", type = "url", help = "asks this cache for it, as containerd asks a mirror: http://10.20.13.140:5000" },
  { name = "platform", type = "string", default = "linux/amd64", help = "of an image for several" },
  { name = "layers", type = "boolean", default = true, help = "fetches the layers too" },
  { name = "plain", type = "boolean", default = false, help = "without TLS" },
  { name = "ca", type = "path", help = "certificates that the registry may show" },
  { name = "timeout", type = "duration", default = "10m", help = "for each answer" },
}

local index_types = {
  ["application/vnd.oci.image.index.v1+json"] = true,
  ["application/vnd.docker.distribution.manifest.list.v2+json"] = true,
}
local accepted = {
  "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
}

---What an image's name says; Docker Hub where it names no registry.
local function parse(image)
  local name, digest = image:match "^(.-)@(sha%d+:%x+)$"
  name = name or image
  -- A colon in the last part begins a tag; one before it, a port.
  local folder, last = name:match "^(.*/)([^/]*)$"
  folder, last = folder or "", last or name
  local bare, tag = last:match "^([^:]+):([%w_][%w%._-]*)$"
  name = folder .. (bare or last)
  local first, rest = name:match "^([^/]+)/(.+)$"
  local registry = "docker.io"
  if first and (first:find "[%.:]" or first == "localhost") then
    registry, name = first, rest
  end
  if registry == "docker.io" and not name:find "/" then
    name = "library/" .. name
  end
  return { registry = registry, name = name, reference = digest or tag or "latest", digest = digest }
end

local image, base, token

---The text of a registry's refusal: its code and message, or the first line of whatever came.
local function refusal(got)
  local told = netlab.json.decode(got.body)
  local first = type(told) == "table" and type(told.errors) == "table" and told.errors[1]
  if type(first) == "table" then
    return ("%d %s: %s"):format(got.status, tostring(first.code), tostring(first.message))
  end
  return ("%d %s"):format(got.status, got.body:match "^[^\r\n]*")
end

local remedies = {
  [401] = "it wants credentials: give them to the upstream in the recipe (credentials = …)",
  [403] = "its credentials do not allow this name",
  [404] = "look at the name and the tag; netlab registry stat tells what an upstream answered last",
  [429] = "the upstream's quota is used up; netlab registry stat tells when it is asked again",
  [502] = "the upstream does not answer as it should; netlab registry stat tells why",
  [503] = "the upstream is not there and the cache does not have it; netlab registry stat tells why",
}

local function send(path, headers, keep)
  local url = base .. path
  if opt.through then
    url = url .. "?ns=" .. image.registry
  end
  headers = headers or {}
  headers["Authorization"] = token and "Bearer " .. token or nil
  local begun = netlab.uptime()
  local got, err = netlab.http.get(url, { headers = headers, keep = keep or "4MiB", timeout = opt.timeout, ca_file = opt.ca })
  return got, err, netlab.uptime() - begun
end

---A token for anybody, from whom the registry's challenge names.
local function get_token(challenge)
  local realm = challenge:match 'realm="([^"]*)"'
  if not challenge:lower():match "^bearer" or not realm then
    return nil, "it wants credentials: " .. challenge:match "^%S*"
  end
  local query = "scope=repository:" .. image.name .. ":pull"
  local service = challenge:match 'service="([^"]*)"'
  if service then
    query = "service=" .. service .. "&" .. query
  end
  local got, err = netlab.http.get(realm .. (realm:find "?" and "&" or "?") .. query, { ca_file = opt.ca })
  if not got then
    return nil, tostring(err)
  elseif got.status ~= 200 then
    return nil, refusal(got)
  end
  local told = netlab.json.decode(got.body)
  local out = type(told) == "table" and (told.token or told.access_token)
  if type(out) ~= "string" then
    return nil, realm .. " sends no token"
  end
  return out
end

---Asks for a document or a blob; with the token that the registry wants.
local function fetch(path, headers, keep)
  local got, err, took = send(path, headers, keep)
  local challenge = got and got.status == 401 and got.headers["www-authenticate"]
  if challenge and not token then
    local why
    token, why = get_token(challenge)
    if not token then
      return nil, why, 401
    end
    steps.say("token", "for anybody, from " .. (challenge:match 'realm="([^"]*)"'))
    got, err, took = send(path, headers, keep)
  end
  if not got then
    return nil, tostring(err)
  elseif got.status ~= 200 then
    return nil, refusal(got), got.status
  end
  return got, took
end

local function stop(stage, why, status)
  local unreached = not status and not why:find "does not resolve"
  return steps.stop(stage, why, status and remedies[status]
    or unreached and "see whether the port is open there, and whether it speaks TLS (--plain: it does not)" or nil)
end

local function short(digest)
  return digest:sub(1, 19)
end

---Fetches a manifest and compares it with its digest; the manifest, its digest and its media type.
local function manifest(stage, reference)
  local got, took, status = fetch("/v2/" .. image.name .. "/manifests/" .. reference, { Accept = table.concat(accepted, ", ") })
  if not got then
    return nil, stop(stage, took, status)
  end
  local digest = "sha256:" .. got.sha256
  local expected = reference:match "^sha256:" and reference or got.headers["docker-content-digest"]
  if expected and expected:match "^sha256:" and expected ~= digest then
    return nil, steps.stop(stage, ("what came is %s, not %s"):format(digest, expected),
      "somebody between changed it, or the registry is damaged: netlab registry verify reads a cache anew")
  end
  local media_type = (got.headers["content-type"] or ""):match "^[^;]*"
  steps.say(stage, ("%s, %s, %s in %.1f ms"):format(short(digest), media_type, steps.size(got.bytes), took * 1000))
  local data = netlab.json.decode(got.body)
  if type(data) ~= "table" then
    return nil, steps.stop(stage, "it is no JSON object")
  end
  return data, data.mediaType or media_type
end

---The entry of an index for the platform that is wanted, and the names of all.
local function choose(index)
  local names = {}
  for _, entry in ipairs(index.manifests or {}) do
    local p = entry.platform
    if type(p) == "table" and p.os ~= "unknown" then
      local name = ("%s/%s"):format(p.os, p.architecture)
      local full = p.variant and name .. "/" .. p.variant or name
      if full == opt.platform or name == opt.platform then
        return entry, names
      end
      names[#names + 1] = full
    end
  end
  return nil, names
end

netlab.main(function()
  if not opt.image then
    print("usage: netlab probe registry IMAGE [--through URL] [--platform OS/ARCH] [--no-layers] [--plain] [--ca FILE]")
    return 2
  end
  image = parse(opt.image)
  if not image.name:match "^[%l%d][%l%d._/-]*$" then
    print(("\"%s\" has a malformed name: write registry/repository:tag or …@sha256:…"):format(opt.image))
    return 2
  end
  local host = image.registry == "docker.io" and "registry-1.docker.io" or image.registry
  base = opt.through and tostring(opt.through):gsub("/*$", "") or (opt.plain and "http://" or "https://") .. host
  steps.begin()

  local found, kind = manifest("manifest", image.reference)
  if not found then
    return kind
  end
  if index_types[kind] then
    local entry, names = choose(found)
    if not entry then
      return steps.stop("platform", ("there is none for %s"):format(opt.platform), "it is there for " .. table.concat(names, ", "))
    end
    found, kind = manifest("platform", entry.digest)
    if not found then
      return kind
    end
  end

  local parts = { { what = "config", entry = found.config } }
  for i, layer in ipairs(opt.layers and found.layers or {}) do
    parts[#parts + 1] = { what = ("layer %d"):format(i), entry = layer }
  end
  local all = 0
  for _, part in ipairs(parts) do
    local entry = part.entry
    if type(entry) ~= "table" or type(entry.digest) ~= "string" then
      return steps.stop(part.what, "the manifest does not name it: it is no image of a container")
    end
    local got, took, status = fetch("/v2/" .. image.name .. "/blobs/" .. entry.digest, nil, "0B")
    if not got then
      return stop(part.what, took, status)
    end
    if got.bytes ~= entry.size or "sha256:" .. got.sha256 ~= entry.digest then
      return steps.stop(part.what, ("what came is %d bytes, sha256:%s, not %s bytes, %s"):format(got.bytes, got.sha256,
        tostring(entry.size), entry.digest), "netlab registry verify, on the machine that runs netlab, reads its cache anew")
    end
    all = all + got.bytes
    steps.say(part.what, ("%s, %s in %.3f s (%.1f MB/s)"):format(short(entry.digest), steps.size(got.bytes), took,
      got.bytes / 1e6 / math.max(took, 1e-9)))
  end
  steps.say("pulled", ("%s in %d blobs, all as their digests say"):format(steps.size(all), #parts))
  return 0
end)
