-- uses: ground, turns, actions, letters
-- Closes a dead letter by a human's word; what waited behind it goes on.
-- ARGV: id; line (of its log); cap (length of the events stream); planned (as replay.lua takes it, "": whatever it died
--   of); action (see actions.lua).
-- Returns: {"discarded", or the state it is in ("" when unknown, "changed": it has had another life since it was looked
--   at), lanes to ring}.
-- Deletes: file:<id>, dead.
-- Bound: one intent; turns.lua bounds those that wait for it.

local id, line, cap, planned, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local bells, key = {}, intent_key(id)
local intent = fields_of(key, 'state', 'orders', 'excl', 'kind', 'gen', 'class', 'code')
if not intent.state then return { '', bells } end
if intent.state ~= 'dead' then
  note_action(action, 'refused: ' .. intent.state)
  return { intent.state, bells }
end
if planned ~= '' and life_of(intent, redis.call('ZSCORE', P .. 'dead', id)) ~= planned then
  note_action(action, 'refused: changed')
  return { 'changed', bells }
end
local died = redis.call('ZSCORE', P .. 'dead', id)
redis.call('HSET', key, 'state', 'discarded', 'updated', NOW)
if HISTORY and died then redis.call('HSET', key, 'died', died) end
redis.call('ZREM', P .. 'dead', id)
redis.call('UNLINK', P .. 'file:' .. id)
redis.call('ZADD', P .. 'discarded', NOW, id)
to_copy(id)
log(id, line)
count('discarded|' .. intent.kind)
announce(id, intent.kind, 'discarded', '', cap)
disappoint(id, 'discarded', cap)
release(id, intent, bells)
call_a_sweep(bells)
note_action(action, 'discarded', 1)
return { 'discarded', bells }
