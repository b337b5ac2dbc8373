-- uses: ground, letters, turns, gates, past, forgetting
-- One sweep, by whichever worker gets the lock: lapsed leases go to be looked up, forgotten work gets a bell, finished
-- intents are trimmed after their retention. Dead letters are never touched.
-- ARGV: lock_ms; dead_ms (silence after which a worker is dead); retention_ms; most to handle in one sweep; cap (length
--   of the events stream); shown (what the sweeper has seen of the ground: see stand); program (the worker program that
--   sweeps, "" for none); back_ms (within which it comes again, whatever is due); key_retention_ms (after which
--   keys are forgotten; 0: never); findable (kinds whose keys may be forgotten, by commas); sign (what the worker
--   program says of itself, as JSON; "" for nothing); healed_ms (for which a cause has to be without letters to be
--   over); acted (the last action of operators that the sweeper has seen; "" for a first look).
-- Returns: {1 if this one swept, lanes to ring, id and body of each whose deadline passed while it waited, now, ground:
--   {what to show next time, since when it can be trusted, steps of the clock}, ms until the next thing is due that no
--   bell tells of (-1: nothing is), what an operator wants of the program ("quiet", "stop", "" for nothing), "<lane>
--   <id>" of the first of each lane ("confirm" for looks) that is due and that no gate or pause holds back, causes of
--   dead letters that are over, actions since acted, and of a first look the last one, as the stream has them, id,
--   body, class and code of each letter that nobody was told of, cause and number of those that were too many}. What is
--   to be told is handed out once: a worker that dies before it has told it tells nothing, and none tells it twice.
-- Deletes: intent:<id>, body:<id>, file:<id>, log:<id>, parts:<id>, waiting, expiring, leased:<worker>, workers,
--   alive, done, signs, worker:<name>, emptied, untold, untold-more.
-- Bound: most of each sort, MOST_WORKERS, MOST_BYTES of payloads, MOST_REFERENCES, MOST_CLEARED, MOST_FORGOTTEN,
--   MOST_HEALED, MOST_ACTS, MOST_TOLD.

local lock_ms, dead_ms, retention_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cap, shown, program, back_ms = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local key_retention_ms, findable, sign = tonumber(ARGV[9]), ',' .. ARGV[10] .. ',', ARGV[11]
local healed_ms, acted = tonumber(ARGV[12]), ARGV[13]

local bells, lapsed, expired, healed, acts, untold, beyond = {}, 0, {}, {}, {}, {}, {}
watch(shown)
local seen = stand(shown)
local ground = { seen, tonumber(SOLID), steps() }

-- Whether an intent that is over may be trimmed: it is copied, where that has to be done before. What was over when
-- history was switched on is copied in the order of its end, up to where it was walked.
local walked = HISTORY and redis.call('HGET', P .. 'history', 'walked')
local walked_till = walked and tonumber(string.match(walked, '^%S+')) or nil

local function may_go(id, ended)
  if not HISTORY then return true end
  if walked_till and tonumber(ended) >= walked_till then return false end
  return not redis.call('ZSCORE', P .. 'uncopied', id)
end

-- How often it is looked whether what is held for that may go by now.
local HELD_MS = 10000

-- When the next thing is due, as far as is known by now.
local next_at
local function due_at(at)
  if at and (not next_at or at < next_at) then next_at = at end
end

-- What is due in each lane, and could be taken.
local due_firsts = {}
local function first_of(name)
  local id, at = unpack(redis.call('ZRANGE', P .. name, 0, 0, 'WITHSCORES'))
  return tonumber(at), id
end

