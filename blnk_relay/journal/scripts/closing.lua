-- Part of scripts that close dead letters by a human's word; needs ground, letters, turns.
-- Deletes: file:<id>, dead.
-- Bound: one letter; turns.lua bounds those that wait for it.

-- Closes a dead letter; what waited behind it goes on.
-- planned: the life that it was looked at in, as life_of says it, and behind it "|replayed" where it was said to
--   whoever looked that it may have been replayed in moments that the journal has lost; '' for any.
-- Returns "closed", or the state that it is in ("" when unknown, "changed": it has had another life since), and what
--   it was worth.
local function close_letter(id, line, cap, planned, bells)
  local key = intent_key(id)
  local intent = fields_of(key, 'state', 'orders', 'excl', 'kind', 'gen', 'class', 'code', 'worth')
  if intent.state ~= 'dead' then return intent.state or '' end
  local died = redis.call('ZSCORE', P .. 'dead', id)
  if planned ~= '' then
    local life = life_of(intent, died)
    look_about()
    -- Whoever closes it because it says that nothing happened has to know that it may say so of the life before.
    if may_have_been_replayed(id) then
      if planned ~= life .. '|replayed' then return 'changed' end
    elseif planned ~= life then
      return 'changed'
    end
  end
  redis.call('HSET', key, 'state', 'discarded', 'updated', NOW)
  if HISTORY and died then redis.call('HSET', key, 'died', died) end
  redis.call('ZREM', P .. 'dead', id)
  leave_cause(id, intent)
  redis.call('UNLINK', P .. 'file:' .. id)
  redis.call('ZADD', P .. 'discarded', NOW, id)
  to_copy(id)
  log(id, line)
  count('discarded|' .. intent.kind)
  announce(id, intent.kind, 'discarded', '', cap)
  disappoint(id, 'discarded', cap)
  release(id, intent, bells)
  return 'closed', intent.worth
end
