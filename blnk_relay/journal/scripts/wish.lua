-- uses: actions
-- Tells a worker program what an operator wants of it, which it reads with its next sign of life. A stop outdoes a
-- quiet.
-- ARGV: name; wish ("quiet" or "stop"); who; why; dead_ms (silence after which it is dead); action (see note_action).
-- Returns: {1 if it is told now, else 0: it was told before, is dead, or is unknown}.
-- Deletes: nothing.
-- Bound: one worker program.

local name, wish, who, why, dead_ms, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]

local key, seen = P .. 'worker:' .. name, redis.call('ZSCORE', P .. 'signs', name)
local sign, before = unpack(redis.call('HMGET', key, 'sign', 'wish'))
if not seen or not sign or NOW - tonumber(seen) > dead_ms or before == 'stop' or before == wish then return { 0 } end
redis.call('HSET', key, 'wish', wish, 'who', who, 'why', why, 'at', NOW)
note_action(action)
return { 1 }
