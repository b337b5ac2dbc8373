-- Shared head of every script of the journal. One script is one transition, atomic, by the clock of Redis.
--
-- KEYS[1] is the prefix "{<namespace>:v1}:", whose hash tag keeps all keys on one node of a cluster. Below it:
--
--   intent:<id>        hash    what moves: state, lane, target, kind, fp, created, since, deadline, orders, pending, due,
--                              token, claims, looks, worker, attempts, sent, lapsed, sent_first, sent_last, sends, accepted,
--                              refuse, memo, excl, gen, code, message, class, outcome, txn, parent, updated, results
--   body:<id>          string  what never changes, as JSON
--   file:<id>          string  a file to upload, packed, for as long as its intent is kept and not discarded
--   log:<id>           list    the last 20 attempts and operators' acts, as JSON
--   parts:<id>         hash    number of a leg or item, from 0 -> "<status> <row id>", as far as the ledger showed it
--   past:<id[1..3]>    hash    intents trimmed after their retention: id -> "<fingerprint> <outcome> <txn>"
--   ref:<target>:<r>   string  id of the intent that owns ledger reference r, where r is not the reference of key r
--   queues             set     "<lane>|<target>" of every ready set that was ever used
--   ready:<lane>|<t>   zset    due time -> id       state ready: waits for a worker
--   waiting            zset    accept time -> id    state waiting: for its turn in an order, or for other intents
--   deps:<id>          set     intents that wait for this one (their field pending counts what they wait for)
--   leased:<worker>    zset    lease end -> id      state sending
--   workers            zset    last sign of life -> worker
--   posted             zset    next look -> id      state posted: the ledger has to show the outcome
--   done               zset    finished at -> id    states done and cancelled, until trimmed
--   dead               zset    died at -> id        state dead: waits for a human, never trimmed
--   discarded          zset    closed at -> id      state discarded: closed by a human, never trimmed
--   order:<key>        zset    accept number -> id  intents that are sent one at a time
--   excl:<t>:<row>     string  id of the only intent that may write to a row
--   made:<t>:<row>     set     ids of the rows that finished intents made below a row; expires after an hour
--   seq                string  last accept number
--   bell:<lane>        string  set while a message for the lane is under way or a worker is on it; expires
--   pause:<lane>       hash    who paused a lane, when, why
--   gate:<t>:<side>    hash    side write or read: state, code, since, manual, probe_at, probe_ms, hold_until, rate, tokens,
--                              stamp, raised, streak, note
--   pace:<t>:<side>    hash    second and n: requests let through in that second; last: in the one before;
--                              strain and strain_second: failures
--   counts             hash    counters
--   events             stream  final outcomes, capped
--   sweep              string  lock of the sweeper

local P = KEYS[1]
local BELL_MS = 1500
local LOG_LENGTH = 20
-- A slowed target starts again at half its pace but at least at the first rate (requests a second), doubles each
-- second without complaint, and is free above the last.
local SLOW_RATE, FREE_RATE = 16, 4096

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = now_ms()

local function intent_key(id) return P .. 'intent:' .. id end

local function count(field, by)
  redis.call('HINCRBY', P .. 'counts', field, by or 1)
end

-- What stands under an id: {fingerprint, state, created, kind}, also of an intent that was trimmed; nil for nothing.
local function known(id)
  local values = redis.call('HMGET', intent_key(id), 'fp', 'state', 'created', 'kind')
  if values[1] then return values end
  local past = redis.call('HGET', P .. 'past:' .. string.sub(id, 1, 3), id)
  if past then return { string.match(past, '^(%S+)'), 'done', '0', '' } end
  return nil
end

