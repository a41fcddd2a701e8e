-- The names that a table has, for what is told to an operator: "a, b, c".
return function(map)
  local out = {}
  for name in pairs(map) do
    out[#out + 1] = name
  end
  table.sort(out)
  return table.concat(out, ", ")
end
