-- Lets a target stand for another address of its ledger, by a human's word. The first one is recorded by whoever claims
-- first; see claims.lua.
-- ARGV: target; ledger; reason (who and why).
-- Returns: what it stood for before, '' for nothing.
-- Deletes: nothing.
-- Bound: one target.

local target, ledger, reason = ARGV[1], ARGV[2], ARGV[3]

local ledgers = P .. 'ledgers'
local before = redis.call('HGET', ledgers, target) or ''
if before ~= ledger then
  local note = string.format('%d %s (was %s)', NOW, reason, before)
  redis.call('HSET', ledgers, target, ledger, target .. '|rebound', note)
  count('rebound|' .. target)
end
return before