local function is_due(lane, at, id, given)
  if at <= NOW and given > 0 then due_firsts[#due_firsts + 1] = lane .. ' ' .. id end
end

-- Looks for what will be due. What is due and has a bell is due again when that has gone unheard; what is due behind a
-- gate, when that opens.
local function look_ahead()
  for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do
    local first, id = first_of('ready:' .. lane)
    if first and redis.call('EXISTS', P .. 'pause:' .. lane) == 0 then
      local given, opens = allowance_of_lane(lane, 1, false)
      is_due(lane, first, id, given)
      due_at(first > NOW and first or given > 0 and NOW + BELL_MS or opens)
    end
  end
  local first, id = first_of('posted')
  if first then
    local given, opens = allowance('read', 1, false)
    is_due('confirm', first, id, given)
    due_at(first > NOW and first or given > 0 and NOW + BELL_MS or opens)
  end
  due_at((first_of('expiring')))
  local oldest, ended = unpack(redis.call('ZRANGE', P .. 'done', 0, 0, 'WITHSCORES'))
  if oldest then
    local due = tonumber(ended) + retention_ms
    due_at(due > NOW and due or may_go(oldest, ended) and NOW or NOW + HELD_MS)
  end
  -- Whoever is at work, or was a moment ago, may make anything due.
  if redis.call('EXISTS', P .. 'workers', P .. 'owed', P .. 'untold') > 0 then due_at(NOW) end
  due_at(forgetting_due(key_retention_ms))
end

-- A sign of life, whether there is anything to sweep or not, and whoever gets the lock.
local wish
if program ~= '' then redis.call('ZADD', P .. 'alive', NOW + back_ms, program) end
if program ~= '' and sign ~= '' then
  local name = string.match(program, '^%S+')
  redis.call('ZADD', P .. 'signs', NOW + back_ms, name)
  redis.call('HSET', P .. 'worker:' .. name, 'sign', sign)
  wish = redis.call('HGET', P .. 'worker:' .. name, 'wish')
end

local function outcome_of(swept)
  look_ahead()
  local next_ms = next_at and math.max(0, math.ceil(next_at - NOW)) or -1
  return { swept, bells, expired, NOW, ground, next_ms, wish or '', due_firsts, healed, acts, untold, beyond }
end

if not take_lock('sweep', lock_ms) then return outcome_of(0) end
redis.call('ZREMRANGEBYSCORE', P .. 'alive', '-inf', NOW - dead_ms)

-- Who was silent for half a day, or is one too many, is no longer told of.
local SIGNS_KEPT_MS, MOST_SIGNS, MOST_FORGOTTEN = 43200000, 1000, 100
local function forget_signs(names)
  for _, name in ipairs(names) do
    redis.call('UNLINK', P .. 'worker:' .. name)
    redis.call('ZREM', P .. 'signs', name)
  end
end
forget_signs(redis.call('ZRANGEBYSCORE', P .. 'signs', '-inf', NOW - SIGNS_KEPT_MS, 'LIMIT', 0, MOST_FORGOTTEN))
local spare = redis.call('ZCARD', P .. 'signs') - MOST_SIGNS
if spare > 0 then forget_signs(redis.call('ZRANGE', P .. 'signs', 0, math.min(spare, MOST_FORGOTTEN) - 1)) end

-- A cause whose letters were all replayed or discarded, and that had none since, is over: it is told once.
local MOST_HEALED = 100
for _, cause in ipairs(redis.call('ZRANGEBYSCORE', P .. 'emptied', '-inf', NOW - healed_ms, 'LIMIT', 0, MOST_HEALED)) do
  redis.call('ZREM', P .. 'emptied', cause)
  -- A worker of a version before, which knows nothing of this, may have buried one since.
  if redis.call('SISMEMBER', P .. 'causes', cause) == 0 then healed[#healed + 1] = cause end
end

-- What operators did is told by whoever sweeps.
local MOST_ACTS = 20
if acted == '' then
  acts = redis.call('XREVRANGE', P .. 'actions', '+', '-', 'COUNT', 1)
else
  acts = redis.call('XRANGE', P .. 'actions', '(' .. acted, '+', 'COUNT', MOST_ACTS)
end

-- What rates are told by: the counters as they were at the end of each minute of the last hour.
local SAMPLE_MS, SAMPLES = 60000, 62
local sampled = tonumber(string.match(redis.call('LINDEX', P .. 'samples', 0) or '', '"at":(%d+)') or '')
if not sampled or NOW - sampled >= SAMPLE_MS or sampled > NOW then
  local sums, died = { accepted = 0, ended = 0 }, {}
  local told = redis.call('HGETALL', P .. 'counts')
  for place = 1, #told, 2 do
    local name, number = told[place], tonumber(told[place + 1])
    local sort = string.match(name, '^[^|]+')
    if sort == 'accepted' then
      sums.accepted = sums.accepted + number
    elseif sort == 'done' or sort == 'dead' or sort == 'cancelled' then
      sums.ended = sums.ended + number
    end
    if sort == 'dead' then died[#died + 1] = string.format('%s:%d', cjson.encode(string.sub(name, 6)), number) end
  end
  redis.call('LPUSH', P .. 'samples', string.format('{"at":%d,"accepted":%d,"ended":%d,"died":{%s}}', NOW,
    sums.accepted, sums.ended, table.concat(died, ',')))
  redis.call('LTRIM', P .. 'samples', 0, SAMPLES - 1)
end

-- After a step the journal's time comes back to the server's, so slowly that no silence gets noticeably shorter by it.
local SLEW_MS = 20
local skew = tonumber(redis.call('HGET', GROUND, 'skew') or '0')
if skew ~= 0 then
  redis.call('HSET', GROUND, 'skew', skew > 0 and math.max(0, skew - SLEW_MS) or math.min(0, skew + SLEW_MS))
  due_at(NOW)
end

-- A lapsed lease is ambiguous: the request may have been sent, so the ledger is read before anything else. Those silent
-- for longest come first; the others have their turn when they are gone.
local MOST_WORKERS = 1000
local left = most

-- Whoever died leaves a note of what it held, for those who ask what became of it.
local MOST_HELD = 20
local function note_fallen(worker, late)
  local key, ids = P .. 'worker:' .. worker, {}
  for index = 1, math.min(#late, MOST_HELD * 2), 2 do ids[#ids + 1] = late[index] end
  redis.call('HSETNX', key, 'fell', NOW)
  redis.call('HSETNX', key, 'ids', table.concat(ids, ' '))
  redis.call('HINCRBY', key, 'held', #late / 2)
  redis.call('ZADD', P .. 'signs', redis.call('ZSCORE', P .. 'workers', worker), worker)
end

for _, worker in ipairs(redis.call('ZRANGE', P .. 'workers', 0, MOST_WORKERS - 1)) do
  local key = P .. 'leased:' .. worker
  local is_dead = NOW - tonumber(redis.call('ZSCORE', P .. 'workers', worker)) > dead_ms
  local late = redis.call('ZRANGEBYSCORE', key, 0, is_dead and '+inf' or NOW, 'WITHSCORES', 'LIMIT', 0, left)
  left = left - #late / 2
  if is_dead and #late > 0 then note_fallen(worker, late) end
  for index = 1, #late, 2 do
    local id, lease_end = late[index], late[index + 1]
    redis.call('ZREM', key, id)
    local state, token, created, charged = unpack(
      redis.call('HMGET', intent_key(id), 'state', 'token', 'created', 'charged'))
    if state == 'sending' then
      -- What was recorded before it was sent may be lost with the tail.
      if in_doubt(created, token) then redis.call('HSET', intent_key(id), 'lost', LOST) end
      redis.call('HSET', intent_key(id), 'state', 'posted', 'lapsed', '1', 'sent_last', lease_end, 'token',
        next_token(token), 'accepted', '0', 'updated', NOW)
      -- Whoever is alive has not died of it.
      if is_dead then
        redis.call('HINCRBY', intent_key(id), 'claims', 1)
        redis.call('HSET', intent_key(id), 'charged', charged_with(charged, worker))
      end
      redis.call('ZADD', P .. 'posted', NOW, id)
      lapsed = lapsed + 1
    end
  end
  if is_dead and redis.call('ZCARD', key) == 0 then redis.call('ZREM', P .. 'workers', worker) end
end
if lapsed > 0 then count('lapsed', lapsed) end

-- What waits for others may wait for a human; a deadline of its own passes all the same. Their bodies are handed over,
-- and one may be megabytes.
local MOST_BYTES = 2000000
local carried = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expiring', 0, NOW, 'LIMIT', 0, most)) do
  if carried > MOST_BYTES then break end
  leave_waiting(id)
  local intent = fields_of(intent_key(id), 'state', 'kind', 'created', 'token', 'due', 'lost')
  if intent.state ~= 'waiting' then
    -- Who stood before it was buried just now, and has let it go.
  elseif intent.lost or in_doubt(intent.created, intent.token, intent.due, true) then
    -- It may have had its turn in moments that the journal has lost: the ledger has the last word.
    redis.call('HSET', intent_key(id), 'state', 'posted', 'lost', intent.lost or LOST, 'updated', NOW)
    redis.call('ZADD', P .. 'posted', NOW, id)
  else
    bury(id, intent.kind, 'refused', 'EXPIRED', 'Its deadline passed before it could be sent.', cap)
    local body = redis.call('GET', P .. 'body:' .. id)
    expired[#expired + 1] = { id, body }
    carried = carried + #body
  end
end

-- Letters that came of a cancel or a discard, as what they are by now.
local MOST_TOLD = 100
for _, id in ipairs(redis.call('ZRANGE', P .. 'untold', 0, MOST_TOLD - 1)) do
  if carried > MOST_BYTES then break end
  redis.call('ZREM', P .. 'untold', id)
  local state, class, code = unpack(redis.call('HMGET', intent_key(id), 'state', 'class', 'code'))
  -- A human was faster.
  if state == 'dead' then
    local body = redis.call('GET', P .. 'body:' .. id) or ''
    untold[#untold + 1] = { id, body, class or '', code or '' }
    carried = carried + #body
  end
end
beyond = redis.call('HGETALL', P .. 'untold-more')
redis.call('DEL', P .. 'untold-more')

for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do
  if redis.call('ZCOUNT', P .. 'ready:' .. lane, 0, NOW) > 0 and redis.call('EXISTS', P .. 'pause:' .. lane) == 0
    and allowance_of_lane(lane, 1, false) > 0 then
    ring(bells, lane)
  end
end
-- While the target cannot be read, nobody has to come and see that.
if redis.call('ZCOUNT', P .. 'posted', 0, NOW) > 0 and allowance('read', 1, false) > 0 then ring(bells, 'confirm') end

if key_retention_ms > 0 then turn_generations(key_retention_ms) end

-- Whether what is left of an intent must stay for ever, because the ledger would not tell that it was done: its kind is
-- such, it was cancelled, or it was done under other references than those that a repeat would be sent under.
local function stays(kind, outcome, gen)
  return not GENERATION or key_retention_ms == 0 or not string.find(findable, ',' .. (kind or '') .. ',', 1, true)
    or outcome == 'cancelled' or (gen or '0') ~= '0'
end

-- References that one sweep moves to what will be forgotten.
local MOST_REFERENCES = 2000
local moved = 0
local over = redis.call('ZRANGEBYSCORE', P .. 'done', 0, NOW - retention_ms, 'WITHSCORES', 'LIMIT', 0, most)
for at = 1, #over, 2 do
  local id, ended = over[at], over[at + 1]
  if moved > MOST_REFERENCES then break end
  if may_go(id, ended) then
    local fingerprint, outcome, txn, kind, gen, refs = unpack(
      redis.call('HMGET', intent_key(id), 'fp', 'outcome', 'txn', 'kind', 'gen', 'refs'))
    if fingerprint then
      local generation = stays(kind, outcome, gen) and '' or GENERATION .. ':'
      keep(generation, id, '', past_packed(fingerprint, outcome or '', txn or ''))
      if generation ~= '' and refs then moved = moved + move_references(generation, id, refs) end
    end
    redis.call('UNLINK', intent_key(id), P .. 'parts:' .. id, P .. 'body:' .. id, P .. 'file:' .. id, P .. 'log:' .. id)
    redis.call('ZREM', P .. 'done', id)
  end
end
return outcome_of(1)
