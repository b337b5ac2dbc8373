-- uses: letters
-- Makes anew what is kept beside the letters of what they died of: drops it all, or takes some letters in.
-- ARGV: action ("drop", or "join"); ids (of letters to take in).
-- Returns: how many letters are accounted for now.
-- Deletes: causes, letters:<cause>, sums:<cause>, affected:<cause>.
-- Bound: the causes that there are, whose letters are given back in the background; or the ids of one call.

local action, ids = ARGV[1], arguments_from(2)

if action == 'drop' then
  for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
    redis.call('UNLINK', P .. 'letters:' .. cause, P .. 'sums:' .. cause, P .. 'affected:' .. cause)
  end
  redis.call('DEL', P .. 'causes')
end
for _, id in ipairs(ids) do
  local letter = fields_of(intent_key(id), 'state', 'kind', 'class', 'code', 'orders')
  local died = redis.call('ZSCORE', P .. 'dead', id)
  if letter.state == 'dead' and died then
    join_cause(id, letter.kind or '', letter.class or '', letter.code or '', letter.orders, died)
  end
end
local number = 0
for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
  number = number + redis.call('ZCARD', P .. 'letters:' .. cause)
end
return number
