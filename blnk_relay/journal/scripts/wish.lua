-- Tells worker programs what an operator wants of them; each reads it with its next sign of life. A stop outdoes a quiet.
-- ARGV: wish ("quiet" or "stop"); who; why; dead_ms (silence after which a worker is dead); names.
-- Returns: the names that are told now; not those that were told before, are dead, or are unknown.
-- Deletes: nothing.
-- Bound: the names of one call.

local wish, who, why, dead_ms, names = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), arguments_from(5)

local told = {}
for _, name in ipairs(names) do
  local key, seen = P .. 'worker:' .. name, redis.call('ZSCORE', P .. 'signs', name)
  local sign, before = unpack(redis.call('HMGET', key, 'sign', 'wish'))
  if seen and sign and NOW - tonumber(seen) <= dead_ms and before ~= 'stop' and before ~= wish then
    redis.call('HSET', key, 'wish', wish, 'who', who, 'why', why, 'at', NOW)
    told[#told + 1] = name
  end
end
return told
