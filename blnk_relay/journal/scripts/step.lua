-- uses: ground
-- Takes a step of the server's clock back: a worker's steady clock has shown it, so the journal's time goes on as if there
-- had been none, and silences begin again. Periods that were under way keep their length.
-- ARGV: how often the clock had been set right when the worker saw the step, the step (ms, below 0 for one back).
-- Returns: {now, how often it was set right, since when clock and tail can be trusted}; unchanged if somebody else was faster.

-- What was written with the stepped time, between the step and now, and would be held by it: most in one set.
local MOST = 1000

local steps, step = tonumber(redis.call('HGET', GROUND, 'steps') or '0'), tonumber(ARGV[2])
if steps ~= tonumber(ARGV[1]) then
  read_ground()
  return { NOW, steps, tonumber(SOLID) }
end

local stepped = NOW
NOW = NOW - step
redis.call('HINCRBYFLOAT', GROUND, 'skew', -step)
redis.call('HSET', GROUND, 'steps', steps + 1, 'solid', NOW)
count(step > 0 and 'clock_stepped|forward' or 'clock_stepped|back')

local function pull_back(key)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, string.format('(%d', NOW), stepped, 'LIMIT', 0, MOST)) do
    local fields = redis.call('HMGET', intent_key(id), 'created', 'updated')
    -- Only what was written after the step can be of a time that has not come yet.
    if math.max(tonumber(fields[1] or '0'), tonumber(fields[2] or '0')) > NOW then redis.call('ZADD', key, NOW, id) end
  end
end

if step > 0 then
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do pull_back(P .. 'ready:' .. queue) end
  pull_back(P .. 'posted')
end
return { NOW, steps + 1, NOW }
