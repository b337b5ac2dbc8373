-- uses: ground, letters, turns, lives
-- Keeps what could not be accepted as a dead letter of a class of its own, so that no task is lost without a word. The
-- same again changes nothing, unless a human has closed the letter meanwhile: whoever sends it again has not been heard
-- yet.
-- ARGV: id; body; kind; lane; code; message; cap (length of the events stream); sealed (name of the encryption key that
--   body and message need, "" for none).
-- Returns: {"rejected", or the state of the intent that has this id already}.
-- Deletes: discarded.
-- Bound: one letter.

local id, body, kind, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local code, message, cap, sealed = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local state = redis.call('HGET', intent_key(id), 'state')
if state and state ~= 'discarded' then return { state } end
note_life(id, 'discarded')
redis.call('ZREM', P .. 'discarded', id)
redis.call('SET', P .. 'body:' .. id, body)
redis.call('HSET', intent_key(id), 'kind', kind, 'lane', lane, 'fp', id, 'created', NOW,
  'since', NOW, 'deadline', NOW)
redis.call('HDEL', intent_key(id), 'died')
if sealed == '' then
  redis.call('HDEL', intent_key(id), 'sealed')
else
  redis.call('HSET', intent_key(id), 'sealed', sealed)
end
bury(id, kind, 'invalid', code, message, cap)
return { 'rejected' }
