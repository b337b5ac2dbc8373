-- uses: gates
-- Shuts, slows or opens a gate.
-- ARGV: gate ("<target>:<side>"), action (pause, slow, strain, open), code, wait (ms; of a pause: between two probes;
--   0: as long as its complaints suggest), manual ("1": by a human, so nobody probes), note.
-- Returns: {1 if that is news}.

local FIRST_WAIT_MS, MOST_WAIT_MS, MANY = 100, 30000, 5

local name, action, code, wait_ms, manual = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local key = P .. 'gate:' .. name
local gate = redis.call('HMGET', key, 'state', 'manual', 'hold_until', 'rate')
if action == 'open' then
  return { redis.call('DEL', key) }
end
if action == 'pause' then
  if gate[1] == 'paused' and (gate[2] == '1' or manual ~= '1') then return { 0 } end
  redis.call('HSET', key, 'state', 'paused', 'code', code, 'since', NOW, 'manual', manual, 'probe_at', NOW + wait_ms,
    'probe_ms', wait_ms, 'note', ARGV[6])
  count('gate_paused|' .. code)
  return { 1 }
end
if gate[1] == 'paused' then return { 0 } end
local held = tonumber(gate[3] or '0')
if held > NOW then
  -- Several requests meet the same limit at once; it counts as one.
  redis.call('HSET', key, 'hold_until', math.max(held, NOW + wait_ms))
  return { 0 }
end
local pace = redis.call('HMGET', P .. 'pace:' .. name, 'n', 'last', 'second', 'strain', 'strain_second')
if action == 'strain' then
  -- One failed request says little; many within a second, and a good part of all, say that the target is not well.
  local second = tostring(math.floor(NOW / 1000))
  local strain = (pace[5] == second and tonumber(pace[4]) or 0) + 1
  redis.call('HSET', P .. 'pace:' .. name, 'strain', strain, 'strain_second', second)
  local passed = pace[3] == second and tonumber(pace[1] or '0') or 0
  if strain < MANY or strain * 4 < passed then return { 0 } end
end
local observed = math.max(tonumber(pace[1] or '0'), tonumber(pace[2] or '0'))
local rate = math.max(gate[4] and 1 or SLOW_RATE, math.floor((gate[4] and math.min(tonumber(gate[4]), observed) or observed) / 2))
-- Who names no time is given a little, and twice as much each time that it complains again.
local streak = redis.call('HINCRBY', key, 'streak', 1)
if wait_ms == 0 then wait_ms = math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ^ (streak - 1)) end
redis.call('HSET', key, 'hold_until', NOW + wait_ms, 'rate', rate, 'tokens', 1, 'stamp', NOW, 'raised', NOW + wait_ms,
  'code', code, 'since', NOW)
count('gate_slowed|' .. code)
return { 1 }
