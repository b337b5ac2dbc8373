-- Shared head of every script of the journal. One script is one transition, atomic, by the clock of Redis.
--
-- KEYS[1] is the prefix "{<namespace>:v1}:", whose hash tag keeps all keys on one node of a cluster. Below it:
--
--   intent:<id>        hash    what moves: state, lane, target, kind, fp, created, since, deadline, orders, pending, due,
--                              patience, token, claims, looks, worker, attempts, sent, lapsed, sent_first, sent_last, sends, accepted,
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
--   expiring           zset    deadline -> id       those of them that have a deadline of their own
--   deps:<id>          set     intents that wait for this one (their field pending counts what they wait for)
--   leased:<worker>    zset    lease end -> id      state sending
--   workers            zset    last sign of life -> worker
--   alive              zset    last sweep -> worker program, whether it holds anything or not
--   posted             zset    next look -> id      state posted: the ledger has to show the outcome
--   done               zset    finished at -> id    states done and cancelled, until trimmed
--   dead               zset    died at -> id        state dead: waits for a human, never trimmed
--   discarded          zset    closed at -> id      state discarded: closed by a human, never trimmed
--   order:<key>        zset    accept number -> id  intents that are sent one at a time
--   excl:<t>:<row>     string  id of the only intent that may write to a row
--   made:<t>:<row>     set     ids of the rows that our intents made below a row; expires after an hour
--   seq                string  last accept number
--   bell:<lane>        string  set while a message for the lane is under way or a worker is on it; expires
--   pause:<lane>       hash    who paused a lane, when, why
--   gate:<t>:<side>    hash    side write or read: state, code, since, manual, probe_at, probe_ms, hold_until, rate, tokens,
--                              stamp, raised, streak, note
--   pace:<t>:<side>    hash    second and n: requests let through in that second; last: in the one before;
--                              strain and strain_second: failures
--   oauth:<t>          hash    tokens of an OAuth client: version, access, expires, life, refresh, failed, retry, lock, lock_end,
--                              forced, logins
--   counts             hash    counters
--   events             stream  final outcomes, capped
--   sweep              string  lock of the sweeper
--   by-name            string  lock of whoever reads what comes by name; expires

local P = KEYS[1]
local BELL_MS = '1500'
local LOG_LENGTH = 20

local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)

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
