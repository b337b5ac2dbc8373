-- Part of scripts that give dead letters a new life; needs ground, letters, lives, past, owning, renewal.
-- Deletes: dead.
-- Bound: one letter, its orders and references.

-- Gives a dead letter a new life. What may have been sent is looked up before anything else; only a rejected one gets a
-- new generation, and with it new references.
-- fresh: what it is sent under then, {references, namesakes, body, sealed} as renew takes it; nil for what it was.
-- planned: the life that the plan rests on, as life_of says it.
-- Returns "replayed", or the state that it is in ("" when unknown, "changed": it has had another life since it was
--   planned, "taken": a new reference belongs to an intent already, and that reference), and what it was worth.
local function revive_letter(id, patience, fresh, line, planned, bells)
  local key = intent_key(id)
  local intent = fields_of(key, 'state', 'lane', 'sent', 'lapsed', 'gen', 'kind', 'class', 'code', 'token',
    'pending', 'orders', 'lost', 'created', 'worth', 'place')
  if intent.state ~= 'dead' then return intent.state or '' end
  -- A fresh reference is safe after a recorded refusal only; what died of something else since must not get one.
  local died = redis.call('ZSCORE', P .. 'dead', id)
  if life_of(intent, died) ~= planned then return 'changed' end
  -- A human may have replayed it before, in moments that the journal has lost.
  look_about()
  local doubt = intent.lost or in_doubt(intent.created, intent.token, died) and LOST or nil
  local look = intent.sent == '1' or intent.lapsed == '1' or doubt
  if doubt then redis.call('HSET', key, 'lost', doubt) end
  if fresh then
    local taken = renew(id, unpack(fresh))
    if taken then return 'taken', taken end
    look = false
  end
  note_life(id, 'replayed', intent.gen or '0')
  to_copy(id)
  redis.call('HDEL', key, 'class', 'code', 'message', 'attempts', 'sends', 'accepted', 'refuse', 'looks', 'faults',
    'charged', 'looker')
  -- One whose deadline passed before its turn came waits for its turn again.
  local held = tonumber(intent.pending or '0') > 0
  for order in string.gmatch(intent.orders or '', '[^\n]+') do
    -- It may have given up its turn when it died. What waits for it may stand in the same order, and goes behind it.
    if not redis.call('ZSCORE', P .. 'order:' .. order, id) then
      redis.call('ZADD', P .. 'order:' .. order, intent.place or redis.call('INCR', P .. 'seq'), id)
    end
    if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then held = true end
  end
  if not held then take_turns(id, intent.orders) end
  -- What is only in doubt is looked for when its turn has come: a look sends what it does not find.
  if held and intent.sent ~= '1' and intent.lapsed ~= '1' then look = false end
  -- A new token as well: what was decided in its last life changes nothing in this one.
  redis.call('HSET', key, 'state', look and 'posted' or held and 'waiting' or 'ready', 'since', NOW,
    'deadline', NOW + tonumber(patience), 'claims', '0', 'token', next_token(intent.token), 'updated', NOW)
  redis.call('ZREM', P .. 'dead', id)
  leave_cause(id, intent)
  if not held then redis.call('ZADD', P .. 'tried:' .. intent.lane, intent.created, id) end
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
  return 'replayed', intent.worth
end
