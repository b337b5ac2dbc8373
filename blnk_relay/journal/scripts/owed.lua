-- uses: ground, letters, turns
-- Goes on with those that waited for an intent which is over: the script in which it came to its end deals with some of
-- them, and each call of this one with some more.
-- ARGV: cap (length of the events stream).
-- Returns: {how many intents still owe something to others, lanes to ring}.
-- Deletes: owed.
-- Bound: dependents_left of turns.lua.

local cap = ARGV[1]

local bells = {}

while dependents_left > 0 do
  local first = redis.call('ZRANGE', P .. 'owed', 0, 0)[1]
  if not first then break end
  redis.call('ZREM', P .. 'owed', first)
  local id, what, txn = string.match(first, '^(%S+) (%S+) ?(.*)$')
  if what == 'done' then satisfy(id, txn, bells) else disappoint(id, what, cap) end
end
return { redis.call('ZCARD', P .. 'owed'), bells }
