-- uses: ground, letters, turns, actions
-- Cancels an intent that was never sent; a compare-and-set on its state.
-- ARGV: id; line (of its log); cap (length of the events stream); action (see actions.lua; "" for a program's own).
-- Returns: {"cancelled" or the state it is in ("" when unknown, "sent" when it may have taken effect, "doubtful" when
--   it may have been sent in moments that the journal has lost), lanes to ring}.
-- Deletes: ready:<lane>, waiting, expiring, tried:<lane>.
-- Bound: one intent; turns.lua bounds those that wait for it.

local id, line, cap, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local bells, key = {}, intent_key(id)
local intent = fields_of(key, 'state', 'lane', 'orders', 'sent', 'lapsed', 'kind', 'excl', 'lost', 'created',
  'token', 'due')
local state = intent.state
if not state then return { '', bells } end
if state ~= 'waiting' and state ~= 'ready' then return { state, bells } end
if intent.sent == '1' or intent.lapsed == '1' then return { 'sent', bells } end
local ready = P .. 'ready:' .. intent.lane
look_about()
local due = state == 'ready' and redis.call('ZSCORE', ready, id) or intent.due
if intent.lost or in_doubt(intent.created, intent.token, due, true) then return { 'doubtful', bells } end
if state == 'ready' then redis.call('ZREM', ready, id) else leave_waiting(id) end
redis.call('ZREM', P .. 'tried:' .. intent.lane, id)
redis.call('HSET', key, 'state', 'cancelled', 'outcome', 'cancelled', 'updated', NOW)
redis.call('ZADD', P .. 'done', NOW, id)
to_copy(id)
log(id, line)
count('cancelled')
announce(id, intent.kind, 'cancelled', '', cap)
disappoint(id, 'cancelled', cap)
release(id, intent, bells)
call_a_sweep(bells)
note_action(action, 'cancelled', 1)
return { 'cancelled', bells }
