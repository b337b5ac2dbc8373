-- Records what has to be known of a request before it is sent, and makes it the only one that writes to its rows: to all
-- of them or to none.
-- ARGV: then 5 for each: id, token, memo, rows as "<target>:<row>" (joined by ","), ids seen below them (joined by ",").
-- Returns: one for each: "ok", "stale" (the lease is lost), "busy" (another intent is writing to a row) or "lagging"
--   (an earlier intent made a row below one that was not seen, so the read was older than our own writes).

local answers = {}
for at = 1, #ARGV, 5 do
  local id, token, memo, rows = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local fields = redis.call('HMGET', intent_key(id), 'token', 'state', 'excl')
  local answer, wanted = 'ok', {}
  if fields[1] ~= token or fields[2] ~= 'sending' then answer = 'stale' end
  for row in string.gmatch(rows, '[^,]+') do
    wanted[row] = true
    if answer == 'ok' or answer == 'lagging' then
      local owner = redis.call('GET', P .. 'excl:' .. row)
      if owner and owner ~= id then answer = 'busy' end
    end
    if answer == 'ok' then
      for _, made in ipairs(redis.call('SMEMBERS', P .. 'made:' .. row)) do
        if not string.find(ARGV[at + 4], made, 1, true) then answer = 'lagging' end
      end
    end
  end
  if answer == 'ok' and rows ~= '' then
    for row in string.gmatch(fields[3] or '', '[^,]+') do
      if not wanted[row] and redis.call('GET', P .. 'excl:' .. row) == id then redis.call('DEL', P .. 'excl:' .. row) end
    end
    for row in string.gmatch(rows, '[^,]+') do redis.call('SET', P .. 'excl:' .. row, id) end
    redis.call('HSET', intent_key(id), 'excl', rows)
  end
  if answer == 'ok' then redis.call('HSET', intent_key(id), 'memo', memo) end
  answers[#answers + 1] = answer
end
return answers
