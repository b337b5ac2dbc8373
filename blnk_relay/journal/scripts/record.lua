-- Records what has to be known of a request before it is sent, and makes it the only one that writes to its row.
-- ARGV: then 5 for each: id, token, memo, row as "<target>:<row>" or "", ids seen below the row (joined by ",").
-- Returns: one for each: "ok", "stale" (the lease is lost), "busy" (another intent is writing to the row) or "lagging"
--   (an earlier intent made a row below it that was not seen, so the read was older than our own writes).

local answers = {}
for at = 1, #ARGV, 5 do
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
      for _, made in ipairs(redis.call('SMEMBERS', P .. 'made:' .. row)) do
        if not string.find(ARGV[at + 4], made, 1, true) then answer = 'lagging' end
      end
    end
    if answer == 'ok' then
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
