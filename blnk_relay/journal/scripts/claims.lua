-- Part of scripts that hand intents to workers. Such a script sets WORKER, KINDS (that the worker knows, between
-- commas), KEYS_HELD (names of its encryption keys, between commas), MAX_LAPSES, DEAD_MS (silence after which a worker
-- is dead), CAP (length of the events stream) first.
-- Deletes: alone:<worker>.
-- Bound: SCAN_MOST of a line; the payloads that one script hands out are bounded by it.
local WORKER, KINDS, KEYS_HELD, MAX_LAPSES, DEAD_MS, CAP

-- What is read of an intent: what these scripts need themselves, and behind it what a worker needs to know, which
-- claimed.py reads by the same list.
local FIELDS = {
  'claims', 'looks', 'kind', 'worker', 'sealed',
  'state', 'since', 'deadline', 'token', 'attempts', 'sent', 'lapsed', 'sent_first', 'sent_last', 'sends',
  'accepted', 'refuse', 'memo', 'gen', 'code', 'message', 'results', 'created',
  'lost', 'tail', 'faults', 'again',
}
local OWN = 5

-- Where each of them stands: values[AT.token] costs less than a table by name of each intent would.
local AT = {}
for place, field in ipairs(FIELDS) do AT[field] = place end

-- Whoever had it in hand died, so many times in a row: from then on nothing else is in that process's hands beside it,
-- so that it cannot take others with it, nor be blamed for them.
local ALONE_FROM = 2

-- How long a worker takes nothing else while it waits for its hands to be empty; asked for again at each claim.
local DRAIN_MS = 2000

-- Read of a line in one go, and how long it is remembered that those in front are not for this worker.
local SCAN_MOST, SKIPPED_MS = 1000, 5000

-- Bytes of payloads that this script has claimed: a trip carries a few large intents or many small ones.
local carried = 0

-- Intents that this script buried: id and body of each, for the worker to report. Kinds that it left alone, and, as
-- "key <name>", encryption keys whose intents it left alone.
local BURIED, STRANGE = {}, {}

-- Of one that was accepted since the journal first forgot a key: before when all was over that it may repeat; '' for
-- any other. Workers get it as the field again, which is never written.
local forgot, over

local function may_repeat(created)
  if not GENERATION then return '' end
  if forgot == nil then forgot, over = unpack(redis.call('HMGET', GROUND, 'forgot', 'over')) end
  return forgot and tonumber(created) >= tonumber(forgot) and over or ''
end

-- Whether the worker knows a kind; most of a batch are of few.
local known_kinds = {}

local function knows(kind)
  local known_kind = known_kinds[kind]
  if known_kind == nil then
    known_kind = string.find(KINDS, ',' .. kind .. ',', 1, true) ~= nil
    known_kinds[kind] = known_kind
  end
  return known_kind
end

-- The first encryption key that an intent needs and the worker does not have; nil where it has all.
local function missing_key(sealed)
  for name in string.gmatch(sealed or '', '%S+') do
    if name ~= '-' and not string.find(KEYS_HELD, ',' .. name .. ',', 1, true) then return name end
  end
end

-- The ledger that this journal belongs to, where it is another one than the worker's; '' where all is well. The first
-- who comes says which one it is; see rebind.lua.
local function foreign_to(ledger)
  if ledger ~= '' then redis.call('HSETNX', P .. 'ledger', 'is', ledger) end
  return other_ledger(ledger) or ''
end

-- Notes something of the worker until a moment of the journal's own time: the server's expiry follows a clock that
-- steps, and is only there so that what nobody asks for any more goes away. Returns what is noted, '' for a note
-- without words, nil for none.
local function keep_until(name, words, ms)
  redis.call('SET', P .. name .. ':' .. WORKER, string.format('%d %d %s', NOW, NOW + ms, words), 'PX', ms * 10)
end

