-- uses: ground
-- Takes a step of the server's clock back: a worker's steady clock has shown it, so the journal's time goes on as if
-- there had been none, and silences begin again. Periods that were under way keep their length.
-- ARGV: steps_seen (how often the clock had been set right when the worker saw the step); step (ms, below 0 for back).
-- Returns: {now, how often it was set right, since when clock and tail can be trusted}; unchanged if somebody else was
--   faster.
-- Deletes: nothing.
-- Bound: MOST intents of each set.

local steps_seen, step = tonumber(ARGV[1]), tonumber(ARGV[2])

-- What was written with the stepped time, between the step and now, and would be held by it: most in one set.
local MOST = 1000

local times = steps()
if times ~= steps_seen then
  read_ground()
  return { NOW, times, tonumber(SOLID) }
end

local stepped = NOW
NOW = NOW - step
redis.call('HINCRBYFLOAT', GROUND, 'skew', -step)
redis.call('HSET', GROUND, 'steps', times + 1, 'solid', NOW)
count(step > 0 and 'clock_stepped|forward' or 'clock_stepped|back')

local function pull_back(key)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, string.format('(%d', NOW), stepped, 'LIMIT', 0, MOST)) do
    local created, updated = unpack(redis.call('HMGET', intent_key(id), 'created', 'updated'))
    -- Only what was written after the step can be of a time that has not come yet.
    if math.max(tonumber(created or '0'), tonumber(updated or '0')) > NOW then redis.call('ZADD', key, NOW, id) end
  end
end

if step > 0 then
  for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do pull_back(P .. 'ready:' .. lane) end
  pull_back(P .. 'posted')
end
return { NOW, times + 1, NOW }
