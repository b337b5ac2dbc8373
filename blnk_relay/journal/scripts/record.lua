-- Records what has to be known of a request before it is sent, and makes it the only one that writes to its rows: to all
-- of them or to none.
-- ARGV: then 6 for each: id, token, memo, rows as "<target>:<row>" (joined by ","), ids seen below them (joined by ","),
--   ids of those among them that may be its own work, from moments that the journal has lost (joined by ",").
-- Returns: one for each: "ok", "stale" (the lease is lost), "busy" (another intent is writing to a row), "lagging"
--   (an earlier intent made a row below one that was not seen, so the read was older than our own writes) or "doubtful"
--   (a row that may be its own work is not known to be another intent's).

local answers = {}

-- Whether some intent of ours is known to have made a row below one of these.
local function is_known(made, rows)
  for row in string.gmatch(rows, '[^,]+') do
    if redis.call('SISMEMBER', P .. 'made:' .. row, made) == 1 then return true end
  end
  return false
end

for at = 1, #ARGV, 6 do
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
  if answer == 'ok' then
    for made in string.gmatch(ARGV[at + 5], '[^,]+') do
      if not is_known(made, rows) then answer = 'doubtful' end
    end
  end
  if answer == 'ok' and rows ~= '' then
    for row in string.gmatch(fields[3] or '', '[^,]+') do
      if not wanted[row] and redis.call('GET', P .. 'excl:' .. row) == id then redis.call('DEL', P .. 'excl:' .. row) end
    end
    for row in string.gmatch(rows, '[^,]+') do redis.call('SET', P .. 'excl:' .. row, id) end
    redis.call('HSET', intent_key(id), 'excl', rows)
  end
  if answer == 'ok' then
    redis.call('HSET', intent_key(id), 'memo', memo)
    redis.call('HDEL', intent_key(id), 'lost')
  end
  answers[#answers + 1] = answer
end
return answers
