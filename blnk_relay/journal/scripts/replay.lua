-- uses: ground, owning, renewal
-- Gives a dead letter a new life. What may have been sent is looked up before anything else; only a rejected one gets
-- a new generation, and with it new references.
-- ARGV: id, deadline (ms from now), fresh ("1": new generation), references of the new generation and their twins (as
--   accept.lua takes them), body of the new generation ("": the old one), log line, "<generation>|<class>|<code>" that the
--   plan rests on.
-- Returns: {"replayed", or the state it is in ("" when unknown, "taken": a new reference belongs to an intent already,
--   "changed": it has had another life since it was planned), lanes to ring, the reference that is taken}.

local id, bells = ARGV[1], {}
local key = intent_key(id)
local fields = redis.call('HMGET', key, 'state', 'lane', 'target', 'sent', 'lapsed', 'gen', 'kind', 'class', 'code', 'token',
  'pending', 'orders', 'lost', 'created')
if not fields[1] then return { '', bells } end
if fields[1] ~= 'dead' then return { fields[1], bells } end
-- A fresh reference is safe after a recorded refusal only; what died of something else since must not get one.
if (fields[6] or '0') .. '|' .. (fields[8] or '') .. '|' .. (fields[9] or '') ~= ARGV[8] then return { 'changed', bells } end
-- A human may have replayed it before, in moments that the journal has lost.
read_ground()
local doubt = fields[13] or in_doubt(fields[14], fields[10], redis.call('ZSCORE', P .. 'dead', id)) and LOST or nil
local look = fields[4] == '1' or fields[5] == '1' or doubt
if doubt then redis.call('HSET', key, 'lost', doubt) end
if ARGV[3] == '1' then
  local taken = renew(id, ARGV[4], ARGV[5], ARGV[6])
  if taken then return { 'taken', bells, taken } end
  look = false
end
redis.call('HDEL', key, 'class', 'code', 'message', 'attempts', 'sends', 'accepted', 'refuse', 'looks', 'faults',
  'charged', 'looker')
-- One whose deadline passed before its turn came waits for its turn again.
local held = tonumber(fields[11] or '0') > 0
for order in string.gmatch(fields[12] or '', '[^\n]+') do
  -- It may have given up its turn when it died.
  if not redis.call('ZSCORE', P .. 'order:' .. order, id) then
    redis.call('ZADD', P .. 'order:' .. order, redis.call('INCR', P .. 'seq'), id)
  end
  if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then held = true end
end
-- A new token as well: what was decided in its last life changes nothing in this one.
redis.call('HSET', key, 'state', look and 'posted' or held and 'waiting' or 'ready', 'since', NOW, 'deadline', NOW + tonumber(ARGV[2]), 'claims', '0',
  'token', next_token(fields[10]), 'updated', NOW)
redis.call('ZREM', P .. 'dead', id)
log(id, ARGV[7])
count('replayed|' .. fields[7])
if look then
  redis.call('ZADD', P .. 'posted', NOW, id)
  ring(bells, 'confirm')
elseif held then
  redis.call('HSET', key, 'patience', ARGV[2])
  redis.call('ZADD', P .. 'waiting', NOW, id)
else
  make_ready(id, fields[2], fields[3], NOW)
  ring(bells, fields[2])
end
return { 'replayed', bells }
