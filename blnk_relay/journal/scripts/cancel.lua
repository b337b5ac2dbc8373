-- uses: ground, turns
-- Cancels an intent that was never sent; a compare-and-set on its state.
-- ARGV: id, log line, length of the events stream.
-- Returns: {"cancelled" or the state it is in ("" when unknown, "sent" when it may have taken effect, "doubtful" when it may
--   have been sent in moments that the journal has lost), lanes to ring}.

local id, bells = ARGV[1], {}
local key = intent_key(id)
local fields = redis.call('HMGET', key, 'state', 'lane', 'target', 'orders', 'sent', 'lapsed', 'kind', 'excl', 'lost',
  'created', 'token', 'due')
local state = fields[1]
if not state then return { '', bells } end
if state ~= 'waiting' and state ~= 'ready' then return { state, bells } end
if fields[5] == '1' or fields[6] == '1' then return { 'sent', bells } end
local ready = P .. 'ready:' .. fields[2] .. '|' .. fields[3]
read_ground()
if fields[9] or in_doubt(fields[10], fields[11], state == 'ready' and redis.call('ZSCORE', ready, id) or fields[12]) then
  return { 'doubtful', bells }
end
if state == 'ready' then redis.call('ZREM', ready, id) else leave_waiting(id) end
redis.call('HSET', key, 'state', 'cancelled', 'outcome', 'cancelled', 'updated', NOW)
redis.call('ZADD', P .. 'done', NOW, id)
log(id, ARGV[2])
count('cancelled')
announce(id, fields[7], 'cancelled', '', ARGV[3])
disappoint(id, 'cancelled', ARGV[3])
release(id, { orders = fields[4], excl = fields[8] }, bells)
return { 'cancelled', bells }
