-- Records what has to be known of a request before it is sent, and makes it the only one that writes to its row.
-- ARGV: then 4 for each: id, token, memo, row as "<target>:<row>" or "".
-- Returns: one for each: "ok", "stale" (the lease is lost) or "busy" (another intent is writing to the row).

local answers = {}
for at = 1, #ARGV, 4 do
  local id, token, memo, row = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local fields = redis.call('HMGET', intent_key(id), 'token', 'state', 'excl')
  local answer = 'ok'
  if fields[1] ~= token or fields[2] ~= 'sending' then
    answer = 'stale'
  elseif row ~= '' then
    local owner = redis.call('GET', P .. 'excl:' .. row)
    if owner and owner ~= id then
      answer = 'busy'
    else
      if fields[3] and fields[3] ~= row and redis.call('GET', P .. 'excl:' .. fields[3]) == id then
        redis.call('DEL', P .. 'excl:' .. fields[3])
      end
      redis.call('SET', P .. 'excl:' .. row, id)
      redis.call('HSET', intent_key(id), 'excl', row)
    end
  end
  if answer == 'ok' then redis.call('HSET', intent_key(id), 'memo', memo) end
  answers[#answers + 1] = answer
end
return answers
