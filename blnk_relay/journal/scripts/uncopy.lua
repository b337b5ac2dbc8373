-- Switches history off by an operator's word: nothing waits for a database any more before it is trimmed.
-- ARGV: silent_ms (whoever copied within that time still does); forced ("1": whether or not); adopts ("1": whoever
--   switches it on again goes on with what stands under this name in its database, whichever journal that is of).
-- Returns: {"off" now or before, or "seen": somebody copies, how many intents were not copied}.
-- Deletes: history, uncopied, lives.
-- Bound: one journal.

local silent_ms, forced, adopts = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1'

local key = P .. 'history'
if not HISTORY then
  -- What kept it from beginning is no matter any more.
  redis.call('HDEL', key, 'trouble', 'trouble_since')
  if adopts then redis.call('HSET', P .. 'ground', 'adopts', '1') end
  return { 'off', 0 }
end
local seen = tonumber(redis.call('HGET', key, 'seen') or '0')
if not forced and NOW >= seen and NOW - seen < silent_ms then return { 'seen', 0 } end
local left = redis.call('ZCARD', P .. 'uncopied')
redis.call('HDEL', P .. 'ground', 'history')
-- The version before kept it with the rest.
local id = redis.call('HGET', key, 'id')
if id then redis.call('HSET', P .. 'ground', 'born', id) end
if adopts then redis.call('HSET', P .. 'ground', 'adopts', '1') end
redis.call('UNLINK', key, P .. 'uncopied', P .. 'lives')
return { 'off', left }
