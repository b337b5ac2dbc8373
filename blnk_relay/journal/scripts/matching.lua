-- Of some intents, those whose fields have wanted values now. Changes nothing.
-- ARGV: earliest change ("-inf": any), first one that is too late ("+inf": none), how many fields, name and value of each, ids.
-- Returns: ids.

local since = ARGV[1] == '-inf' and -math.huge or tonumber(ARGV[1])
local before = ARGV[2] == '+inf' and math.huge or tonumber(ARGV[2])
local number = tonumber(ARGV[3])
local names, values = { 'updated', 'created' }, {}
for index = 1, number do
  names[index + 2] = ARGV[2 + 2 * index]
  values[index] = ARGV[3 + 2 * index]
end

local found = {}
for at = 4 + 2 * number, #ARGV do
  local fields = redis.call('HMGET', intent_key(ARGV[at]), unpack(names))
  local changed = tonumber(fields[1] or fields[2] or '0')
  local fits = changed >= since and changed < before
  for index = 1, number do fits = fits and fields[index + 2] == values[index] end
  if fits then found[#found + 1] = ARGV[at] end
end
return found
