-- uses: ground
-- Records what has to be known of a request before it is sent, and makes it the only one that writes to its rows: to
-- all of them or to none.
-- ARGV: of each intent:
--   id, token, memo
--   rows             that it writes to, joined by ","
--   seen             ids of rows that were seen below them, joined by ","; "*" where what was made may be gone by now
--   perhaps_ours     ids of those among them that may be its own work, from moments that the journal has lost
--   sealed           name of the encryption key that the memo needs; "" for none
--   until            until when it may have been sent, as far as is known before this
--   settled          since when nothing of ours may have been written to the rows; 0 for any
-- Returns: one for each: "ok", "stale" (the lease is lost), "busy" (another intent is writing to a row), "lagging"
--   (an earlier intent made a row below one that was not seen, so the read was older than our own writes, or may have
--   been), "doubtful"
--   (a row that may be its own work is not known to be another intent's) or "lost" (it was claimed before the journal
--   lost its last moments).
-- Deletes: excl:<row>.
-- Bound: the intents of one call and their rows; of what was made below a row no more than was seen.

local answers = {}
look_about()

-- Whether each row that our intents made below one is among those seen. More than were seen cannot be, and what is read
-- here is as long as what came with the call.
local function is_seen(row, seen, number)
  local made = P .. 'made:' .. row
  if redis.call('SCARD', made) > number then return false end
  for _, one in ipairs(redis.call('SMEMBERS', made)) do
    if not seen[one] then return false end
  end
  return true
end

-- Whether nothing of ours was written to a row since then. What was written by a clock that had stepped was written
-- before that was noticed.
local function is_settled(row, since)
  local wrote = since > 0 and redis.call('GET', P .. 'wrote:' .. row)
  if not wrote then return true end
  local wrote_ms = tonumber(wrote) <= NOW and tonumber(wrote) or 0
  return math.max(wrote_ms, tonumber(SOLID)) <= since
end

-- Whether some intent of ours is known to have made a row below one of these.
local function is_of_another(made, rows)
  for row in string.gmatch(rows, '[^,]+') do
    if redis.call('SISMEMBER', P .. 'made:' .. row, made) == 1 then return true end
  end
  return false
end

for id, token_then, memo, rows, seen_ids, perhaps_ours, sealed, until_ms, settled in records(1, 9) do
  local token, state, excl, lost, created = unpack(
    redis.call('HMGET', intent_key(id), 'token', 'state', 'excl', 'lost', 'created'))
  local answer, wanted, seen, number = 'ok', {}, {}, 0
  for one in string.gmatch(seen_ids, '[^,]+') do seen[one], number = true, number + 1 end
  if token ~= token_then or state ~= 'sending' then
    answer = 'stale'
  elseif in_doubt(created, token) then
    -- Whoever stood still may have been thought dead in the lost moments, and another may have sent it then.
    answer = 'lost'
    redis.call('HSET', intent_key(id), 'lost', lost or LOST)
  end
  for row in string.gmatch(rows, '[^,]+') do
    wanted[row] = true
    if answer == 'ok' or answer == 'lagging' then
      local owner = redis.call('GET', P .. 'excl:' .. row)
      if owner and owner ~= id then answer = 'busy' end
    end
    local fresh = seen_ids == '*' or is_seen(row, seen, number)
    if answer == 'ok' and not (fresh and is_settled(row, tonumber(settled))) then
      answer = 'lagging'
    end
  end
  if answer == 'ok' then
    for made in string.gmatch(perhaps_ours, '[^,]+') do
      if not is_of_another(made, rows) then answer = 'doubtful' end
    end
  end
  if answer == 'ok' and rows ~= '' then
    for row in string.gmatch(excl or '', '[^,]+') do
      if not wanted[row] and redis.call('GET', P .. 'excl:' .. row) == id then
        redis.call('DEL', P .. 'excl:' .. row)
      end
    end
    for row in string.gmatch(rows, '[^,]+') do redis.call('SET', P .. 'excl:' .. row, id) end
    redis.call('HSET', intent_key(id), 'excl', rows)
  end
  if answer == 'ok' then
    redis.call('HSET', intent_key(id), 'memo', memo)
    note_keys(id, sealed)
    if lost then
      -- What is recorded now is known from here on. It may have been sent before all the same, in moments that the
      -- journal has lost, and a look need not have shown that yet: as under a lease that lapsed then.
      redis.call('HDEL', intent_key(id), 'lost')
      redis.call('HSET', intent_key(id), 'sent', '1', 'lapsed', '1', 'sent_last', until_ms)
    end
  end
  answers[#answers + 1] = answer
end
return answers
