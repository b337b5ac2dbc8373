-- uses: ground, turns
-- Keeps what could not be accepted as a dead letter of a class of its own, so that no task is lost without a word. The same
-- again changes nothing, unless a human has closed the letter meanwhile: whoever sends it again has not been heard yet.
-- ARGV: id, body, kind, target, lane, code, message, length of the events stream.
-- Returns: {"rejected", or the state of the intent that has this id already}.

local id = ARGV[1]
local state = redis.call('HGET', intent_key(id), 'state')
if state and state ~= 'discarded' then return { state } end
redis.call('ZREM', P .. 'discarded', id)
redis.call('SET', P .. 'body:' .. id, ARGV[2])
redis.call('HSET', intent_key(id), 'kind', ARGV[3], 'target', ARGV[4], 'lane', ARGV[5], 'fp', id, 'created', NOW,
  'since', NOW, 'deadline', NOW)
bury(id, ARGV[3], 'invalid', ARGV[6], ARGV[7], ARGV[8])
return { 'rejected' }