local function kept(name)
  local note = redis.call('GET', P .. name .. ':' .. WORKER)
  if not note then return nil end
  local from, till, words = string.match(note, '^(%d+) (%d+) (.*)$')
  if NOW < tonumber(from) or NOW >= tonumber(till) then return nil end
  return words, tonumber(till) - NOW
end

-- Whether a worker gave no sign of life for so long that it is dead.
local function silent(worker)
  local seen = redis.call('ZSCORE', P .. 'workers', worker)
  return not seen or NOW - tonumber(seen) > DEAD_MS
end

-- How many intents the worker has in hand; a batch of looks counts as one.
local function in_hand()
  return redis.call('ZCARD', P .. 'leased:' .. WORKER) + (kept('looking') and 1 or 0)
end

-- Lapses in a row of those that had an intent in hand, with those of the hand that it comes from now. Sends and looks
-- are counted apart: an intent may be posted for hours, and a worker that dies at a look proves little once another
-- look has come to its end. Sweeps count those of sends.
local function lapses_of(values, state)
  if state == 'sending' then return tonumber(values[AT.claims] or '0') end
  -- A look that did not end; whoever was alive all the time has not died of it.
  local looks, worker = values[AT.looks], values[AT.worker]
  if looks and worker and worker ~= WORKER and silent(worker) then return tonumber(looks) + 1 end
  return tonumber(looks or '0')
end

-- How many strangers stand in front of a line, as far as it is remembered.
local function skipped_of(line)
  local number, at = string.match(redis.call('HGET', P .. 'skipped:' .. WORKER, line) or '', '^(%d+) (%d+)$')
  -- Not for long: others may have taken some of them meanwhile.
  if not at or NOW < tonumber(at) or NOW - tonumber(at) > SKIPPED_MS then return 0, NOW end
  return tonumber(number), tonumber(at)
end

