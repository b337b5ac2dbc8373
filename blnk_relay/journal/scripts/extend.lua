-- Prolongs what a worker has in hand, which is also a sign of life of it. Nothing is ever shortened, and what is no longer
-- its own is left alone.
-- ARGV: worker, then 4 for each: id, token, state that it was taken in (sending or posted), lease from now (ms).
-- Returns: one for each: 1 if it is still in the worker's hands, else 0.

local worker, answers, look_ms = ARGV[1], {}, 0
redis.call('ZADD', P .. 'workers', NOW, worker)
for at = 2, #ARGV, 4 do
  local id, token, state, lease_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local fields = redis.call('HMGET', intent_key(id), 'token', 'state', 'looks')
  local held = fields[1] == token and fields[2] == state
  -- A look that has ended leaves it posted, under the same token.
  if held and state == 'posted' and not fields[3] then held = false end
  if held then
    redis.call('ZADD', state == 'sending' and P .. 'leased:' .. worker or P .. 'posted', 'XX', 'GT', NOW + lease_ms, id)
    if state == 'posted' then look_ms = math.max(look_ms, lease_ms) end
  else
    acquit(id, worker)
  end
  answers[#answers + 1] = held and 1 or 0
end
-- As claims.lua notes it.
local function keep_until(name, words)
  redis.call('SET', P .. name .. ':' .. worker, string.format('%d %d %s', NOW, NOW + look_ms, words), 'PX', look_ms * 10)
end

if look_ms > 0 then
  keep_until('looking', '')
  if string.match(redis.call('GET', P .. 'alone:' .. worker) or '', ' confirm$') then keep_until('alone', 'confirm') end
end
return answers
