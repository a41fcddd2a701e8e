-- IPv4 arithmetic for the declaration's checks.
local networks = {}

function networks.number(ip)
  local a, b, c, d = tostring(ip):match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  if not a or tonumber(a) > 255 or tonumber(b) > 255 or tonumber(c) > 255 or tonumber(d) > 255 then
    return nil
  end
  return ((a * 256 + b) * 256 + c) * 256 + d
end

---{ first, last, bits } of "10.20.0.0/16", or nil.
function networks.parse(cidr)
  local ip, bits = tostring(cidr):match "^([%d%.]+)/(%d+)$"
  local number = ip and networks.number(ip)
  bits = tonumber(bits)
  if not number or not bits or bits > 32 then
    return nil
  end
  local size = 2 ^ (32 - bits)
  local first = number - number % size
  return { first = first, last = first + size - 1, bits = bits, exact = first == number }
end

function networks.holds(outer, inner)
  return inner.first >= outer.first and inner.last <= outer.last
end

function networks.overlap(a, b)
  return a.first <= b.last and b.first <= a.last
end

---Whether nothing is set after the prefix of an IPv6 network: AWS would clear it, and then the rule differs.
function networks.exact6(cidr)
  local text, bits = cidr:match "^([%x:]+)/(%d+)$"
  if not text then
    return false
  end
  local function groups(part)
    local out = {}
    for word in part:gmatch "%x+" do out[#out + 1] = tonumber(word, 16) end
    return out
  end
  local head, tail = text:match "^(.-)::(.*)$"
  local all, last = groups(head or text), groups(tail or "")
  while #all + #last < 8 do all[#all + 1] = 0 end
  for _, value in ipairs(last) do all[#all + 1] = value end
  for i = 1, 8 do
    local kept = math.max(0, math.min(16, bits - (i - 1) * 16))
    if all[i] % 2 ^ (16 - kept) ~= 0 then
      return false
    end
  end
  return true
end

-- The n-th /64 of an Amazon-given /56: "2a05:d018:1:ab00::/56", 2 → "2a05:d018:1:ab02::/64".
function networks.subnet64(block, index)
  local head, last = block:match "^(.-)(%x*)::/56$"
  if not head or last == "" then
    return nil
  end
  local number = tonumber(last, 16)
  number = number - number % 256 + index
  return ("%s%x::/64"):format(head, number)
end

return networks