local function ring(bells, lane)
  if redis.call('SET', P .. 'bell:' .. lane, '1', 'NX', 'PX', BELL_MS) then bells[#bells + 1] = lane end
end

local function log(id, line)
  local key = P .. 'log:' .. id
  if redis.call('RPUSH', key, line) > LOG_LENGTH then redis.call('LTRIM', key, -LOG_LENGTH, -1) end
end

local function announce(id, kind, event, detail, cap)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', cap, '*', 'id', id, 'kind', kind, 'event', event, 'detail', detail)
end

-- Puts an intent into its ready set.
local function make_ready(id, lane, target, due)
  redis.call('ZADD', P .. 'ready:' .. lane .. '|' .. target, due, id)
end

-- Lets a waiting intent go when nothing holds it back: no intent that it waits for, no other one before it in any order.
local function let_go(id, bells)
  local fields = redis.call('HMGET', intent_key(id), 'state', 'lane', 'target', 'due', 'pending', 'orders')
  if fields[1] ~= 'waiting' or tonumber(fields[5] or '0') > 0 then return end
  for order in string.gmatch(fields[6] or '', '[^\n]+') do
    if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then return end
  end
  local due = math.max(NOW, tonumber(fields[4] or '0'))
  redis.call('ZREM', P .. 'waiting', id)
  -- Patience is counted from when it could first be sent.
  redis.call('HSET', intent_key(id), 'state', 'ready', 'since', due, 'updated', NOW)
  make_ready(id, fields[2], fields[3], due)
  if due <= NOW then ring(bells, fields[2]) end
end

-- An intent is over: give free what it alone could write to, and let the next of its orders go.
local function release(id, fields, bells)
  if fields.excl and redis.call('GET', P .. 'excl:' .. fields.excl) == id then
    redis.call('DEL', P .. 'excl:' .. fields.excl)
  end
  for order in string.gmatch(fields.orders or '', '[^\n]+') do
    local key = P .. 'order:' .. order
    redis.call('ZREM', key, id)
    local head = redis.call('ZRANGE', key, 0, 0)[1]
    if head then let_go(head, bells) end
  end
end

-- An intent is done: those that waited for it get its result, and go when it was the last.
local function satisfy(id, txn, bells)
  local key = P .. 'deps:' .. id
  for _, dependent in ipairs(redis.call('SMEMBERS', key)) do
    local fields = redis.call('HMGET', intent_key(dependent), 'state', 'results')
    if fields[1] == 'waiting' then
      redis.call('HSET', intent_key(dependent), 'results', (fields[2] or '') .. id .. ' ' .. txn .. '\n')
      redis.call('HINCRBY', intent_key(dependent), 'pending', -1)
      let_go(dependent, bells)
    end
  end
  redis.call('DEL', key)
end

local function bury(id, kind, class, code, message, cap)
  redis.call('HSET', intent_key(id), 'state', 'dead', 'class', class, 'code', code, 'message', message, 'updated', NOW)
  redis.call('ZADD', P .. 'dead', NOW, id)
  count('dead|' .. kind .. '|' .. class .. '|' .. code)
  announce(id, kind, 'dead', class, cap)
end

-- An intent will never be done: those that waited for it become dead letters, and keep their own dependents waiting.
local function disappoint(id, what, cap)
  local key = P .. 'deps:' .. id
  for _, dependent in ipairs(redis.call('SMEMBERS', key)) do
    local fields = redis.call('HMGET', intent_key(dependent), 'state', 'kind')
    if fields[1] == 'waiting' then
      redis.call('ZREM', P .. 'waiting', dependent)
      bury(dependent, fields[2], 'refused', 'DEPENDENCY_CLOSED', 'It waited for ' .. id .. ', which was ' .. what .. '.', cap)
    end
  end
  redis.call('DEL', key)
end

-- How many requests may pass a gate ("<target>:<side>") now; 0 while it is shut. Takes them when take is set.
local function allowance(gate_name, wanted, take)
  local key = P .. 'gate:' .. gate_name
  local gate = redis.call('HMGET', key, 'state', 'manual', 'probe_at', 'hold_until', 'rate', 'tokens', 'stamp', 'raised',
    'probe_ms')
  if gate[1] == 'paused' then
    if gate[2] == '1' or tonumber(gate[3]) > NOW then return 0 end
    if take then redis.call('HSET', key, 'probe_at', NOW + tonumber(gate[9])) end
    return math.min(1, wanted)
  end
  if gate[4] and tonumber(gate[4]) > NOW then return 0 end
  if take then
    local second, pace = math.floor(NOW / 1000), P .. 'pace:' .. gate_name
    local known = redis.call('HMGET', pace, 'second', 'n')
    if known[1] == tostring(second) then
      redis.call('HINCRBY', pace, 'n', wanted)
    else
      redis.call('HSET', pace, 'second', second, 'n', wanted, 'last', known[2] or 0)
    end
  end
  if not gate[5] then return wanted end
  local rate, tokens = tonumber(gate[5]), tonumber(gate[6])
  tokens = math.min(rate, tokens + (NOW - tonumber(gate[7])) * rate / 1000)
  local raised = NOW - tonumber(gate[8]) >= 1000
  local given = math.min(wanted, math.floor(tokens))
  if take then
    if raised and rate * 2 > FREE_RATE then
      redis.call('DEL', key)
    else
      redis.call('HSET', key, 'rate', raised and rate * 2 or rate, 'tokens', tokens - given, 'stamp', NOW)
      if raised then
        redis.call('HSET', key, 'raised', NOW)
        if redis.call('HINCRBY', key, 'streak', -1) < 0 then redis.call('HSET', key, 'streak', 0) end
      end
    end
  end
  return given
end

-- What a worker needs to know of an intent, in this order; records.py reads it by the same list.
local FIELDS = {
  'state', 'since', 'deadline', 'token', 'attempts', 'sent', 'lapsed', 'sent_first', 'sent_last', 'sends',
  'accepted', 'refuse', 'memo', 'gen', 'code', 'message', 'results',
}

-- Bytes of payloads that this script has claimed: a trip carries a few large intents or many small ones.
local carried = 0

-- Intents that this script buried: id and body of each, for the worker to report.
local BURIED = {}

-- Claims one intent: counts the claim before any work, so that an intent which kills its worker is found out. Claims to
-- send and looks are counted apart: an intent may be posted for hours, and a worker that dies at a look proves little
-- once another look has come to its end.
-- Returns nil when it has lapsed too often and became a dead letter instead.
local function claim_one(id, worker, state, max_lapses, cap)
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
  for index, field in ipairs(FIELDS) do
    local value = known_now[index + 2] or ''
    if field == 'token' then
      value = tostring((tonumber(value) or 0) + 1)
      redis.call('HSET', intent_key(id), 'token', value, counter, claims + 1, 'state', state, 'worker', worker)
    end
    item[index + 2] = value
  end
  return item
end
