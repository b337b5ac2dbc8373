-- Lets a target stand for another address of its ledger, by a human's word. The first one is recorded by whoever claims
-- first; see claims.lua.
-- ARGV: target, ledger, who and why.
-- Returns: what it stood for before, '' for nothing.

local ledgers, target, ledger = P .. 'ledgers', ARGV[1], ARGV[2]
local before = redis.call('HGET', ledgers, target) or ''
if before ~= ledger then
  redis.call('HSET', ledgers, target, ledger, target .. '|rebound', string.format('%d %s (was %s)', NOW, ARGV[3], before))
  count('rebound|' .. target)
end
return before
