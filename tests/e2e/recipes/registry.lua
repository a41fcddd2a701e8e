-- One registry cache for the registries of the lab: a port for the first, and one port for all.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", default = "/tmp/netlab", help = "where everything is kept" },
  { name = "cache", type = "string", default = "registry", help = "the cache's folder" },
  { name = "max_size", type = "size", default = "1GiB", help = "of the cache" },
  { name = "keep_free", type = "size", default = "1MiB", help = "of the disk" },
  { name = "upstream", type = "string", default = "http://10.77.0.5:5000", help = "the first registry" },
  { name = "mirror", type = "string", default = "", help = "asked before it" },
  { name = "ca", type = "string", default = "", help = "what the registries' certificates are signed with" },
  { name = "tags", type = "duration", default = "1h", help = "for how long tags are believed" },
  { name = "username", type = "string", default = "", help = "at the first registry" },
  { name = "password_file", type = "string", default = "", help = "its password" },
  { name = "import", type = "string", default = "", help = "the storage folder of an older cache" },
  { name = "prefetch", type = "string", default = "", help = "a file with images that are fetched at the start" },
  { name = "stands_for", type = "string", default = "", help = "registries for which the first one's machine stands" },
  { name = "other", type = "string", default = "", help = "a second registry, without a port of its own" },
}
netlab.state(opt.state)

local function given(text)
  return text ~= "" and text or nil
end

local upstreams = {
  ["upstream.lab"] = {
    url = opt.upstream,
    listen = "10.77.0.1:5050",
    tags = opt.tags,
    latest = opt.tags,
    mirrors = given(opt.mirror) and { opt.mirror },
    ca = given(opt.ca),
    import = given(opt.import),
    credentials = given(opt.username) and { username = opt.username, password_file = opt.password_file },
  },
}
for name in opt.stands_for:gmatch "%S+" do
  upstreams[name] = { url = opt.upstream }
end
if given(opt.other) then
  upstreams["other.lab"] = { url = opt.other, tags = opt.tags, ca = given(opt.ca) }
end

netlab.registry.proxy {
  name = "cache",
  cache = { path = opt.cache, max_size = opt.max_size, keep_free = opt.keep_free },
  upstreams = upstreams,
  listen = "10.77.0.1:5000",
  hosted = "lab",
  prefetch = given(opt.prefetch) and { files = { opt.prefetch }, platforms = { "linux/arm64" } },
}
