-- uses: ground, turns
-- Closes a dead letter by a human's word; what waited behind it goes on.
-- ARGV: id, log line, length of the events stream.
-- Returns: {"discarded" or the state it is in ("" when unknown), lanes to ring}.

local id, bells = ARGV[1], {}
local key = intent_key(id)
local fields = redis.call('HMGET', key, 'state', 'orders', 'excl', 'kind')
if not fields[1] then return { '', bells } end
if fields[1] ~= 'dead' then return { fields[1], bells } end
redis.call('HSET', key, 'state', 'discarded', 'updated', NOW)
redis.call('ZREM', P .. 'dead', id)
redis.call('DEL', P .. 'file:' .. id)
redis.call('ZADD', P .. 'discarded', NOW, id)
log(id, ARGV[2])
count('discarded|' .. fields[4])
announce(id, fields[4], 'discarded', '', ARGV[3])
disappoint(id, 'discarded', ARGV[3])
release(id, { orders = fields[2], excl = fields[3] }, bells)
return { 'discarded', bells }
