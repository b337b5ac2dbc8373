-- Hands a reader of the stream of events what it is to deal with next: first what it was given before and has not
-- finished, then what readers held that are gone, then what is new. What nobody has given back is never overtaken: as
-- long as one reader holds an event of an intent, later ones of that intent go to the same reader, behind it.
-- ARGV: group (made from the oldest entry on, if it is not there yet); reader; most (events); gone_ms (silence after
--   which a reader is gone).
-- Returns: {entries as the stream has them, entry id behind which new ones are to be waited for}.
-- Deletes: readers:<group>.
-- Bound: most events, and MOST_HELD that the readers of a group hold.

local group, reader, most, gone_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local stream, readers = P .. 'events', P .. 'readers:' .. group
-- Events that all readers of a group may hold together; beyond that they finish before they get new ones.
local MOST_HELD = 1000
-- Behind this no entry ever comes: who has to wait for other readers sleeps here.
local NEVER = '18446744073709551615-18446744073709551615'

local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return redis.error_reply(made.err)
end
redis.call('ZADD', readers, NOW, reader)

local function intent_of(entry)
  for index = 1, #entry[2], 2 do
    if entry[2][index] == 'id' then return entry[2][index + 1] end
  end
end

-- Leaves out what the stream's cap has cut off meanwhile: it can never be dealt with.
local function still_there(entries)
  local there = {}
  for _, entry in ipairs(entries) do
    if entry[2] then there[#there + 1] = entry else redis.call('XACK', stream, group, entry[1]) end
  end
  return there
end

local function read_group(from)
  local answer = redis.call('XREADGROUP', 'GROUP', group, reader, 'COUNT', most, 'STREAMS', stream, from)
  return answer and answer[1][2] or {}
end

-- 1. What it holds.
local given = read_group('0')
while #given > 0 do
  local own = still_there(given)
  if #own > 0 then return { own, '' } end
  given = read_group('0')
end

-- 2. What readers held that are gone.
local is_gone = {}
local function gone(name, idle)
  if is_gone[name] == nil then
    local alive_at = redis.call('ZSCORE', readers, name)
    is_gone[name] = (alive_at and NOW - tonumber(alive_at) or idle) > gone_ms
  end
  return is_gone[name]
end

local holder, taken = {}, {}
local held = redis.call('XPENDING', stream, group, '-', '+', MOST_HELD)
for _, pending in ipairs(held) do
  local id, name, idle = unpack(pending)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if not entry then
    redis.call('XACK', stream, group, id)
  else
    local intent = intent_of(entry)
    if gone(name, tonumber(idle)) and (holder[intent] or #taken < most) then
      name = holder[intent] or reader
      redis.call('XCLAIM', stream, group, name, 0, id, 'JUSTID')
      if name == reader then taken[#taken + 1] = entry end
    end
    holder[intent] = holder[intent] or name
  end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', readers, '-inf', '(' .. (NOW - gone_ms), 'LIMIT', 0, 10)) do
  if #redis.call('XPENDING', stream, group, '-', '+', 1, name) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    redis.call('ZREM', readers, name)
  end
end
if #taken > 0 then return { taken, '' } end

-- 3. What is new.
if #held == MOST_HELD then return { {}, NEVER } end
local last = NEVER
for _, entry in ipairs(still_there(read_group('>'))) do
  local name = holder[intent_of(entry)]
  last = entry[1]
  if name and name ~= reader then
    redis.call('XCLAIM', stream, group, name, 0, entry[1], 'JUSTID')
  else
    taken[#taken + 1] = entry
  end
end
if last == NEVER then
  local about = redis.call('XINFO', 'STREAM', stream)
  for index = 1, #about, 2 do
    if about[index] == 'last-generated-id' then last = about[index + 1] end
  end
end
return { taken, last }
