-- Part of scripts that hand intents to workers.

-- What a worker needs to know of an intent, in this order; records.py reads it by the same list.
local FIELDS = {
  'state', 'since', 'deadline', 'token', 'attempts', 'sent', 'lapsed', 'sent_first', 'sent_last', 'sends',
  'accepted', 'refuse', 'memo', 'gen', 'code', 'message', 'results', 'created', 'lost',
}

local FIELD = {}
for index, field in ipairs(FIELDS) do FIELD[field] = index end

-- Bytes of payloads that this script has claimed: a trip carries a few large intents or many small ones.
local carried = 0

-- Intents that this script buried: id and body of each, for the worker to report.
local BURIED = {}

-- Claims one intent: counts the claim before any work, so that an intent which kills its worker is found out. Claims to
-- send and looks are counted apart: an intent may be posted for hours, and a worker that dies at a look proves little
-- once another look has come to its end.
-- due: since when it could be claimed.
-- Returns nil when it has lapsed too often and became a dead letter instead.
local function claim_one(id, worker, state, max_lapses, cap, due)
  local counter = state == 'sending' and 'claims' or 'looks'
  local known_now = redis.call('HMGET', intent_key(id), counter, 'kind', unpack(FIELDS))
  local claims, kind = tonumber(known_now[1] or '0'), known_now[2]
  if not kind then return nil end
  if claims >= max_lapses then
    bury(id, kind, 'unknown', 'LAPSED_TOO_OFTEN', 'Every worker that claimed it died.', cap)
    BURIED[#BURIED + 1] = { id, redis.call('GET', P .. 'body:' .. id) }
    return nil
  end
  local item = { id, redis.call('GET', P .. 'body:' .. id) }
  carried = carried + #item[2]
  local doubt = state == 'sending' and in_doubt(known_now[FIELD.created + 2], known_now[FIELD.token + 2], due)
  for index, field in ipairs(FIELDS) do
    local value = known_now[index + 2] or ''
    if field == 'token' then
      value = next_token(value)
      redis.call('HSET', intent_key(id), 'token', value, counter, claims + 1, 'state', state, 'worker', worker)
    elseif field == 'lost' and doubt then
      value = LOST
      redis.call('HSET', intent_key(id), 'lost', value)
    end
    item[index + 2] = value
  end
  return item
end

-- The targets that a worker may serve: those that it knows, and that are for it the ledger that this journal belongs to.
-- The first who comes says which one that is; see rebind.lua.
-- given: "<target>=<ledger>", joined by newlines; no ledger where the settings do not say.
local function known_targets(given)
  local known = {}
  for target, ledger in string.gmatch(given, '([^=\n]+)=([^\n]*)') do
    local ours = redis.call('HGET', P .. 'ledgers', target)
    if not ours and ledger ~= '' then redis.call('HSET', P .. 'ledgers', target, ledger) end
    known[target] = not ours or ledger == '' or ours == ledger
  end
  return known
end
