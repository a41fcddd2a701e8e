-- S3 of the stand-in: buckets in their region, versions, uploads in parts; a bucket goes when it is really empty.
local netlab = require "netlab"
local core = require "fake.core"

local s3 = {}
local refuse = core.refuse

local function reply(status, body, headers)
  return { status = status, body = body or "", content_type = "application/xml", headers = headers }
end

local function element(name, value)
  return ("<%s>%s</%s>"):format(name, core.escape(value), name)
end

local function etag(body)
  return '"' .. netlab.digest.sha256(body):sub(1, 32) .. '"'
end

-- Bytes are believed only with the checksum that came along.
local function check_sum(request, needed)
  local given = request.headers["x-amz-checksum-sha256"]
  if not given and not request.headers["content-md5"] and needed then
    refuse("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
  elseif given then
    local raw = netlab.digest.sha256(request.body):gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)
    if netlab.base64.encode(raw) ~= given then refuse("BadDigest", "The SHA256 you specified did not match the calculated checksum.") end
  end
end

-- { { key, id, body, marker, latest } … } of all that a bucket holds, by key.
local function versions(b, prefix)
  local out = {}
  for key, list in pairs(b.objects) do
    if key:sub(1, #(prefix or "")) == (prefix or "") then
      for i, v in ipairs(list) do out[#out + 1] = { key = key, id = v.id, body = v.body, marker = v.marker, latest = i == #list } end
    end
  end
  table.sort(out, function(x, y) return x.key .. "\0" .. x.id < y.key .. "\0" .. y.id end)
  return out
end

local function latest(b, key)
  local list = b.objects[key]
  local v = list and list[#list]
  return v and not v.marker and v or nil
end

local function store(c, b, key, version)
  version.id = b.versioning and core.id(c.world, "v") or "null"
  if not b.versioning or not b.objects[key] then b.objects[key] = {} end
  table.insert(b.objects[key], version)
end

-- Without a version's name a versioned object gets a marker, and stays.
local function delete(c, b, key, id)
  local list = b.objects[key]
  if not list then
    return
  elseif id then
    for i, v in ipairs(list) do
      if v.id == id then table.remove(list, i) break end
    end
    if #list == 0 then b.objects[key] = nil end
  elseif b.versioning then
    store(c, b, key, { marker = true })
  else
    b.objects[key] = nil
  end
end

local function create(c, request, name)
  local b, here = c.world.buckets[name], c.region.name
  if c.world.foreign_buckets and c.world.foreign_buckets[name] then
    refuse("BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system.", 409)
  elseif b and here == "us-east-1" and b.region == here then
    return reply(200)
  elseif b then
    refuse("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.", 409)
  elseif (c.world.buckets_going or {})[name] and core.now(c.world) < c.world.buckets_going[name] then
    refuse("OperationAborted", "A conflicting conditional operation is currently in progress against this resource. Please try again.", 409)
  end
  local place = request.body:match "<LocationConstraint>(.-)</LocationConstraint>"
  if here == "us-east-1" and place then
    refuse("InvalidLocationConstraint", "The specified location-constraint is not valid")
  elseif here ~= "us-east-1" and place ~= here then
    refuse("IllegalLocationConstraintException", "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
  elseif not name:find "^[a-z0-9][a-z0-9.-]*[a-z0-9]$" or #name < 3 or #name > 63 then
    refuse("InvalidBucketName", "The specified bucket is not valid.")
  end
  c.world.buckets[name] = { created = "2026-11-21T00:00:00.000Z", objects = {}, uploads = {}, tags = {}, region = here, block = "true", encryption = true }
  return reply(200)
end

-- Settings of a bucket, by the word in the query: { PUT, GET, DELETE }.
local settings = {
  tagging = {
    PUT = function(b, request)
      b.tags = {}
      for k, v in request.body:gmatch "<Tag><Key>(.-)</Key><Value>(.-)</Value></Tag>" do b.tags[#b.tags + 1] = { k, v } end
      return reply(204)
    end,
    GET = function(b)
      if #b.tags == 0 then refuse("NoSuchTagSet", "The TagSet does not exist", 404) end
      local out = {}
      for i, t in ipairs(b.tags) do out[i] = "<Tag>" .. element("Key", t[1]) .. element("Value", t[2]) .. "</Tag>" end
      return reply(200, "<Tagging><TagSet>" .. table.concat(out) .. "</TagSet></Tagging>")
    end,
  },
  publicAccessBlock = {
    PUT = function(b, request)
      b.block = "true"
      for _, word in ipairs { "BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets" } do
        if request.body:match("<" .. word .. ">(.-)<") ~= "true" then b.block = "false" end
      end
      return reply(200)
    end,
    GET = function(b)
      if not b.block then refuse("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", 404) end
      local out = {}
      for i, word in ipairs { "BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets" } do out[i] = element(word, b.block) end
      return reply(200, "<PublicAccessBlockConfiguration>" .. table.concat(out) .. "</PublicAccessBlockConfiguration>")
    end,
  },
  encryption = {
    PUT = function(b, request)
      if not request.body:find "<SSEAlgorithm>AES256</SSEAlgorithm>" then refuse("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema") end
      b.encryption = true
      return reply(200)
    end,
    GET = function(b)
      if not b.encryption then refuse("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found", 404) end
      return reply(200, "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>")
    end,
  },
  lifecycle = {
    PUT = function(b, request)
      local id, days = request.body:match "<ID>(.-)</ID>", request.body:match "<AbortIncompleteMultipartUpload><DaysAfterInitiation>(%d+)<"
      if not (id and days and request.body:find "<Status>Enabled</Status>" and request.body:find "<Filter>") then
        refuse("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
      end
      b.lifecycle = request.body:match "<LifecycleConfiguration.-</LifecycleConfiguration>"
      return reply(200)
    end,
    GET = function(b)
      return reply(200, b.lifecycle or refuse("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", 404))
    end,
  },
  versioning = {
    PUT = function(b, request)
      b.versioning = request.body:find "<Status>Enabled</Status>" ~= nil
      return reply(200)
    end,
    GET = function(b) return reply(200, "<VersioningConfiguration>" .. (b.versioning and element("Status", "Enabled") or "") .. "</VersioningConfiguration>") end,
  },
  policyStatus = {
    GET = function(b)
      if not b.policy then refuse("NoSuchBucketPolicy", "The bucket policy does not exist", 404) end
      return reply(200, "<PolicyStatus><IsPublic>" .. (b.policy:find '"%*"' and "TRUE" or "FALSE") .. "</IsPublic></PolicyStatus>")
    end,
  },
  location = { GET = function(b) return reply(200, element("LocationConstraint", b.region ~= "us-east-1" and b.region or "")) end },
}

-- Regions, and pages, only for those who ask with a parameter.
local function list_buckets(c, q)
  local out, size = {}, tonumber(q["max-buckets"])
  for name, b in pairs(c.world.buckets) do
    if not q["bucket-region"] or q["bucket-region"] == b.region then
      out[#out + 1] = "<Bucket>" .. element("Name", name) .. element("CreationDate", b.created) .. (next(q) and element("BucketRegion", b.region) or "") .. "</Bucket>"
    end
  end
  table.sort(out)
  local page, token = out, nil
  if size then page, token = core.pages(c.world, { MaxItems = size, NextToken = q["continuation-token"] }, out) end
  return reply(200, "<ListAllMyBucketsResult><Buckets>" .. table.concat(page) .. "</Buckets>" .. (token and element("ContinuationToken", token) or "") .. "</ListAllMyBucketsResult>")
end

local function list_objects(c, b, bucket, q)
  local names = {}
  for name in pairs(b.objects) do
    if latest(b, name) and name:sub(1, #(q.prefix or "")) == (q.prefix or "") then names[#names + 1] = name end
  end
  table.sort(names)
  local from, size = tonumber(q["continuation-token"] or "1"), math.min(tonumber(q["max-keys"] or "1000"), c.world.page)
  local out = {}
  for i = from, math.min(#names, from + size - 1) do
    local v = latest(b, names[i])
    out[#out + 1] = "<Contents>" .. element("Key", names[i]) .. element("LastModified", "2026-11-21T00:00:00.000Z") .. element("Size", #v.body) .. element("ETag", etag(v.body)) .. "</Contents>"
  end
  local more = from + size <= #names
  return reply(200, "<ListBucketResult>" .. element("Name", bucket) .. element("KeyCount", #out) .. element("IsTruncated", tostring(more)) .. table.concat(out) .. (more and element("NextContinuationToken", from + size) or "") .. "</ListBucketResult>")
end

local function list_versions(c, b, bucket, q)
  local all, out, last = versions(b, q.prefix), {}, nil
  local after = q["key-marker"] and q["key-marker"] .. "\0" .. (q["version-id-marker"] or "")
  for _, v in ipairs(all) do
    if not after or v.key .. "\0" .. v.id > after then
      if #out == c.world.page then break end
      local body = element("Key", v.key) .. element("VersionId", v.id) .. element("IsLatest", tostring(v.latest)) .. element("LastModified", "2026-11-21T00:00:00.000Z")
      out[#out + 1] = v.marker and "<DeleteMarker>" .. body .. "</DeleteMarker>" or "<Version>" .. body .. element("Size", #v.body) .. element("ETag", etag(v.body)) .. "</Version>"
      last = v
    end
  end
  local more = last and all[#all].key .. all[#all].id ~= last.key .. last.id
  return reply(200, "<ListVersionsResult>" .. element("Name", bucket) .. element("IsTruncated", tostring(more or false)) .. table.concat(out)
    .. (more and element("NextKeyMarker", last.key) .. element("NextVersionIdMarker", last.id) or "") .. "</ListVersionsResult>")
end

local function list_uploads(b, bucket)
  local out = {}
  for id, u in pairs(b.uploads) do out[#out + 1] = "<Upload>" .. element("Key", u.key) .. element("UploadId", id) .. "</Upload>" end
  table.sort(out)
  return reply(200, "<ListMultipartUploadsResult>" .. element("Bucket", bucket) .. element("IsTruncated", "false") .. table.concat(out) .. "</ListMultipartUploadsResult>")
end

local function of_bucket(c, request, bucket, b)
  local q, method = request.query, request.method
  for word, setting in pairs(settings) do
    if q[word] ~= nil and setting[method] then return setting[method](b, request) end
  end
  if method == "HEAD" then
    return reply(200, "", { ["x-amz-bucket-region"] = b.region })
  elseif method == "POST" and q.delete ~= nil then
    check_sum(request, true)
    for entry in request.body:gmatch "<Object>(.-)</Object>" do delete(c, b, entry:match "<Key>(.-)</Key>", entry:match "<VersionId>(.-)</VersionId>") end
    return reply(200, "<DeleteResult></DeleteResult>")
  elseif method == "DELETE" and not next(q) then
    if next(b.objects) or next(b.uploads) then refuse("BucketNotEmpty", "The bucket you tried to delete is not empty", 409) end
    c.world.buckets[bucket] = nil
    c.world.buckets_going = c.world.buckets_going or {}
    c.world.buckets_going[bucket] = core.now(c.world) + c.world.delay
    return reply(204)
  elseif method == "GET" and q.versions ~= nil then
    return list_versions(c, b, bucket, q)
  elseif method == "GET" and q.uploads ~= nil then
    return list_uploads(b, bucket)
  elseif method == "GET" then
    return list_objects(c, b, bucket, q)
  end
end

local function of_object(c, request, b, key)
  local q, method = request.query, request.method
  if method == "POST" and q.uploads ~= nil then
    local id = core.id(c.world, "upload")
    b.uploads[id] = { key = key, parts = {} }
    return reply(200, "<InitiateMultipartUploadResult>" .. element("UploadId", id) .. element("Key", key) .. "</InitiateMultipartUploadResult>")
  elseif q.uploadId then
    local u = b.uploads[q.uploadId] or refuse("NoSuchUpload", "The specified upload does not exist.", 404)
    if method == "PUT" then
      check_sum(request)
      u.parts[tonumber(q.partNumber)] = request.body
      return reply(200, "", { ETag = etag(request.body) })
    elseif method == "DELETE" then
      b.uploads[q.uploadId] = nil
      return reply(204)
    end
    store(c, b, key, { body = table.concat(u.parts), meta = {} })
    b.uploads[q.uploadId] = nil
    return reply(200, "<CompleteMultipartUploadResult>" .. element("Key", key) .. "</CompleteMultipartUploadResult>")
  elseif method == "PUT" then
    check_sum(request)
    local meta = {}
    for name, value in pairs(request.headers) do
      local word = name:match "^x%-amz%-meta%-(.*)$"
      if word then meta[word] = value end
    end
    store(c, b, key, { body = request.body, meta = meta })
    return reply(200, "", { ETag = etag(request.body) })
  elseif method == "GET" or method == "HEAD" then
    local v = latest(b, key) or refuse("NoSuchKey", "The specified key does not exist.", 404)
    local headers = { ETag = etag(v.body) }
    for word, value in pairs(v.meta) do headers["x-amz-meta-" .. word] = value end
    return { status = 200, body = method == "GET" and v.body or "", content_type = "application/octet-stream", headers = headers }
  elseif method == "DELETE" then
    delete(c, b, key, q.versionId)
    return reply(204)
  end
end

function s3.answer(c, request)
  local bucket, key = request.path:match "^/([^/]*)/?(.*)$"
  if bucket == "" then
    return list_buckets(c, request.query)
  elseif request.method == "PUT" and key == "" and not next(request.query) then
    return create(c, request, bucket)
  end
  if c.world.foreign_buckets and c.world.foreign_buckets[bucket] then refuse("AccessDenied", "Access Denied", 403) end
  local b = c.world.buckets[bucket] or refuse("NoSuchBucket", "The specified bucket does not exist", 404)
  if b.region ~= c.region.name then
    refuse("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.", 301)
  end
  local out
  if key == "" then
    out = of_bucket(c, request, bucket, b)
  else
    out = of_object(c, request, b, key)
  end
  return out or refuse("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
end

return s3
