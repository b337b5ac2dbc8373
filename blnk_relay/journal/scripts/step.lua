-- uses: ground
-- Takes a step of the server's clock back: a worker's steady clock has shown it, so the journal's time goes on as if
-- there had been none, and silences begin again. Periods that were under way keep their length.
-- ARGV: steps_seen (how often the clock had been set right when the worker saw the step); step (ms, below 0 for back).
-- Returns: {now, how often it was set right, since when clock and tail can be trusted}; unchanged if somebody else was
--   faster.
-- Deletes: nothing.
-- Bound: MOST intents of each set; MOST workers that have spoken since the step.

local steps_seen, step = tonumber(ARGV[1]), tonumber(ARGV[2])

-- Most of one set that is looked at, nearest to the step first.
local MOST = 1000

local times = steps()
if times ~= steps_seen then
  read_ground()
  return { NOW, times, tonumber(SOLID) }
end

local stepped = NOW
NOW = NOW - step
redis.call('HINCRBYFLOAT', GROUND, 'skew', -step)
redis.call('HSET', GROUND, 'steps', times + 1, 'solid', NOW, 'watched', NOW)
count(step > 0 and 'clock_stepped|forward' or 'clock_stepped|back')

-- What was written with the stepped time, between the step and now, would be held by it. It has its time again: what
-- was due at once is due now, what was put off or leased is due when it would have been.

-- Intents in a ready set or posted. Only what was written after the step can be of a time that has not come yet.
local function pull_back(key)
  local now = string.format('(%d', NOW)
  for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', key, stepped, now, 'LIMIT', 0, MOST)) do
    local created, updated = unpack(redis.call('HMGET', intent_key(id), 'created', 'updated'))
    if math.max(tonumber(created or '0'), tonumber(updated or '0')) > NOW then redis.call('ZADD', key, NOW, id) end
  end
  local later = redis.call('ZRANGEBYSCORE', key, string.format('(%d', stepped), '+inf', 'WITHSCORES', 'LIMIT', 0, MOST)
  for index = 1, #later, 2 do
    local id, at = later[index], tonumber(later[index + 1])
    local created, updated, due, looks =
      unpack(redis.call('HMGET', intent_key(id), 'created', 'updated', 'due', 'looks'))
    -- A time that somebody has named stays; what is in hand for a look says nothing of when it was taken; and what was
    -- due as it was accepted may lie here when the clock went on and came back a little.
    if looks or tonumber(created or '0') == at or (tonumber(updated or '0') > NOW and tonumber(due or '0') ~= at) then
      redis.call('ZADD', key, math.max(NOW, at - step), id)
    end
  end
end

-- Signs of life, and leases: a worker that has died since would seem to be alive.
local function pull_back_hands()
  local seen = redis.call('ZREVRANGEBYSCORE', P .. 'workers', '+inf', string.format('(%d', NOW), 'LIMIT', 0, MOST)
  for _, worker in ipairs(seen) do
    redis.call('ZADD', P .. 'workers', NOW, worker)
    local key = P .. 'leased:' .. worker
    local later =
      redis.call('ZRANGEBYSCORE', key, string.format('(%d', stepped), '+inf', 'WITHSCORES', 'LIMIT', 0, MOST)
    for index = 1, #later, 2 do redis.call('ZADD', key, later[index + 1] - step, later[index]) end
  end
end

-- When a gate lets somebody through again.
local function pull_back_gate(side)
  local key = P .. 'gate:' .. side
  local gate = fields_of(key, 'probe_at', 'hold_until', 'raised', 'stamp')
  for _, name in ipairs({ 'probe_at', 'hold_until', 'raised' }) do
    local at = tonumber(gate[name] or '0')
    if at > stepped then redis.call('HSET', key, name, at - step) end
    if at > NOW and at <= stepped and tonumber(gate.stamp or '0') > NOW then redis.call('HSET', key, name, NOW) end
  end
  if tonumber(gate.stamp or '0') > NOW then redis.call('HSET', key, 'stamp', NOW) end
end

if step > 0 then
  for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do
    pull_back(P .. 'ready:' .. lane)
    pull_back_gate('lane:' .. lane)
  end
  pull_back(P .. 'posted')
  pull_back_hands()
  -- Lost moments that ended in time to come would put all in doubt until then.
  if tonumber(redis.call('HGET', GROUND, 'lost') or '0') > NOW then redis.call('HSET', GROUND, 'lost', NOW) end
  pull_back_gate('write')
  pull_back_gate('read')
end
return { NOW, times + 1, NOW }
