-- Roles and instance profiles. IAM has no tags in its lists: the lab's live under a path of their own, and those that
-- were adopted are known by the names that the declaration gives them, and by their tags.
local netlab = require "netlab"
local userdata = require "awslab.userdata"

-- The lab's by their path, and the one of this name when its tags say so.
local function find(c, list_action, list, get_action, member, key, name)
  local out = c:call("iam", list_action, { path_prefix = c:path() })[list]
  for _, raw in ipairs(out) do
    if raw[key] == name then name = nil end
  end
  if name then
    local got, err = c:ask("iam", get_action, { [key] = name })
    if not got and err.code ~= "not_found" then error(err, 0) end
    for _, tag in ipairs(got and got[member].tags or {}) do
      if tag.key == "netlab:lab" and tag.value == c.lab.name then out[#out + 1] = got[member] end
    end
  end
  return out
end

local function policy_name(policy)
  return "netlab policy " .. netlab.digest.sha256(policy):sub(1, 16)
end

return function(difference)
  local role, instance_profile = {}, {}

  role = {
    global = true, service = "iam", id = "role_name", named = true,
    find = function(c) return find(c, "list_roles", "roles", "get_role", "role", "role_name", c.lab.bastion and c.lab.bastion.role) end,
    get = function(c, name) return c:call("iam", "get_role", { role_name = name }).role end,
    tag = function(c, name, tags) c:call("iam", "tag_role", { role_name = name, tags = tags }) end,
    create = function(c, r)
      return c:call("iam", "create_role", { role_name = r.name, path = c:path(), assume_role_policy_document = userdata.assume(r.spec.service or "ec2.amazonaws.com"), tags = c:tags(r) }).role
    end,
    -- The description says which policy is in place: lists of roles show it, and nothing else of the policy.
    finish = function(c, r)
      c:call("iam", "put_role_policy", { role_name = r.name, policy_name = "netlab", policy_document = r.spec.policy })
      c:call("iam", "update_role", { role_name = r.name, description = policy_name(r.spec.policy) })
    end,
    differ = function(_, r, raw)
      local want = policy_name(r.spec.policy)
      return raw.description == want and {} or { difference("policy", raw.description or "none", want, true) }
    end,
    change = function(c, r) role.finish(c, r) end,
    delete = function(c, raw)
      for _, name in ipairs(c:call("iam", "list_role_policies", { role_name = raw.role_name }).policy_names) do
        c:try("iam", "delete_role_policy", { role_name = raw.role_name, policy_name = name })
      end
      for _, p in ipairs(c:call("iam", "list_attached_role_policies", { role_name = raw.role_name }).attached_policies) do
        c:try("iam", "detach_role_policy", { role_name = raw.role_name, policy_arn = p.policy_arn })
      end
      c:call("iam", "delete_role", { role_name = raw.role_name })
    end,
  }

  instance_profile = {
    global = true, service = "iam", id = "instance_profile_name", named = true,
    find = function(c)
      return find(c, "list_instance_profiles", "instance_profiles", "get_instance_profile", "instance_profile", "instance_profile_name", c.lab.bastion and c.lab.bastion.profile)
    end,
    get = function(c, name) return c:call("iam", "get_instance_profile", { instance_profile_name = name }).instance_profile end,
    tag = function(c, name, tags) c:call("iam", "tag_instance_profile", { instance_profile_name = name, tags = tags }) end,
    create = function(c, r)
      return c:call("iam", "create_instance_profile", { instance_profile_name = r.name, path = c:path(), tags = c:tags(r) }).instance_profile
    end,
    finish = function(c, r, raw)
      local name = c:id(r.spec.role)
      for _, old in ipairs(raw.roles or {}) do
        if old.role_name == name then return end
        c:call("iam", "remove_role_from_instance_profile", { instance_profile_name = r.name, role_name = old.role_name })
      end
      local ok, err = c:try("iam", "add_role_to_instance_profile", { instance_profile_name = r.name, role_name = name })
      if not ok and err.aws ~= "LimitExceeded" then error(err, 0) end
    end,
    differ = function(_, r, raw)
      local have, want = (raw.roles or {})[1] and raw.roles[1].role_name or "none", r.spec.role:match "/(.*)$"
      return have == want and {} or { difference("role", have, want, true) }
    end,
    change = function(c, r, raw) instance_profile.finish(c, r, raw) end,
    delete = function(c, raw)
      for _, old in ipairs(raw.roles or {}) do
        c:try("iam", "remove_role_from_instance_profile", { instance_profile_name = raw.instance_profile_name, role_name = old.role_name })
      end
      c:call("iam", "delete_instance_profile", { instance_profile_name = raw.instance_profile_name })
    end,
  }
  return { role = role, instance_profile = instance_profile }
end
