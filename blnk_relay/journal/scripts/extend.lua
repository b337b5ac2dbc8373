-- uses: ground
-- Prolongs what a worker has in hand, which is also a sign of life of it. Nothing is ever shortened, and what is no
-- longer its own is left alone.
-- ARGV:
--   worker
--   then, of each intent: id, token, state that it was taken in (sending or posted), lease_ms from now
-- Returns: one for each: 1 if it is still in the worker's hands, else 0.
-- Deletes: nothing.
-- Bound: the intents of one call; the journal sends EXTEND_CHUNK.

local worker = ARGV[1]

local answers, look_ms = {}, 0
-- Before the sign of life: by the last one of before is told how much may be lost.
look_about()
redis.call('ZADD', P .. 'workers', NOW, worker)
for id, token_then, state_then, lease_ms in records(2, 4) do
  local token, state, looks = unpack(redis.call('HMGET', intent_key(id), 'token', 'state', 'looks'))
  local in_hands = token == token_then and state == state_then
  -- A look that has ended leaves it posted, under the same token.
  if in_hands and state == 'posted' and not looks then in_hands = false end
  if in_hands then
    local hands = state == 'sending' and P .. 'leased:' .. worker or P .. 'posted'
    redis.call('ZADD', hands, 'XX', 'GT', NOW + tonumber(lease_ms), id)
    if state == 'posted' then look_ms = math.max(look_ms, tonumber(lease_ms)) end
  else
    acquit(id, worker)
  end
  answers[#answers + 1] = in_hands and 1 or 0
end

-- As keep_until of claims.lua notes it.
local function prolong(name, words)
  local note = string.format('%d %d %s', NOW, NOW + look_ms, words)
  redis.call('SET', P .. name .. ':' .. worker, note, 'PX', look_ms * 10)
end

if look_ms > 0 then
  prolong('looking', '')
  if string.match(redis.call('GET', P .. 'alone:' .. worker) or '', ' confirm$') then prolong('alone', 'confirm') end
end
return answers
