-- uses: owning
-- Accepts intents: all of them, or none when one cannot be. An intent that is there already is left as it is.
-- ARGV: mode ("write", or "check" to change nothing), then 13 for each: id, fingerprint, body, kind, target, lane,
--   orders (joined by newlines), not_before and deadline (ms since 1970, or "+<ms>" from now; a
--   deadline also "~<ms>" from when it may first be sent), twins (for each
--   reference the id of the intent whose key it is, "-" where that is the intent itself; joined by ","), references
--   that it owns ("<target>:<reference>", joined by NUL), ids of the intents that it waits for (joined by ","; those
--   of the same call stand before it), a file to upload ("" for none).
-- Returns: one for each: "created", "existing", or what is against it as {status, id, kind, state, created}, status being
--   conflict (id is the owner's; last stands the reference that is taken, where it is not the key), missing or closed (id
--   is that of what it would wait for); and behind them the lanes to ring. In one row, because each table more costs as much as a command. The error JOURNALFULL when there is no room.

local WIDTH = 13
local answers, refused, before = {}, false, {}

-- Written once: a number costs more to hand over than all the rest of a command.
local NOW_TEXT = string.format('%d', NOW)

local function moment(text)
  if text == '+0' then return NOW, NOW_TEXT end
  local at = string.byte(text) == 43 and NOW + tonumber(string.sub(text, 2)) or tonumber(text)
  return at, string.format('%d', at)
end

-- Fingerprint, state, accept time, kind and main id of an intent, trimmed ones included; nil when there is none.
local function known(id)
  local values = redis.call('HMGET', intent_key(id), 'fp', 'state', 'created', 'kind', 'txn')
  if values[1] then return values end
  local past = redis.call('HGET', P .. 'past:' .. string.sub(id, 1, 3), id)
  if not past then return nil end
  local fp, outcome, txn = string.match(past, '^(%S*) (%S*) ?(%S*)$')
  return { fp, outcome == 'cancelled' and outcome or 'done', '0', '', txn }
end

local function examine(at)
  local id = ARGV[at]
  local first = known(id)
  if first then
    return first[1] == ARGV[at + 1] and 'existing' or { 'conflict', id, first[4], first[2], first[3] }
  end
  local owner, reference = owner_of(ARGV[at + 10], ARGV[at + 9])
  if owner then
    local theirs = known(owner) or { '', '', '0', '' }
    return { 'conflict', owner, theirs[4], theirs[2], theirs[3], reference }
  end
  for dep in string.gmatch(ARGV[at + 11], '[^,]+') do
    local other = known(dep)
    if not other and not before[dep] then return { 'missing', dep, '', '', '0' } end
    if other and (other[2] == 'cancelled' or other[2] == 'discarded') then
      return { 'closed', dep, other[4], other[2], other[3] }
    end
  end
  return 'created'
end

local function write(at, bells)
  local id, kind, target, lane, orders = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local key, pending, results = intent_key(id), 0, ''
  local due, due_text = moment(ARGV[at + 7])
  if due < NOW then due, due_text = NOW, NOW_TEXT end
  local patience = string.byte(ARGV[at + 8]) == 126 and tonumber(string.sub(ARGV[at + 8], 2))
  local deadline, deadline_text
  if patience then
    deadline_text = string.format('%d', due + patience)
  else
    deadline, deadline_text = moment(ARGV[at + 8])
  end
  redis.call('SET', P .. 'body:' .. id, ARGV[at + 2])
  if ARGV[at + 12] ~= '' then redis.call('SET', P .. 'file:' .. id, ARGV[at + 12]) end
  for dep in string.gmatch(ARGV[at + 11], '[^,]+') do
    local other = known(dep)
    if other[2] == 'done' then
      results = results .. dep .. ' ' .. (other[5] or '') .. '\n'
    else
      redis.call('SADD', P .. 'deps:' .. dep, id)
      pending = pending + 1
    end
  end
  local held = pending > 0
  for order in string.gmatch(orders, '[^\n]+') do
    redis.call('ZADD', P .. 'order:' .. order, redis.call('INCR', P .. 'seq'), id)
    if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then held = true end
  end
  local state = held and 'waiting' or 'ready'
  redis.call('HSET', key, 'state', state, 'kind', kind, 'lane', lane, 'target', target, 'fp', ARGV[at + 1],
    'created', NOW_TEXT, 'since', due_text, 'deadline', deadline_text)
  if orders ~= '' then redis.call('HSET', key, 'orders', orders) end
  if held then redis.call('HSET', key, 'due', due_text, 'pending', pending) end
  if results ~= '' then redis.call('HSET', key, 'results', results) end
  -- Most own the one reference that is their key, which needs no note.
  if ARGV[at + 9] ~= '-' then own(id, ARGV[at + 10], ARGV[at + 9]) end
  redis.call('SADD', P .. 'queues', lane .. '|' .. target)
  if held then
    redis.call('ZADD', P .. 'waiting', NOW_TEXT, id)
    if patience then
      redis.call('HSET', key, 'patience', patience)
    else
      redis.call('ZADD', P .. 'expiring', deadline, id)
    end
  else
    make_ready(id, lane, target, due_text)
    if due <= NOW then ring(bells, lane) end
  end
end

-- Above this share of maxmemory nothing new is accepted: the rest is for what workers and operators write to bring the
-- work to its end, and for the messages of a broker on the same server, which the server itself refuses at the limit.
local FULL = 0.9
-- A producer fills it no faster than so many bytes a millisecond, so that until then there is no need to look again.
local FASTEST = 65536

local function is_full()
  local told = redis.call('GET', P .. 'room')
  if not told then
    told = 'yes'
    local for_ms, info = 1000, redis.pcall('INFO', 'memory')
    local most = type(info) == 'string' and tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
    if most > 0 then
      local used = tonumber(string.match(info, 'used_memory:(%d+)'))
      used = used - tonumber(string.match(info, 'mem_not_counted_for_evict:(%d+)') or 0)
      local left = FULL * most - used
      told = left > 0 and 'yes' or 'no'
      for_ms = math.max(1, math.min(1000, math.floor(math.abs(left) / FASTEST)))
    end
    -- At the limit this is refused as well, and what follows says so.
    redis.pcall('SET', P .. 'room', told, 'PX', for_ms)
  end
  return told == 'no'
end

for at = 2, #ARGV, WIDTH do
  local answer = examine(at)
  before[ARGV[at]] = true
  refused = refused or type(answer) == 'table'
  answers[#answers + 1] = answer
end

local bells, accepted, existing, fresh = {}, {}, 0, false
for _, answer in ipairs(answers) do fresh = fresh or answer == 'created' end
if ARGV[1] == 'write' and not refused then
  if fresh and is_full() then return redis.error_reply('JOURNALFULL there is no room for new intents') end
  for index = 1, #answers do
    local at = 2 + (index - 1) * WIDTH
    if answers[index] == 'created' then
      write(at, bells)
      accepted[ARGV[at + 3]] = (accepted[ARGV[at + 3]] or 0) + 1
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
