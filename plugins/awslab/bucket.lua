-- The lab's bucket, for packages and caches, and the package in it that the bastion installs.
local netlab = require "netlab"

local lifecycle_days = 1

local settings = {
  block_public_acls = true, ignore_public_acls = true, block_public_policy = true, restrict_public_buckets = true,
}

local function tags_as_list(map)
  local out = {}
  for key, value in pairs(map) do out[#out + 1] = { key = key, value = value } end
  table.sort(out, function(a, b) return a.key < b.key end)
  return out
end

-- The bucket's tags as a list; nil when it is not there. A bucket of somebody else is not there for the lab.
local function tags_of(c, name)
  local got, err = c:ask("s3", "get_bucket_tagging", { bucket = name })
  if got then
    return got.tag_set
  elseif err.aws == "NoSuchTagSet" then
    return {}
  elseif err.code == "not_found" or err.code == "denied" or err.status == 301 then
    return nil, err
  end
  error(err, 0)
end

local function tag_of(list, key)
  for _, tag in ipairs(list) do
    if tag.key == key then return tag.value end
  end
end

-- What a plan reads of a setting: nil when there is none.
local function look(c, action, name)
  local got, err = c:ask("s3", action, { bucket = name })
  if not got and err.code ~= "not_found" then error(err, 0) end
  return got
end

-- Every version, every marker of a deleted object, and every part of an upload that nobody ended.
local function empty(c, name)
  repeat
    local got = c:call("s3", "list_object_versions", { bucket = name }, { pages = 1 })
    local doomed = {}
    for _, list in ipairs { got.versions or {}, got.delete_markers or {} } do
      for _, v in ipairs(list) do doomed[#doomed + 1] = { key = v.key, version_id = v.version_id } end
    end
    if #doomed > 0 then
      local went = c:call("s3", "delete_objects", { bucket = name, delete = { quiet = true, objects = doomed } })
      local failed = (went.errors or {})[1]
      if failed then
        error(netlab.err.new("refused", ("%s in bucket %s cannot be deleted: %s"):format(failed.key, name, failed.message or failed.code), "awslab"), 0)
      end
    end
  until #doomed == 0
  for _, upload in ipairs(c:call("s3", "list_multipart_uploads", { bucket = name }).uploads or {}) do
    local ok, err = c:try("s3", "abort_multipart_upload", { bucket = name, key = upload.key, upload_id = upload.upload_id })
    if not ok and err.code ~= "not_found" then error(err, 0) end
  end
end

return function(difference)
  local bucket, package = {}, {}

  bucket = {
    service = "s3", id = "name", named = true,
    -- A plan looks for the bucket that it declares; who takes a lab down looks at all of the region's.
    find = function(c)
      local names, out = {}, {}
      if c.thorough then
        for _, b in ipairs(c:call("s3", "list_buckets", { bucket_region = c.lab.region, max_buckets = 1000 }).buckets or {}) do names[#names + 1] = b.name end
      elseif c.lab.bucket then
        names[1] = c.lab.bucket.name
      end
      for _, name in ipairs(names) do
        local tags = tags_of(c, name)
        local mine = tags and tag_of(tags, "netlab:lab") == c.lab.name
        if tags and #tags == 0 and c.expected and c.expected["bucket/" .. name] then
          -- It was not there when that run began, which was ended before it could say whose it is.
          local got = c:call("s3", "list_object_versions", { bucket = name }, { pages = 1 })
          mine = #(got.versions or {}) + #(got.delete_markers or {}) == 0
        end
        if mine then
          out[#out + 1] = { name = name, tags = tags }
        elseif tags then
          c.foreign["bucket/" .. name] = true
        end
      end
      return out
    end,
    get = function(c, name)
      local tags, err = tags_of(c, name)
      return tags and { name = name, tags = tags } or error(err, 0)
    end,
    -- Tags are put as a whole: those that are there stay.
    tag = function(c, name, more)
      local all = {}
      for _, t in ipairs(tags_of(c, name) or {}) do all[t.key] = t.value end
      for key, value in pairs(more) do all[key] = value end
      c:call("s3", "put_bucket_tagging", { bucket = name, tagging = { tag_set = tags_as_list(all) } })
    end,
    create = function(c, r)
      -- In us-east-1 a bucket that one has already is made again without a word.
      local tags, why = tags_of(c, r.name)
      local begun = c.begun and c.begun[r.key] or c.expected and c.expected[r.key]
      if tags and tag_of(tags, "netlab:lab") ~= c.lab.name and not (#tags == 0 and begun) then
        error(netlab.err.new("exists", ("bucket %s exists and does not belong to lab %s: adopt it, or take another name"):format(r.name, c.lab.name), "awslab"), 0)
      elseif not tags and why.code ~= "not_found" then
        error(netlab.err.new("exists", ("the name of bucket %s is taken by another account: take another name"):format(r.name), "awslab"), 0)
      end
      if not tags then
        c.begun = c.begun or {}
        c.begun[r.key] = true
        local place = c.lab.region ~= "us-east-1" and { location_constraint = c.lab.region } or nil
        local ok, err
        -- The name of a bucket that was deleted a moment ago is not free yet.
        c:await(r, function()
          ok, err = c:try("s3", "create_bucket", { bucket = r.name, create_bucket_configuration = place })
          return ok or err.aws ~= "OperationAborted"
        end)
        if not ok and err.aws ~= "BucketAlreadyOwnedByYou" then
          if err.aws == "BucketAlreadyExists" then
            err = netlab.err.new("invalid", ("the name of bucket %s is taken by another account: take another name"):format(r.name), "awslab")
          end
          error(err, 0)
        end
      end
      return { name = r.name, tags = {} }
    end,
    finish = function(c, r)
      local name = r.name
      bucket.tag(c, name, c:tags(r))
      c:call("s3", "put_public_access_block", { bucket = name, public_access_block_configuration = settings })
      c:call("s3", "put_bucket_encryption", { bucket = name, server_side_encryption_configuration = { rules = { { apply_server_side_encryption_by_default = { sse_algorithm = "AES256" } } } } })
      c:call("s3", "put_bucket_lifecycle_configuration", { bucket = name, lifecycle_configuration = { rules = {
        { id = "netlab-parts", status = "Enabled", filter = { prefix = "" }, abort_incomplete_multipart_upload = { days_after_initiation = lifecycle_days } } } } })
      return { name = name, tags = tags_as_list(c:tags(r)) }
    end,
    differ = function(c, _, raw)
      local out = {}
      if not tag_of(raw.tags, "netlab:lab") then out[1] = difference("tags", "none", "the lab's", true) end
      local block = look(c, "get_public_access_block", raw.name)
      for key in pairs(settings) do
        if not (block and block.public_access_block_configuration[key] == true) then
          out[#out + 1] = difference("public access", "not blocked", "blocked", true)
          break
        end
      end
      if not look(c, "get_bucket_encryption", raw.name) then out[#out + 1] = difference("encryption", "none", "AES256", true) end
      local rules = look(c, "get_bucket_lifecycle_configuration", raw.name)
      local ends = false
      for _, rule in ipairs(rules and rules.rules or {}) do
        local abort = rule.status == "Enabled" and rule.abort_incomplete_multipart_upload
        ends = ends or abort and abort.days_after_initiation == lifecycle_days
      end
      if not ends then out[#out + 1] = difference("parts of unfinished uploads", "stay", ("end after %d day"):format(lifecycle_days), true) end
      return out
    end,
    change = function(c, r) return bucket.finish(c, r) end,
    delete = function(c, raw)
      empty(c, raw.name)
      c:call("s3", "delete_bucket", { bucket = raw.name })
    end,
  }

  package = {
    of = "bucket",
    differ = function(c, r)
      local got, err = c:ask("s3", "head_object", { bucket = r.spec.bucket, key = r.spec.key })
      if not got and err.code ~= "not_found" then error(err, 0) end
      return got and (got.metadata or {}).sha256 == r.spec.sha256 and {} or { difference("object", got and "another" or "none", r.spec.key, true) }
    end,
    change = function(c, r)
      local body, err = netlab.fs.read(r.spec.path)
      if not body then error(err, 0) end
      if netlab.digest.sha256(body) ~= r.spec.sha256 then
        error(netlab.err.new("conflict", r.spec.path .. " is no longer what was planned: run again", "bucket"), 0)
      end
      -- S3 itself refuses what does not have this checksum.
      c:call("s3", "put_object", { bucket = r.spec.bucket, key = r.spec.key, body = body, checksum_sha256 = netlab.base64.encode((r.spec.sha256:gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end))), metadata = { sha256 = r.spec.sha256 } })
    end,
  }
  return { bucket = bucket, package = package }
end
