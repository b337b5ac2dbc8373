-- Shared head of every script of the journal. One script is one transition, atomic, by the clock of Redis.
--
-- KEYS[1] is the prefix "{<namespace>:v1}:", whose hash tag keeps all keys on one node of a cluster. Below it:
--
--   intent:<id>        hash    what moves: state, lane, target, kind, fp, created, since, deadline, orders, pending, due,
--                              patience, token, claims and looks (workers that died in a row while they had it in hand),
--                              charged and looker (whose silence was the last to count among these), faults (times in a row that its own code failed), worker, attempts, sent, lapsed, sent_first,
--                              sent_last, sends, accepted, refuse, memo, excl, gen, code, message, class, outcome, txn, parent,
--                              updated, results, lost (end of the moments that the journal has lost and in which it may have
--                              been sent)
--   body:<id>          string  what never changes, as JSON
--   file:<id>          string  a file to upload, packed, for as long as its intent is kept and not discarded
--   log:<id>           list    the last 20 attempts and operators' acts, as JSON; equal attempts on end are one line
--   parts:<id>         hash    number of a leg or item, from 0 -> "<status> <row id>", as far as the ledger showed it
--   past:<id[1..3]>    hash    intents trimmed after their retention: id -> "<fingerprint> <outcome> <txn>"
--   ref:<target>:<r>   string  id of the intent that owns ledger reference r, where r is not the reference of key r
--   queues             set     "<lane>|<target>" of every ready set that was ever used
--   ready:<lane>|<t>   zset    due time -> id       state ready: waits for a worker
--   waiting            zset    accept time -> id    state waiting: for its turn in an order, or for other intents
--   expiring           zset    deadline -> id       those of them that have a deadline of their own
--   deps:<id>          set     intents that wait for this one (their field pending counts what they wait for)
--   owed               zset    noted at -> "<id> <done <txn>, cancelled or discarded>": is over, and not all of its deps know
--   leased:<worker>    zset    lease end -> id      state sending
--   workers            zset    last sign of life -> worker
--   looking:<worker>   string  from when until when a worker has posted intents in hand for a look; expires
--   alone:<worker>     string  from when until when, and the lane in which, it waits for empty hands or has in hand what
--                              must be alone; expires
--   skipped:<worker>   hash    ready set or posted -> how many intents in front of it the worker does not know, and when
--                              it counted them; expires
--   alive              zset    last sweep -> worker program, whether it holds anything or not
--   posted             zset    next look -> id      state posted: the ledger has to show the outcome
--   tried:<lane>|<t>   zset    accept time -> id    open ones that a worker gave back, or looked at in vain: their age is
--                              in no other set, where each try moves them
--   done               zset    finished at -> id    states done and cancelled, until trimmed
--   dead               zset    died at -> id        state dead: waits for a human, never trimmed
--   discarded          zset    closed at -> id      state discarded: closed by a human, never trimmed
--   order:<key>        zset    accept number -> id  intents that are sent one at a time; in "<t>:turn:…" without those
--                              that are dead
--   excl:<t>:<row>     string  id of the only intent that may write to a row
--   made:<t>:<row>     set     ids of the rows that our intents made below a row; expires after an hour
--   seq                string  last accept number
--   bell:<lane>        string  when a message for the lane was sent, or a worker was last on it; expires
--   pause:<lane>       hash    who paused a lane, why, at (when)
--   acts               list    the last 200 pauses and resumes by operators, as JSON, newest first
--   gate:<t>:<side>    hash    side write, read, or lane:<lane>: state (paused or unreachable; none while it is slowed), code,
--                              since, manual, probe_at, probe_ms, probe_most, hold_until, rate, tokens, stamp, raised, streak,
--                              note, who (an operator that shut it); one that is slowed expires
--   pace:<t>:<side>    hash    second and n: requests let through in that second; last: in the one before;
--                              strain and strain_second: failures
--   reach:<t>          hash    lost and since: how many requests on end could not reach a target, and since when
--   oauth:<t>          hash    tokens of an OAuth client: version, access, expires, life, refresh, failed, retry, lock, lock_end,
--                              forced, logins
--   counts             hash    counters
--   room               string  yes or no: whether there is room for new intents; expires
--   events             stream  final outcomes, capped
--   readers:<group>    zset    last sign of life -> reader of the events (0: it has left)
--   sweep              string  when the last sweep began; expires
--   by-name            string  when somebody last took the turn to read what comes by name; expires
--   ground             hash    what the journal rests on: epoch, server (process that served it), mark (trips of workers
--                              in this epoch), lost (begin of the first epoch after a loss), solid (since when clock and
--                              tail can be trusted), skew (ms added to the server's clock), steps (how often that was set)
--   ledgers            hash    target -> the ledger that it is, as "<api> <address> <instance>"; "<target>|rebound" -> when it
--                              was last bound to another address, by whom and why

local P = KEYS[1]
local BELL_MS = 1500
local LOG_LENGTH = 20

-- The clock of the server, less the steps that it was seen to make: see step.lua.
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
  + tonumber(redis.call('HGET', P .. 'ground', 'skew') or '0')

local function intent_key(id) return P .. 'intent:' .. id end

-- A worker speaks of what was taken from it: it was silent and did not die, as when the journal itself was away. So its
-- silence proves nothing against the intent.
local function acquit(id, worker)
  for charged, lapses in pairs({ charged = 'claims', looker = 'looks' }) do
    local fields = redis.call('HMGET', intent_key(id), charged, lapses)
    if fields[1] == worker then
      redis.call('HDEL', intent_key(id), charged)
      if tonumber(fields[2] or '0') > 0 then redis.call('HINCRBY', intent_key(id), lapses, -1) end
    end
  end
end

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

-- Takes a short lock; whether it was free. By the journal's own time: the server's expiry follows a clock that steps, and
-- is only there so that what nobody asks for any more goes away.
local function take_lock(name, ms)
  local taken = tonumber(redis.call('GET', P .. name) or '')
  if taken and NOW >= taken and NOW - taken < ms then return false end
  redis.call('SET', P .. name, string.format('%d', NOW), 'PX', ms * 10)
  return true
end

-- Once is enough for all that one script finds in a lane.
local rung = {}

local function ring(bells, lane)
  if rung[lane] then return end
  rung[lane] = true
  if take_lock('bell:' .. lane, BELL_MS) then bells[#bells + 1] = lane end
end

-- Whether two attempts ended alike, whenever and by whomever they were made: what followed may differ by its seconds.
local function alike(one, other)
  local function words(line) return (string.gsub(line.note or '', '%d+%.?%d*', '#')) end
  return one.what == other.what and one.status == other.status and one.code == other.code and words(one) == words(other)
end

-- Adds a line. Of attempts that end alike, one after the other, one line is kept: the last, with the time of the first and
-- how many they were, so that an outage does not drive out what happened before it.
local function log(id, line)
  local key = P .. 'log:' .. id
  local before = string.find(line, '"status"', 1, true) and redis.call('LINDEX', key, -1)
  if before and string.find(before, '"status"', 1, true) then
    local old, new = cjson.decode(before), cjson.decode(line)
    if alike(old, new) then
      new.last, new.at, new.count = new.at, old.at, (old.count or 1) + 1
      redis.call('LSET', key, -1, cjson.encode(new))
      return
    end
  end
  if redis.call('RPUSH', key, line) > LOG_LENGTH then redis.call('LTRIM', key, -LOG_LENGTH, -1) end
end

-- A stream whose cap was lowered comes down to it a little with each event.
local MOST_TRIMMED = 1000

local function announce(id, kind, event, detail, cap)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', cap, 'LIMIT', MOST_TRIMMED, '*', 'id', id, 'kind', kind, 'event', event, 'detail', detail)
end

-- Puts an intent into its ready set.
local function make_ready(id, lane, target, due)
  redis.call('ZADD', P .. 'ready:' .. lane .. '|' .. target, due, id)
end
