-- Shared head of every script of the journal. One script is one transition, atomic, by the clock of Redis.
--
-- This is the list of every key on Redis. Tests compare it with what the scripts and Python name, and with what a demo
-- leaves. Of each key: its type and what it holds; "bound": how many there are, or how long it grows; "gone": who
-- deletes it. What loses its last member is gone by itself.
--
-- Each target has a journal of its own: nothing in one knows of another. KEYS[1] is its prefix
-- "{<namespace>:v1:<target>}:", whose hash tag keeps all its keys on one node of a cluster. Below it:
--
--   intent:<id>        hash    what moves: state, lane, kind, fp, created, since, deadline, orders, pending, due,
--                              patience, place (of its own, in orders by turns), token, claims and looks (workers that
--                              died in a row while they had it in hand), charged and looker (whose silences count among
--                              these, by newlines), faults (times in a row that its own code failed), worker, attempts,
--                              sent, lapsed, sent_first, sent_last, sends, accepted, refuse, memo, excl, gen, code,
--                              message, class, outcome, txn, parent, updated, results, closed (how it ends that waited
--                              for what is closed, and is looked for), lost (end of the moments that the journal has
--                              lost and in which it may have been sent), died (of a discarded one, where history is
--                              on), refs (references that it owns, as past:… has them: one behind the other), sealed
--                              (names of the encryption keys that body, file, memo and message need, by blanks; a -
--                              before them where the body is in the clear; nothing where all is), worth (of a letter:
--                              see letters.lua)
--                      bound   one an intent
--                      gone    sweep.lua, the retention after it is done or cancelled; dead and discarded ones: nobody
--   body:<id>          string  what never changes, as JSON; references that stand in its payload are those of its
--                              generation
--                      bound   one an intent; its size is that of the largest payload
--                      gone    sweep.lua, with its intent
--   file:<id>          string  a file to upload, packed
--                      bound   one an upload, of no more than BLNK_RELAY_UPLOAD_MAX_BYTES before it is packed
--                      gone    sweep.lua, with its intent; closing.lua
--   log:<id>           list    the last attempts and operators' acts, as JSON; equal attempts on end are one line
--                      bound   20 lines
--                      gone    sweep.lua, with its intent
--   parts:<id>         hash    number of a leg or item, from 0 -> "<status> <row id>", as far as the ledger showed it
--                      bound   one field a leg or item
--                      gone    sweep.lua, with its intent; renewal.lua, for a new generation
--   past:<id[1..]>     hash    what stays for ever, packed; see past.lua. Of intents trimmed after their retention:
--                              id -> outcome, fingerprint, main id; with @, of references that are not their owner's
--                              key, those of its earlier generations as well: id of key r -> id of the owner of r
--                      bound   100 fields, and a + where it is full; in all, one an intent that was trimmed and one a
--                              reference: some forty bytes each
--                      gone    nobody: a key is unique for ever; forgetting.lua takes out references that are
--                              to be forgotten
--   past:<g>:<id[1..]> hash    the same for as long as BLNK_RELAY_KEY_RETENTION_S says; g is a or b, see forgetting.lua
--                      bound   100 fields; in all, what was trimmed within twice that time
--                      gone    forgetting.lua
--   lanes              set     every lane that was ever used
--                      bound   one member a lane
--                      gone    nobody
--   ready:<lane>       zset    due time -> id       state ready: waits for a worker
--                      bound   one member an intent in this state
--                      gone    claim.lua, cancel.lua
--   waiting            zset    accept time -> id    state waiting: for its turn in an order, or for other intents
--                      bound   one member an intent in this state
--                      gone    turns.lua (let_go, disappoint), sweep.lua, cancel.lua
--   expiring           zset    deadline -> id       those of them that have a deadline of their own
--                      bound   one member an intent in this state
--                      gone    turns.lua (let_go, disappoint), sweep.lua, cancel.lua
--   deps:<id>          set     intents that wait for this one (their field pending counts what they wait for)
--                      bound   one member an intent that waits
--                      gone    turns.lua (next_dependents), once this one is over
--   owed               zset    noted at -> "<id> <done <txn>, cancelled or discarded>": is over, and not all of its
--                              deps know
--                      bound   one member an intent that is over and was waited for by more than 200
--                      gone    owed.lua
--   leased:<worker>    zset    lease end -> id      state sending
--                      bound   what one process has in hand: some intents a connection
--                      gone    settle.lua, sweep.lua
--   workers            zset    last sign of life -> worker (a process that takes intents)
--                      bound   one member a process that holds something, or did a moment ago
--                      gone    sweep.lua, once it is silent and holds nothing
--   looking:<worker>   string  from when until when a worker has posted intents in hand for a look
--                      bound   one a process
--                      gone    take.lua; expires
--   alone:<worker>     string  from when until when, and the lane in which, it waits for empty hands or has in hand
--                              what must be alone
--                      bound   one a process
--                      gone    claims.lua; expires
--   skipped:<worker>   hash    ready set or posted -> how many intents in front of it the worker does not know, and
--                              when it counted them
--                      bound   one a process; a field a ready set
--                      gone    expires
--   alive              zset    when it will have swept again -> "<worker program> <version of its package> <newest
--                              shape that it knows>", whether it holds anything or not
--                      bound   one member a worker program that has not missed its time for long
--                      gone    sweep.lua; a worker that stops
--   signs              zset    when it will have swept again, or was last heard of -> worker program, or process of one
--                              that fell (see worker:<name>)
--                      bound   1,000 members
--                      gone    sweep.lua, half a day after the last one; a worker that stops
--   worker:<name>      hash    of a worker program: sign (what it says of itself, as JSON), and what an operator wants
--                              of it: wish (quiet or stop), who, why, at. Of a process that died with something in
--                              hand: fell (when that was noticed), held (how many), ids (the first of them, by blanks)
--                      bound   one a member of signs
--                      gone    sweep.lua, with it; a worker that stops
--   samples            list    once a minute: when, and how many were accepted, ended and died of what by then, as
--                              JSON; newest first
--                      bound   62 lines
--                      gone    nobody
--   posted             zset    next look -> id      state posted: the ledger has to show the outcome
--                      bound   one member an intent in this state
--                      gone    settle.lua, take.lua
--   tried:<lane>       zset    accept time -> id    open ones that a worker has claimed, or that have waited for
--                              others: their age is in no other set, where each try moves them
--                      bound   one member an open intent
--                      gone    settle.lua, cancel.lua, turns.lua (bury)
--   done               zset    finished at -> id    states done and cancelled
--                      bound   what ends within the retention
--                      gone    sweep.lua
--   dead               zset    died at -> id        state dead: waits for a human
--                      bound   one member a dead letter
--                      gone    reviving.lua, closing.lua
--   causes             set     what letters are dead of: "<kind>|<class>|<code>"; see letters.lua
--                      bound   one member a cause of which there are letters
--                      gone    letters.lua, recount.lua
--   letters:<cause>    zset    died at -> id        the letters of it
--                      bound   one member a dead letter
--                      gone    letters.lua, recount.lua
--   sums:<cause>       hash    "<currency>/<minor units of one>" -> minor units, as far as their payloads say so in the
--                              clear; known: of how many
--                      bound   one field a currency
--                      gone    letters.lua, recount.lua
--   affected:<cause>   zset    letters -> order of the caller's ("own:<order key>") that they belong to
--                      bound   one member an order with letters
--                      gone    letters.lua, recount.lua
--   emptied            zset    when its last letter was replayed or discarded -> cause of which there are none now
--                      bound   1,000 members
--                      gone    letters.lua, when there is one again; sweep.lua, once it is told
--   untold             zset    died at -> id        letters that came of a cancel or a discard, where no worker is that
--                              could tell of them
--                      bound   1,000 members
--                      gone    sweep.lua, which hands them to a worker
--   untold-more        hash    cause -> how many such letters there were beyond those
--                      bound   one field a cause
--                      gone    sweep.lua, with them
--   jobs               zset    begun at -> job: replays and discards of many letters
--                      bound   100 members
--                      gone    job.lua
--   running            zset    begun at -> job that is not over; the first is carried out
--                      bound   one member a job that is not over
--                      gone    job.lua, next.lua, carry.lua
--   job:<job>          hash    state (planned, running, done or stopped), what (replay or discard), who, via, reason,
--                              of, line (of the logs of its letters), ends (action when it ends), at, begun, ended,
--                              targets (that have a part of it), stop (action of who stopped it, for its parts in other
--                              journals), total, left, carrier and until (the worker that carries it out, and its
--                              lease); results: done, refused, refused|<why>, summed,
--                              sum|<currency>/<minor units of one>
--                      bound   one a job
--                      gone    job.lua; a month after its end, or an hour after a plan, it expires
--   planned:<job>      list    letters that are left to be done: "<id> <way> <life>"; see letters.lua
--                      bound   the letters of a job: at most 100,000
--                      gone    job.lua, carry.lua; a plan that is not begun expires
--   refusals:<job>     list    the first letters that were refused: "<id> <why>"
--                      bound   20 lines
--                      gone    job.lua; expires with its job
--   discarded          zset    closed at -> id      state discarded: closed by a human
--                      bound   one member a letter that was closed
--                      gone    nobody; but reject.lua, when the same comes again
--   order:<key>        zset    accept number -> id  intents that are sent one at a time; in "turn:…" 0 for who is under
--                              way, and without those that
--                              are dead
--                      bound   one member an intent of this order that is not over
--                      gone    turns.lua (release, bury)
--   excl:<row>         string  id of the only intent that may write to a row; of "turn:…" not of a dead letter
--                      bound   one a row that is being written to
--                      gone    turns.lua (release, bury), record.lua
--   made:<row>         set     ids of the rows that our intents made below a row
--                      bound   what was made below it until nothing was for an hour
--                      gone    expires
--   wrote:<row>        string  when one of our intents that was its only writer was done
--                      bound   one a row that was written to, until nothing was for an hour
--                      gone    expires
--   seq                string  last accept number
--                      bound   one
--                      gone    nobody
--   bell:<lane>        string  when a message for the lane was sent, or a worker was last on it
--                      bound   one a lane, and one of the read-back
--                      gone    claim.lua, take.lua; expires
--   bell:<lane>:more   string  when another worker was last called in for a backlog
--                      bound   one a lane
--                      gone    expires
--   pause:<lane>       hash    who paused a lane, why, at (when)
--                      bound   one a lane
--                      gone    pause.lua
--   actions            stream  what operators did: at (when), action (who, what, of what, from where and why, as JSON;
--                              see actions.py), result, count
--                      bound   about 10,000 entries
--                      gone    nobody
--   acts               list    pauses and resumes by operators, as versions before kept them, newest first
--                      bound   200 lines
--                      gone    actions.lua, which puts them into actions
--   gate:<side>        hash    side write, read, or lane:<lane>: state (paused or unreachable; none while it is
--                              slowed), code, since, manual, probe_at, probe_ms, probe_most, hold_until, rate, tokens,
--                              stamp, raised, streak, note, who (an operator that shut it)
--                      bound   two, and one a lane
--                      gone    gate.lua, gates.lua, settle.lua, pause.lua; one that is slowed expires
--   pace:<side>        hash    second and n: requests let through in that second; last: in the one before; strain and
--                              strain_second: failures
--                      bound   two, and one a lane
--                      gone    nobody
--   reach              hash    lost and since: how many requests on end could not reach the target, and since when
--                      bound   one
--                      gone    settle.lua, by any answer
--   oauth              hash    tokens of an OAuth client: version, access, expires, life, refresh, failed, retry, lock,
--                              lock_end, forced, logins (digests of the newest 20)
--                      bound   one
--                      gone    nobody
--   counts             hash    counters
--                      bound   some a kind, times the outcomes, classes and codes that it came to
--                      gone    nobody
--   room               string  yes or no: whether there is room for new intents
--                      bound   one
--                      gone    expires
--   events             stream  final outcomes, with the consumer groups of those who read them
--                      bound   about BLNK_RELAY_EVENTS_MAX entries
--                      gone    nobody
--   readers:<group>    zset    last sign of life -> reader of the events (0: it has left)
--                      bound   one member a reader that holds events, or did a minute ago
--                      gone    follow.lua, finish.lua
--   sweep              string  when the last sweep began
--                      bound   one
--                      gone    expires
--   auditor            hash    worker: who audits, until: when somebody else may
--                      bound   one
--                      gone    auditor.lua; expires
--   audit:<who>        string  how far an audit of an operator's has come, as JSON
--                      bound   one a name that operators give their audits
--                      gone    audits that come to their end; expires
--   told               zset    told at -> digest of a difference that an audit found
--                      bound   10,000 members
--                      gone    expires
--   history            hash    how far what is over was copied into a database of the user's, while that is on: id (of
--                              this journal there), database (its id), page (the last one that was copied), epoch,
--                              since, seen (last sign of life of who copies), walked ("<time> <id>" up to which what
--                              was over before is copied; nothing where all is), letters ("<set> <time> <id>", the same
--                              for dead letters), actions (last entry of theirs that is copied), trouble and
--                              trouble_since (what keeps it from going on), begun (when somebody began a page that is
--                              not over)
--                      bound   one
--                      gone    uncopy.lua
--   uncopied           zset    when it came to its end, or changed after it -> id of what is to be copied; the time is
--                              later by 1 for each change that nobody has copied
--                      bound   one member an intent that is over or a letter, as long as the database is away; 0 else
--                      gone    copied.lua, uncopy.lua
--   lives              list    what dead letters were that have had a new life since, as JSON, until it is copied
--                      bound   one line a replay that is not copied
--                      gone    copied.lua, uncopy.lua
--   by-name            string  when somebody last took the turn to read what comes by name
--                      bound   one
--                      gone    whoever took it; expires
--   ground             hash    what the journal rests on: epoch, server (process that served it), mark:<name> (trips of
--                              a process of workers), names (how many were given), lost (begin of the first epoch after
--                              a loss), tail (since when may be lost what ended then; 0 for unknown), solid (since when
--                              clock and tail can be trusted), watched (up to when a worker has compared the clock with
--                              a steady one), skew (ms added to the server's clock), steps (how often that was set);
--                              where keys are forgotten: keys (the generation of past:<g>:… that is written to),
--                              keys_since, clearing (how far the other one is cleared), forgot (when a key
--                              was first forgotten), over (before which all was over whose keys are forgotten); shape
--                              (its version, see shape.py; "<from>><to>" while it is brought to the next); history (1
--                              while what is over is copied into a database before it is trimmed), born (id of this
--                              journal in history, also while that is off), adopts (1: an operator lets it go on with
--                              what stands there under its name)
--                      bound   one, with 4,096 marks
--                      gone    nobody
--   secret             hash    what fingerprints are made with, once anything is hidden: name, sealed (the secret
--                              itself, under an encryption key)
--                      bound   two fields
--                      gone    nobody
--   ledger             hash    is: the ledger that the target stands for, as "<api> <address> <instance>"; rebound:
--                              when it was last bound to another address, by whom and why
--                      bound   two fields
--                      gone    nobody
--
-- Beside the journals of a server, below "{<namespace>:v1}:", which no script touches:
--
--   targets            set     targets that have a journal here, for those whose settings do not name them
--                      bound   one a target
--                      gone    nobody
--
-- On the broker, which may be the same server, without a prefix, what Celery's transport writes. A queue is
-- "<namespace>.<lane>" for a lane and for the read-back (confirm), "<namespace>.ingest" for what comes by name, and the
-- one of the outcome task. Nothing else is Celery's: no results, acknowledgements, events or remote control.
--
--   <queue>                              list    bells, or what came by name; what has one of Celery's priorities has a
--                                                list beside it, its number at the end
--                                        bound   bells: one a lane each 1.5 s while nobody takes them; by name and
--                                                outcome tasks: what was sent and not yet taken
--                                        gone    workers; outcome tasks: the application
--   _kombu.binding.<queue>               set     to which queue messages for this exchange go
--                                        bound   one a queue
--                                        gone    nobody
--   _kombu.binding_permanent.<queue>     set     those of them that outlive their consumers
--                                        bound   one a queue
--                                        gone    nobody

local P = KEYS[1]
local BELL_MS = 1500
local LOG_LENGTH = 20

-- The clock of the server, less the steps that it was seen to make: see step.lua.
local time = redis.call('TIME')
-- GENERATION: of the keys that will be forgotten, the one that is written to now; false where all are kept for ever.
-- HISTORY: whether what is over has to be copied before it is trimmed; see copy.lua.
local skewed, GENERATION, recorded_shape, HISTORY = unpack(
  redis.call('HMGET', P .. 'ground', 'skew', 'keys', 'shape', 'history'))

-- The process that serves us: another one after every restart and every failover. '' where we may not ask.
local function server_now()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
end

-- SHAPE: that of this journal, for scripts that know several. Whoever does not know it changes nothing, nor reads what
-- may mean something else by now. Who comes first, to a journal with nothing in it, says which one it has, and which
-- process serves it: the first claim may lie in moments that are lost. OLDEST_SHAPE and NEWEST_SHAPE stand in front of
-- each script; see shape.py.
if not recorded_shape then
  recorded_shape = string.format('%d', NEWEST_SHAPE)
  -- A server that takes no writes says so itself, in what follows.
  redis.pcall('HSET', P .. 'ground', 'shape', recorded_shape)
  local server = server_now()
  if server ~= '' then redis.pcall('HSETNX', P .. 'ground', 'server', server) end
end
local SHAPE = tonumber(recorded_shape)
if not SHAPE or SHAPE < OLDEST_SHAPE or SHAPE > NEWEST_SHAPE then
  return redis.error_reply('OTHERSHAPE ' .. recorded_shape .. ' ' .. P)
end

local NOW = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(skewed or '0')

local function intent_key(id) return P .. 'intent:' .. id end

-- Fields of a hash by their names; nil for each that is not there. Where a script reads few fields of many intents, it
-- takes them into locals of these names at once, which costs no table.
local function fields_of(key, ...)
  local names, fields = { ... }, {}
  for place, value in ipairs(redis.call('HMGET', key, ...)) do
    if value then fields[names[place]] = value end
  end
  return fields
end

-- The arguments from a place on.
local function arguments_from(place)
  local arguments = {}
  for at = place, #ARGV do arguments[#arguments + 1] = ARGV[at] end
  return arguments
end

-- Goes through the arguments from a place on, so many at a time, to be given their names by a for:
-- for id, token, lease_ms in records(2, 3) do.
local function records(place, width)
  local at, last = place - width, #ARGV
  return function()
    at = at + width
    if at <= last then return unpack(ARGV, at, at + width - 1) end
  end
end

-- A worker speaks of what was taken from it: it was silent and did not die, as when the journal itself was away. So
-- none of its silences proves anything against the intent, whoever was silent after it.
local function acquit(id, worker)
  for charged, lapses in pairs({ charged = 'claims', looker = 'looks' }) do
    local blamed, number = unpack(redis.call('HMGET', intent_key(id), charged, lapses))
    local others, acquitted = {}, 0
    for one in string.gmatch(blamed or '', '[^\n]+') do
      if one == worker then acquitted = acquitted + 1 else others[#others + 1] = one end
    end
    if acquitted > 0 then
      if #others > 0 then
        redis.call('HSET', intent_key(id), charged, table.concat(others, '\n'))
      else
        redis.call('HDEL', intent_key(id), charged)
      end
      local charges = tonumber(number or '0')
      if charges > 0 then redis.call('HSET', intent_key(id), lapses, math.max(0, charges - acquitted)) end
    end
  end
end

-- The names of those who are charged, with one more.
local function charged_with(names, worker)
  return names and names ~= '' and names .. '\n' .. worker or worker
end

local function count(field, by)
  redis.call('HINCRBY', P .. 'counts', field, by or 1)
end

-- Takes a short lock; whether it was free. By the journal's own time: the server's expiry follows a clock that steps,
-- and is only there so that what nobody asks for any more goes away.
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
  local function telling(line) return (string.gsub(line.note or '', '%d+%.?%d*', '#')) end
  return one.what == other.what and one.status == other.status and one.code == other.code
    and telling(one) == telling(other)
end

-- Adds a line. Of attempts that end alike, one after the other, one line is kept: the last, with the time of the first
-- and how many they were, so that an outage does not drive out what happened before it.
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
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', cap, 'LIMIT', MOST_TRIMMED, '*',
    'id', id, 'kind', kind, 'event', event, 'detail', detail)
end

-- An intent is over or dead, or has changed after that: it is to be copied, or copied again, where history is on. What
-- is read and copied meanwhile is told from what has changed since by the number.
local function to_copy(id)
  if HISTORY and redis.call('ZADD', P .. 'uncopied', 'NX', NOW, id) == 0 then
    redis.call('ZINCRBY', P .. 'uncopied', 1, id)
  end
end

-- Puts an intent into its ready set.
local function make_ready(id, lane, due)
  redis.call('ZADD', P .. 'ready:' .. lane, due, id)
end

-- An order of which only one may be under way, or a row that only one may write to, and in which a dead letter does not
-- hold up those behind it.
local TURN = '^turn:'

-- It is under way: in such orders it stays first, whoever comes back to a place before it.
local function take_turns(id, orders)
  for order in string.gmatch(orders or '', '[^\n]+') do
    if string.find(order, TURN) then redis.call('ZADD', P .. 'order:' .. order, 0, id) end
  end
end

-- Notes that an intent hides something under these keys (by blanks) besides those that it needs already, so that nobody
-- takes it who does not have all of them.
local function note_keys(id, names)
  if names == '' then return end
  local sealed = redis.call('HGET', intent_key(id), 'sealed') or ''
  for name in string.gmatch(names, '%S+') do
    if not string.find(' ' .. sealed .. ' ', ' ' .. name .. ' ', 1, true) then
      sealed = (sealed == '' and '-' or sealed) .. ' ' .. name
    end
  end
  redis.call('HSET', intent_key(id), 'sealed', sealed)
end

-- The ledger that the target stands for, where it is another one than the caller means by it; nil where all is well.
-- meant: as the caller's settings have it, '' where they do not say.
local function other_ledger(meant)
  local is = meant ~= '' and redis.call('HGET', P .. 'ledger', 'is')
  if is and is ~= meant then return is end
end
