-- Shuts, slows or opens a gate.
-- ARGV: gate ("<target>:<side>"), action (pause, slow, open), code, wait (ms; of a pause: between two probes), manual ("1": by a human, so nobody probes), note.
-- Returns: {1 if that is news}.

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
local rate = gate[4] and math.max(1, math.floor(tonumber(gate[4]) / 2)) or SLOW_RATE
redis.call('HSET', key, 'hold_until', NOW + wait_ms, 'rate', rate, 'tokens', 1, 'stamp', NOW, 'raised', NOW + wait_ms,
  'code', code, 'since', NOW)
count('gate_slowed|' .. code)
return { 1 }
