-- Lets the target stand for another address of its ledger, by a human's word. The first one is recorded by whoever
-- claims first; see claims.lua.
-- ARGV: ledger; reason (who and why).
-- Returns: what it stood for before, '' for nothing.
-- Deletes: nothing.
-- Bound: one hash.

local ledger, reason = ARGV[1], ARGV[2]

local key = P .. 'ledger'
local before = redis.call('HGET', key, 'is') or ''
if before ~= ledger then
  local note = string.format('%d %s (was %s)', NOW, reason, before)
  redis.call('HSET', key, 'is', ledger, 'rebound', note)
  count('rebound')
end
return before
