-- uses: actions
-- Lets the target stand for another address of its ledger, by a human's word. The first one is recorded by whoever
-- claims first; see claims.lua.
-- ARGV: ledger; reason (who and why); action (see actions.lua).
-- Returns: what it stood for before, '' for nothing.
-- Deletes: nothing.
-- Bound: one hash.

local ledger, reason, action = ARGV[1], ARGV[2], ARGV[3]

local key = P .. 'ledger'
local before = redis.call('HGET', key, 'is') or ''
if before ~= ledger then
  local note = string.format('%d %s (was %s)', NOW, reason, before)
  redis.call('HSET', key, 'is', ledger, 'rebound', note)
  count('rebound')
  note_action(action, 'was ' .. (before == '' and 'nothing' or before))
end
return before
