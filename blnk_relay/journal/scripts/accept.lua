-- uses: past, owning
-- Accepts intents: all of them, or none when one cannot be. An intent that is there already is left as it is.
-- ARGV:
--   mode             "write", or "check" to change nothing
--   ledger           that is meant by the target, "" where nobody says
--   secret           name of what fingerprints were made with, "" for none
--   likes            of each intent whose key looks like an id: "<id>=<key>", with a "!" behind it where the one with
--                    that id is enqueued with it; joined by ","
--   then, of each intent:
--   id, fingerprint, body, kind, lane
--   orders           joined by newlines
--   not_before       when it is due: ms since 1970, or "+<ms>" from now
--   deadline         the same, or "~<ms>" from when it may first be sent
--   namesakes            for each reference the id of the intent whose key it is, "-" where that is the intent itself;
--                    joined by ","
--   references       that it owns, joined by NUL
--   after            ids of the intents that it waits for, joined by ","; those of the same call stand before it
--   file             to upload; "" for none
--   sealed           name of the encryption key that body and file need; "" for none
-- Returns: one for each: "created", "existing", or what is against it as {status, id, kind, state, created}. The status
--   is conflict (id is the owner's; behind the others stands the reference that is taken, where it is not the key),
--   missing or closed (id is that of what it would wait for), named (id is another intent's, and its key), other (id is
--   the ledger that this journal belongs to, where another one is meant) or secret (id is the name of the one that
--   fingerprints are to be made with). A conflict about the same key tells also what is kept of its fingerprint, and
--   its keys. Behind them the lanes to ring, in the same row, because each table more costs as much as a command. The
--   error JOURNALFULL when there is no room.
-- Deletes: nothing.
-- Bound: the intents of one call, their references, what they wait for, and for each key that looks like an id one
--   intent more; accept.py sends parts.

local mode, other, secret, likes, intents = ARGV[1], other_ledger(ARGV[2]), ARGV[3], ARGV[4], {}
for id, fingerprint, body, kind, lane, orders, not_before, deadline, namesakes, references, after, file, sealed
  in records(5, 13) do
  intents[#intents + 1] = { id = id, fingerprint = fingerprint, body = body, kind = kind, lane = lane,
    orders = orders, not_before = not_before, deadline = deadline, namesakes = namesakes, references = references,
    after = after, file = file, sealed = sealed }
end

local answers, refused, before, named = {}, false, {}, {}
for id, key, beside in string.gmatch(likes, '(%w+)=(%w+)(!?)') do
  named[id] = { id = key, beside = beside == '!' }
end
local other_secret = secret ~= '' and (redis.call('HGET', P .. 'secret', 'name') or '')
if other_secret == secret then other_secret = false end

-- Written once: a number costs more to hand over than all the rest of a command.
local NOW_TEXT = string.format('%d', NOW)

local function moment(text)
  if text == '+0' then return NOW, NOW_TEXT end
  local at = string.byte(text) == 43 and NOW + tonumber(string.sub(text, 2)) or tonumber(text)
  return at, string.format('%d', at)
end

local function examine(new)
  if other then return { 'other', other, '', '', '0' } end
  if other_secret then return { 'secret', other_secret, '', '', '0' } end
  local fingerprint, state, created, kind, _, own = trace_of(new.id)
  if fingerprint then
    local same = fingerprint == string.sub(new.fingerprint, 1, #fingerprint)
    if same then return 'existing' end
    local sealed = redis.call('HGET', intent_key(new.id), 'sealed') or ''
    return { 'conflict', new.id, kind, state, created, '', fingerprint, sealed }
  end
  -- Whoever holds the id of the other would find this one under it, and would take back or close it.
  local like = named[new.id]
  if like and (like.beside or redis.call('EXISTS', intent_key(like.id)) > 0 or trace_of(like.id)) then
    return { 'named', like.id, '', '', '0' }
  end
  local owner, reference = owner_of(new.references, new.namesakes, own)
  if owner then
    fingerprint, state, created, kind = trace_of(owner)
    if not fingerprint then kind, state, created = '', '', '0' end
    return { 'conflict', owner, kind, state, created, reference }
  end
  for dep in string.gmatch(new.after, '[^,]+') do
    fingerprint, state, created, kind = trace_of(dep)
    if not fingerprint and not before[dep] then return { 'missing', dep, '', '', '0' } end
    if state == 'cancelled' or state == 'discarded' then return { 'closed', dep, kind, state, created } end
  end
  return 'created'
end

local function write(new, bells)
  local id, lane, orders = new.id, new.lane, new.orders
  local key, pending, results = intent_key(id), 0, ''
  local due, due_text = moment(new.not_before)
  if due < NOW then due, due_text = NOW, NOW_TEXT end
  local patience = string.byte(new.deadline) == 126 and tonumber(string.sub(new.deadline, 2))
  local deadline, deadline_text
  if patience then
    deadline_text = string.format('%d', due + patience)
  else
    deadline, deadline_text = moment(new.deadline)
  end
  redis.call('SET', P .. 'body:' .. id, new.body)
  if new.file ~= '' then redis.call('SET', P .. 'file:' .. id, new.file) end
  for dep in string.gmatch(new.after, '[^,]+') do
    local _, dep_state, _, _, txn = trace_of(dep)
    if dep_state == 'done' then
      results = results .. dep .. ' ' .. (txn or '') .. '\n'
    else
      redis.call('SADD', P .. 'deps:' .. dep, id)
      pending = pending + 1
    end
  end
  local held, place = pending > 0, nil
  for order in string.gmatch(orders, '[^\n]+') do
    place = redis.call('INCR', P .. 'seq')
    redis.call('ZADD', P .. 'order:' .. order, place, id)
    if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then held = true end
  end
  local state = held and 'waiting' or 'ready'
  -- Most own the one reference that is their key, or none, which needs no note.
  local refs = new.namesakes ~= '-' and new.namesakes ~= '' and take_references(id, new.namesakes)
  if refs then
    redis.call('HSET', key, 'state', state, 'kind', new.kind, 'lane', lane, 'fp', new.fingerprint,
      'created', NOW_TEXT, 'since', due_text, 'deadline', deadline_text, 'refs', refs)
  else
    redis.call('HSET', key, 'state', state, 'kind', new.kind, 'lane', lane, 'fp', new.fingerprint,
      'created', NOW_TEXT, 'since', due_text, 'deadline', deadline_text)
  end
  if orders ~= '' then redis.call('HSET', key, 'orders', orders) end
  if string.find(orders, 'turn:', 1, true) then
    redis.call('HSET', key, 'place', place)
    if not held then take_turns(id, orders) end
  end
  if new.sealed ~= '' then redis.call('HSET', key, 'sealed', new.sealed) end
  if held then redis.call('HSET', key, 'due', due_text, 'pending', pending) end
  if results ~= '' then redis.call('HSET', key, 'results', results) end
  redis.call('SADD', P .. 'lanes', lane)
  if held then
    redis.call('ZADD', P .. 'waiting', NOW_TEXT, id)
    if patience then
      redis.call('HSET', key, 'patience', patience)
    else
      redis.call('ZADD', P .. 'expiring', deadline, id)
    end
  else
    make_ready(id, lane, due_text)
    -- Also for what is due later: nobody looks before somebody was told that there is something to look for.
    ring(bells, lane)
  end
end

-- Above this share of maxmemory nothing new is accepted: the rest is for what workers and operators write to bring the
-- work to its end, and for the messages of a broker on the same server, which the server itself refuses at the limit.
local FULL = 0.9
-- A producer fills it no faster than so many bytes a millisecond, so that until then there is no need to look again.
local FASTEST = 65536

local function is_full()
  local room = redis.call('GET', P .. 'room')
  if not room then
    room = 'yes'
    local for_ms, info = 1000, redis.pcall('INFO', 'memory')
    local most = type(info) == 'string' and tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
    if most > 0 then
      local used = tonumber(string.match(info, 'used_memory:(%d+)'))
      used = used - tonumber(string.match(info, 'mem_not_counted_for_evict:(%d+)') or 0)
      local left = FULL * most - used
      room = left > 0 and 'yes' or 'no'
      for_ms = math.max(1, math.min(1000, math.floor(math.abs(left) / FASTEST)))
    end
    -- At the limit this is refused as well, and what follows says so.
    redis.pcall('SET', P .. 'room', room, 'PX', for_ms)
  end
  return room == 'no'
end

for _, new in ipairs(intents) do
  local answer = examine(new)
  before[new.id] = true
  refused = refused or type(answer) == 'table'
  answers[#answers + 1] = answer
end

local bells, accepted, existing, any_new = {}, {}, 0, false
for _, answer in ipairs(answers) do any_new = any_new or answer == 'created' end
if mode == 'write' and not refused then
  if any_new and is_full() then return redis.error_reply('JOURNALFULL there is no room for new intents') end
  for place, new in ipairs(intents) do
    if answers[place] == 'created' then
      write(new, bells)
      accepted[new.kind] = (accepted[new.kind] or 0) + 1
    else
      existing = existing + 1
    end
  end
end
for kind, number in pairs(accepted) do count('accepted|' .. kind, number) end
-- Whoever asks again gets the first answer, also from a server that takes nothing any more.
if existing > 0 then redis.pcall('HINCRBY', P .. 'counts', 'duplicate', existing) end
for _, lane in ipairs(bells) do answers[#answers + 1] = lane end
return answers
