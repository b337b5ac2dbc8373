-- uses: ground, turns
-- Closes a dead letter by a human's word; what waited behind it goes on.
-- ARGV: id; line (of its log); cap (length of the events stream).
-- Returns: {"discarded" or the state it is in ("" when unknown), lanes to ring}.
-- Deletes: file:<id>, dead.
-- Bound: one intent; turns.lua bounds those that wait for it.

local id, line, cap = ARGV[1], ARGV[2], ARGV[3]

local bells, key = {}, intent_key(id)
local intent = fields_of(key, 'state', 'orders', 'excl', 'kind')
if not intent.state then return { '', bells } end
if intent.state ~= 'dead' then return { intent.state, bells } end
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
return { 'discarded', bells }
