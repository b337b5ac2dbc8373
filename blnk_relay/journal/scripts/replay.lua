-- uses: ground, past, owning, renewal, actions, letters, lives
-- Gives a dead letter a new life. What may have been sent is looked up before anything else; only a rejected one gets
-- a new generation, and with it new references.
-- ARGV: id; patience (ms from now to its deadline); fresh ("1": new generation); references of the new generation and
--   their namesakes (as accept.lua takes them); body of the new generation ("": the old one), and the name of the
--   encryption key that it needs; line (of its log); planned ("<generation>|<class>|<code>|<died at>" that the
--   plan rests on); action (see actions.lua).
-- Returns: {"replayed", or the state it is in ("" when unknown, "taken": a new reference belongs to an intent already,
--   "changed": it has had another life since it was planned), lanes to ring, the reference that is taken}.
-- Deletes: dead.
-- Bound: one intent, its orders and references.

local id, patience, fresh, references, namesakes = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5]
local body, sealed, line, planned, action = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local bells, key = {}, intent_key(id)
local intent = fields_of(key, 'state', 'lane', 'sent', 'lapsed', 'gen', 'kind', 'class', 'code', 'token',
  'pending', 'orders', 'lost', 'created')
if not intent.state then return { '', bells } end
if intent.state ~= 'dead' then
  note_action(action, 'refused: ' .. intent.state)
  return { intent.state, bells }
end
-- A fresh reference is safe after a recorded refusal only; what died of something else since must not get one.
local died = redis.call('ZSCORE', P .. 'dead', id)
if life_of(intent, died) ~= planned then
  note_action(action, 'refused: changed')
  return { 'changed', bells }
end
-- A human may have replayed it before, in moments that the journal has lost.
look_about()
local doubt = intent.lost or in_doubt(intent.created, intent.token, died) and LOST or nil
local look = intent.sent == '1' or intent.lapsed == '1' or doubt
if doubt then redis.call('HSET', key, 'lost', doubt) end
if fresh then
  local taken = renew(id, references, namesakes, body, sealed)
  if taken then
    note_action(action, 'refused: taken')
    return { 'taken', bells, taken }
  end
  look = false
end
note_life(id, 'replayed')
to_copy(id)
redis.call('HDEL', key, 'class', 'code', 'message', 'attempts', 'sends', 'accepted', 'refuse', 'looks', 'faults',
  'charged', 'looker')
-- One whose deadline passed before its turn came waits for its turn again.
local held = tonumber(intent.pending or '0') > 0
for order in string.gmatch(intent.orders or '', '[^\n]+') do
  -- It may have given up its turn when it died.
  if not redis.call('ZSCORE', P .. 'order:' .. order, id) then
    redis.call('ZADD', P .. 'order:' .. order, redis.call('INCR', P .. 'seq'), id)
  end
  if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then held = true end
end
-- A new token as well: what was decided in its last life changes nothing in this one.
redis.call('HSET', key, 'state', look and 'posted' or held and 'waiting' or 'ready', 'since', NOW,
  'deadline', NOW + tonumber(patience), 'claims', '0', 'token', next_token(intent.token), 'updated', NOW)
redis.call('ZREM', P .. 'dead', id)
log(id, line)
count('replayed|' .. intent.kind)
if look then
  redis.call('ZADD', P .. 'posted', NOW, id)
  ring(bells, 'confirm')
elseif held then
  redis.call('HSET', key, 'patience', patience)
  redis.call('ZADD', P .. 'waiting', NOW, id)
else
  make_ready(id, intent.lane, NOW)
  ring(bells, intent.lane)
end
note_action(action, 'replayed', 1)
return { 'replayed', bells }
