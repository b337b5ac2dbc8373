-- Of some intents, those whose fields have wanted values now. Changes nothing.
-- ARGV: since (earliest change; "-inf": any); before (first one that is too late; "+inf": none); number (of fields);
--   of each field name and value; ids.
-- Returns: ids.
-- Deletes: nothing.
-- Bound: the ids of one call; the listing sends a page.

local since = ARGV[1] == '-inf' and -math.huge or tonumber(ARGV[1])
local before = ARGV[2] == '+inf' and math.huge or tonumber(ARGV[2])
local number = tonumber(ARGV[3])
local wanted, ids = arguments_from(4), arguments_from(4 + 2 * number)

local names, values, found = { 'updated', 'created' }, {}, {}
for at = 1, 2 * number, 2 do
  names[#names + 1] = wanted[at]
  values[wanted[at]] = wanted[at + 1]
end
for _, id in ipairs(ids) do
  local fields = fields_of(intent_key(id), unpack(names))
  local changed = tonumber(fields.updated or fields.created or '0')
  local fits = changed >= since and changed < before
  for name, value in pairs(values) do fits = fits and fields[name] == value end
  if fits then found[#found + 1] = id end
end
return found