-- Reads what is due of a line, oldest first, up to so many that this worker may have. What it does not know stays where
-- it is, for those who do; how many of those stand in front is remembered, so that what is behind them gets its turn.
-- Returns what was read in its order; of each its id, and strange, or values and lapses. And whether it ends with one
-- that has to be alone, which is nil, 'now' or 'later'.
local function line_up(line, state, most)
  local from, at = skipped_of(line)
  local read, found = { from = from, at = at }, 0
  while found < most and #read < SCAN_MOST do
    -- The first page is as long as what is wanted; where it held strangers, the next may be longer.
    local size = math.min(#read == 0 and most or math.max(most, 100), SCAN_MOST - #read)
    local due = redis.call('ZRANGEBYSCORE', line, 0, NOW, 'WITHSCORES', 'LIMIT', from + #read, size)
    for index = 1, #due, 2 do
      if found == most then return read end
      local id = due[index]
      local values = redis.call('HMGET', intent_key(id), unpack(FIELDS))
      local kind, one = values[AT.kind], { id = id, values = values, due = due[index + 1] }
      local no_key = kind and missing_key(values[AT.sealed])
      if not kind then
        one.gone = false
      elseif no_key or not knows(kind) then
        one.strange = true
        STRANGE[no_key and 'key ' .. no_key or kind] = true
      else
        one.lapses = lapses_of(values, state)
        if one.lapses >= ALONE_FROM then
          if found > 0 or in_hand() > 0 then return read, 'later' end
          read[#read + 1] = one
          return read, 'now'
        end
        found = found + 1
      end
      read[#read + 1] = one
    end
    if #due < size * 2 then break end
  end
  return read
end

-- Remembers how many strangers stand in front, once what is not strange was taken out; and takes out what is no intent.
local function remember_strangers(line, read)
  local front, all_gone = 0, true
  for _, one in ipairs(read) do
    if one.gone == false then
      redis.call('ZREM', line, one.id)
    elseif one.strange then
      if all_gone then front = front + 1 end
    elseif not one.gone then
      all_gone = false
    end
  end
  if front == 0 then return end
  redis.call('HSET', P .. 'skipped:' .. WORKER, line, string.format('%d %d', read.from + front, read.at))
  redis.call('PEXPIRE', P .. 'skipped:' .. WORKER, SKIPPED_MS * 10)
end

-- How many of a line are due, without the strangers in front.
local function due_of(line)
  return redis.call('ZCOUNT', line, 0, NOW) - skipped_of(line)
end

-- The lane of this worker that waits for empty hands, or has in hand what must be alone, and for how long it is to be
-- quiet elsewhere (ms); read once, and only where needed.
local quiet, quiet_ms, quiet_read

local function quiet_lane()
  if not quiet_read then
    quiet, quiet_ms = kept('alone')
    quiet_read = true
  end
  return quiet
end

-- Whether the worker may take anything in a lane: not while a lane of it is quiet, and in that lane not before its
-- hands are empty.
local function free_in(lane)
  if not quiet_lane() then return true end
  if quiet ~= lane then return false end
  if in_hand() == 0 then return true end
  if quiet_ms < DRAIN_MS then keep_until('alone', lane, DRAIN_MS) end
  return false
end

-- Says at the end of a script whether the lane is quiet from now on.
local function tell_quiet(lane, wanted, alone, claimed, lease_ms)
  if alone == 'now' and claimed > 0 then
    keep_until('alone', lane, lease_ms)
  elseif alone == 'later' then
    keep_until('alone', lane, DRAIN_MS)
  elseif quiet_lane() == lane and (wanted > 0 or in_hand() == 0) then
    redis.call('DEL', P .. 'alone:' .. WORKER)
  end
end

local function change(changes, field, value)
  changes[#changes + 1] = field
  changes[#changes + 1] = value
end

-- Hands one intent out. Returns nil when every worker that had it died, and it became a dead letter instead; never
-- before it had a worker for itself.
local function claim_one(one, state)
  local id, values = one.id, one.values
  one.gone = true
  if one.lapses >= math.max(MAX_LAPSES, ALONE_FROM + 1) then
    bury(id, values[AT.kind], 'unknown', 'LAPSED_TOO_OFTEN', 'Every worker that claimed it died.', CAP)
    BURIED[#BURIED + 1] = { id, redis.call('GET', P .. 'body:' .. id) or '' }
    return nil
  end
  local body = redis.call('GET', P .. 'body:' .. id) or ''
  carried = carried + #body
  local token = next_token(values[AT.token])
  local changes = { 'token', token, 'state', state, 'worker', WORKER }
  local lost = values[AT.lost]
  if state == 'posted' then
    -- Its being there says that a look is under way.
    change(changes, 'looks', one.lapses)
    if one.lapses > tonumber(values[AT.looks] or '0') then
      change(changes, 'looker', charged_with(redis.call('HGET', intent_key(id), 'looker'), values[AT.worker]))
    end
    -- It was sent, as is known; what became of it, and who wrote to the same rows after it, may be lost.
    if not lost and in_doubt(values[AT.created], values[AT.token]) then
      lost = LOST
      change(changes, 'lost', lost)
    end
  elseif in_doubt(values[AT.created], values[AT.token], one.due, true) then
    lost = LOST
    change(changes, 'lost', lost)
  end
  redis.call('HSET', intent_key(id), unpack(changes))
  values[AT.token], values[AT.lost], values[AT.again] = token, lost, may_repeat(values[AT.created])
  -- Never written: of moments that were lost before the last ones nobody knows any more when they began.
  values[AT.tail] = lost and lost == LOST and TAIL or nil
  local item = { id, body }
  for place = OWN + 1, #FIELDS do item[#item + 1] = values[place] or '' end
  return item
end

local function strange_kinds()
  local kinds = {}
  for kind in pairs(STRANGE) do kinds[#kinds + 1] = kind end
  return kinds
end
