-- Takes the turn to audit, or prolongs or ends one's own.
-- ARGV: worker; for_ms (how long it is taken for; 0: it is left to others).
-- Returns: {1 if it is this worker's now}.
-- Deletes: auditor.
-- Bound: one turn.

local worker, for_ms = ARGV[1], tonumber(ARGV[2])

local key = P .. 'auditor'
local turn = fields_of(key, 'worker', 'until')
-- A turn that ends later than any is given for is from before the clock was set back.
local left_ms = tonumber(turn['until'] or '0') - NOW
if turn.worker and turn.worker ~= worker and left_ms > 0 and left_ms <= for_ms then return { 0 } end
if for_ms == 0 then
  if turn.worker == worker then redis.call('DEL', key) end
  return { 0 }
end
redis.call('HSET', key, 'worker', worker, 'until', string.format('%d', NOW + for_ms))
redis.call('PEXPIRE', key, for_ms * 10)
return { 1 }
