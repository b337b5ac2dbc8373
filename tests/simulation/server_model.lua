-- What the scripts need of a server, in the Lua that they are written in: a model, which a test holds against a real
-- Valkey, story by story. What it does not know ends the run, so that a new command or option is noticed.
local play = {}

local db, expires, kept = {}, {}, {}
local now_ms, run_id, memory = 0, '', ''
local command = {}

local floor, format, sort, concat = math.floor, string.format, table.sort, table.concat
local tonumber, type, ipairs, pairs, rawget = tonumber, type, ipairs, pairs, rawget

local function text(value)
  if type(value) == 'number' then return format('%.17g', value) end
  return value
end

local function fail(message) error({ err = message }, 0) end

-- What is asked for and is not here. It is kept, because a script may take an error for one of a server.
local lacking

local function lack(what)
  lacking = lacking or what
  fail('ERR ' .. what)
end

local function number(value)
  local found = tonumber(value)
  if not found then fail('ERR value is not an integer or out of range') end
  return found
end

local function score_of(value)
  if value == '-inf' then return -math.huge end
  if value == '+inf' or value == 'inf' then return math.huge end
  return number(value)
end

-- The value under a key, of one sort; nil for none.
local function at(key, sort_of)
  local value = db[key]
  if value and value.sort ~= sort_of then
    fail('WRONGTYPE Operation against a key holding the wrong kind of value')
  end
  return value
end

local function made(key, sort_of)
  local value = at(key, sort_of)
  if not value then
    value = { sort = sort_of, size = 0, of = {} }
    if sort_of ~= 'hash' then value.list = {} end
    db[key] = value
  end
  return value
end

local function gone(key)
  db[key], expires[key] = nil, nil
end

local function delete(...)
  local deleted = 0
  for _, key in ipairs({ ... }) do
    if db[key] then deleted = deleted + 1 end
    gone(key)
  end
  return deleted
end

command.DEL, command.UNLINK = delete, delete

function command.TIME() return { format('%d', floor(now_ms / 1000)), format('%d', now_ms % 1000 * 1000) } end

function command.INFO(section)
  if section == 'server' then return 'run_id:' .. run_id end
  return memory
end

function command.EXISTS(...)
  local found = 0
  for _, key in ipairs({ ... }) do if db[key] then found = found + 1 end end
  return found
end

function command.PEXPIRE(key, ms)
  if not db[key] then return 0 end
  expires[key] = now_ms + number(ms)
  return 1
end

function command.PERSIST(key)
  if not expires[key] then return 0 end
  expires[key] = nil
  return 1
end

-- strings

function command.GET(key)
  local value = at(key, 'string')
  return value and value.text or false
end

function command.SET(key, value, option, ms)
  db[key] = { sort = 'string', text = text(value) }
  expires[key] = option == 'PX' and now_ms + number(ms) or nil
  if option and option ~= 'PX' then lack('SET ' .. option) end
  return { ok = 'OK' }
end

function command.GETRANGE(key, from, till)
  local value = command.GET(key) or ''
  return string.sub(value, from + 1, till < 0 and till or till + 1)
end

function command.INCR(key)
  local value = at(key, 'string')
  local next_one = number(value and value.text or '0') + 1
  db[key] = { sort = 'string', text = text(next_one) }
  return next_one
end

-- hashes

function command.HGET(key, field)
  local value = at(key, 'hash')
  return value and value.of[text(field)] or false
end

function command.HMGET(key, ...)
  local value, found = at(key, 'hash'), {}
  for place, field in ipairs({ ... }) do found[place] = value and value.of[text(field)] or false end
  return found
end

function command.HSET(key, ...)
  local value, given, new = made(key, 'hash'), { ... }, 0
  for place = 1, #given, 2 do
    local field = text(given[place])
    if value.of[field] == nil then new = new + 1 end
    value.of[field] = text(given[place + 1])
  end
  value.size = value.size + new
  return new
end

function command.HSETNX(key, field, written)
  local value = made(key, 'hash')
  if value.of[field] ~= nil then return 0 end
  value.of[field], value.size = text(written), value.size + 1
  return 1
end

function command.HDEL(key, ...)
  local value, deleted = at(key, 'hash'), 0
  if not value then return 0 end
  for _, field in ipairs({ ... }) do
    field = text(field)
    if value.of[field] ~= nil then value.of[field], deleted = nil, deleted + 1 end
  end
  value.size = value.size - deleted
  if value.size == 0 then gone(key) end
  return deleted
end

function command.HINCRBY(key, field, by)
  local value = made(key, 'hash')
  field = text(field)
  if value.of[field] == nil then value.size = value.size + 1 end
  local sum = number(value.of[field] or '0') + number(by)
  value.of[field] = text(sum)
  return sum
end

function command.HINCRBYFLOAT(key, field, by) return text(command.HINCRBY(key, field, by)) end

function command.HEXISTS(key, field)
  local value = at(key, 'hash')
  return value and value.of[text(field)] ~= nil and 1 or 0
end

function command.HLEN(key)
  local value = at(key, 'hash')
  return value and value.size or 0
end

function command.HGETALL(key)
  local value, found = at(key, 'hash'), {}
  for field, written in pairs(value and value.of or {}) do
    found[#found + 1] = field
    found[#found + 1] = written
  end
  return found
end

-- sets, in the order in which they were filled

function command.SADD(key, ...)
  local value, new = made(key, 'set'), 0
  for _, member in ipairs({ ... }) do
    member = text(member)
    if not value.of[member] then
      value.of[member] = true
      value.list[#value.list + 1] = member
      new = new + 1
    end
  end
  return new
end

function command.SREM(key, ...)
  local value, removed = at(key, 'set'), 0
  if not value then return 0 end
  for _, member in ipairs({ ... }) do
    if value.of[member] then
      value.of[member], removed = nil, removed + 1
      for place, one in ipairs(value.list) do
        if one == member then
          table.remove(value.list, place)
          break
        end
      end
    end
  end
  if #value.list == 0 then gone(key) end
  return removed
end

function command.SMEMBERS(key)
  local value, found = at(key, 'set'), {}
  for place, member in ipairs(value and value.list or {}) do found[place] = member end
  return found
end

function command.SCARD(key)
  local value = at(key, 'set')
  return value and #value.list or 0
end

function command.SISMEMBER(key, member)
  local value = at(key, 'set')
  return value and value.of[member] and 1 or 0
end

-- Not at random: the smallest ones, as the tests have the real one do it.
function command.SPOP(key, most)
  local members, some = command.SMEMBERS(key), {}
  sort(members)
  for place = 1, math.min(number(most), #members) do some[place] = members[place] end
  for _, member in ipairs(some) do command.SREM(key, member) end
  return some
end

-- sorted sets: the list is kept in order

local function before(one, other)
  return one.score < other.score or (one.score == other.score and one.member < other.member)
end

local function out_of(list, entry)
  for place, one in ipairs(list) do
    if one == entry then
      table.remove(list, place)
      return
    end
  end
end

local function into(list, entry)
  local low, high = 1, #list
  while low <= high do
    local middle = floor((low + high) / 2)
    if before(list[middle], entry) then low = middle + 1 else high = middle - 1 end
  end
  table.insert(list, low, entry)
end

function command.ZADD(key, ...)
  local given, place, only_there, only_greater = { ... }, 1, false, false
  while type(given[place]) == 'string' and not tonumber(given[place]) do
    if given[place] == 'XX' then
      only_there = true
    elseif given[place] == 'GT' then
      only_greater = true
    else
      lack('ZADD ' .. given[place])
    end
    place = place + 1
  end
  if only_there and not at(key, 'zset') then return 0 end
  local value, new = made(key, 'zset'), 0
  for index = place, #given, 2 do
    local score, member = score_of(given[index]), text(given[index + 1])
    local entry = value.of[member]
    if entry then
      if entry.score ~= score and not (only_greater and score < entry.score) then
        out_of(value.list, entry)
        entry.score = score
        into(value.list, entry)
      end
    elseif not only_there then
      entry = { member = member, score = score }
      value.of[member] = entry
      into(value.list, entry)
      new = new + 1
    end
  end
  return new
end

function command.ZINCRBY(key, by, member)
  local value = at(key, 'zset')
  local entry = value and value.of[text(member)]
  local score = (entry and entry.score or 0) + number(by)
  command.ZADD(key, score, member)
  return text(score)
end

function command.ZREM(key, ...)
  local value, removed = at(key, 'zset'), 0
  if not value then return 0 end
  for _, member in ipairs({ ... }) do
    local entry = value.of[member]
    if entry then
      out_of(value.list, entry)
      value.of[member], removed = nil, removed + 1
    end
  end
  if #value.list == 0 then gone(key) end
  return removed
end

function command.ZSCORE(key, member)
  local value = at(key, 'zset')
  local entry = value and value.of[member]
  return entry and text(entry.score) or false
end

function command.ZCARD(key)
  local value = at(key, 'zset')
  return value and #value.list or 0
end

function command.ZRANK(key, member)
  local value = at(key, 'zset')
  for place, entry in ipairs(value and value.list or {}) do
    if entry.member == member then return place - 1 end
  end
  return false
end

local function told(entries, with_scores)
  local found = {}
  for _, entry in ipairs(entries) do
    found[#found + 1] = entry.member
    if with_scores then found[#found + 1] = text(entry.score) end
  end
  return found
end

local function range(key, from, till, with_scores, backwards)
  local value = at(key, 'zset')
  local list, some = value and value.list or {}, {}
  from, till = number(from), number(till)
  if with_scores and with_scores ~= 'WITHSCORES' then lack('ZRANGE ' .. with_scores) end
  if from < 0 then from = math.max(0, #list + from) end
  if till < 0 then till = #list + till end
  for place = from, math.min(till, #list - 1) do
    some[#some + 1] = list[backwards and #list - place or place + 1]
  end
  return told(some, with_scores == 'WITHSCORES')
end

function command.ZRANGE(key, from, till, with_scores) return range(key, from, till, with_scores, false) end

function command.ZREVRANGE(key, from, till, with_scores) return range(key, from, till, with_scores, true) end

local function bound(value)
  value = text(value)
  if string.sub(value, 1, 1) == '(' then return score_of(string.sub(value, 2)), true end
  return score_of(value), false
end

local function between(key, least, most)
  local value, some = at(key, 'zset'), {}
  local low, above = bound(least)
  local high, below = bound(most)
  for _, entry in ipairs(value and value.list or {}) do
    local score = entry.score
    if (score > low or (score == low and not above)) and (score < high or (score == high and not below)) then
      some[#some + 1] = entry
    end
  end
  return some
end

local function by_score(entries, ...)
  local options, with_scores, place = { ... }, false, 1
  while options[place] do
    if options[place] == 'WITHSCORES' then
      with_scores, place = true, place + 1
    elseif options[place] == 'LIMIT' then
      local some, from, wanted = {}, number(options[place + 1]), number(options[place + 2])
      for index = from + 1, math.min(#entries, wanted < 0 and #entries or from + wanted) do
        some[#some + 1] = entries[index]
      end
      entries, place = some, place + 3
    else
      lack('ZRANGEBYSCORE ' .. options[place])
    end
  end
  return told(entries, with_scores)
end

function command.ZRANGEBYSCORE(key, least, most, ...) return by_score(between(key, least, most), ...) end

function command.ZREVRANGEBYSCORE(key, most, least, ...)
  local entries, backwards = between(key, least, most), {}
  for place = #entries, 1, -1 do backwards[#backwards + 1] = entries[place] end
  return by_score(backwards, ...)
end

function command.ZCOUNT(key, least, most) return #between(key, least, most) end

function command.ZREMRANGEBYSCORE(key, least, most)
  local entries = between(key, least, most)
  for _, entry in ipairs(entries) do command.ZREM(key, entry.member) end
  return #entries
end

function command.ZREMRANGEBYRANK(key, from, till)
  local members = command.ZRANGE(key, from, till)
  for _, member in ipairs(members) do command.ZREM(key, member) end
  return #members
end

-- lists

function command.RPUSH(key, ...)
  local value = made(key, 'list')
  for _, item in ipairs({ ... }) do value.list[#value.list + 1] = text(item) end
  return #value.list
end

function command.LPUSH(key, ...)
  local value = made(key, 'list')
  for _, item in ipairs({ ... }) do table.insert(value.list, 1, text(item)) end
  return #value.list
end

local function place_of(list, index)
  index = number(index)
  return index < 0 and #list + index + 1 or index + 1
end

function command.LINDEX(key, index)
  local value = at(key, 'list')
  return value and value.list[place_of(value.list, index)] or false
end

function command.LLEN(key)
  local value = at(key, 'list')
  return value and #value.list or 0
end

function command.LPOP(key)
  local value = at(key, 'list')
  if not value then return false end
  local first = table.remove(value.list, 1)
  if #value.list == 0 then gone(key) end
  return first
end

function command.LSET(key, index, item)
  local value = at(key, 'list')
  value.list[place_of(value.list, index)] = text(item)
  return { ok = 'OK' }
end

function command.LRANGE(key, from, till)
  local value, found = at(key, 'list'), {}
  local list = value and value.list or {}
  for place = math.max(1, place_of(list, from)), math.min(#list, place_of(list, till)) do
    found[#found + 1] = list[place]
  end
  return found
end

function command.LTRIM(key, from, till)
  local some = command.LRANGE(key, from, till)
  if #some == 0 then gone(key) elseif db[key] then db[key].list = some end
  return { ok = 'OK' }
end

-- Of the stream of operators' acts something is read; nobody reads events in a simulation, so none are kept.
local function is_read(key) return string.find(key, ':actions', 1, true) end

local function entries_of(key)
  if not is_read(key) then lack('what is read of the stream ' .. key) end
  local value = at(key, 'stream')
  return value and value.list or {}
end

function command.XADD(key, ...)
  local value, given, place = made(key, 'stream'), { ... }, 1
  value.size = value.size + 1
  local id = format('%d-%d', now_ms, value.size)
  while given[place] and given[place] ~= '*' do place = place + 1 end
  local fields = {}
  for index = place + 1, #given do fields[#fields + 1] = text(given[index]) end
  if is_read(key) then value.list[#value.list + 1] = { id, fields } end
  return id
end

function command.XLEN(key) return #entries_of(key) end

-- What came later than an id, or all, as scripts ask for it.
function command.XRANGE(key, from, till, count, most)
  local ms, number_of = string.match(from, '^%((%d+)-(%d+)$')
  if not (ms or from == '-') or till ~= '+' or count ~= 'COUNT' then lack('XRANGE ' .. from .. ' ' .. till) end
  local found = {}
  ms, number_of = tonumber(ms or -1), tonumber(number_of or -1)
  for _, entry in ipairs(entries_of(key)) do
    local its_ms, its_number = string.match(entry[1], '^(%d+)-(%d+)$')
    its_ms, its_number = tonumber(its_ms), tonumber(its_number)
    local later = its_ms > ms or (its_ms == ms and its_number > number_of)
    if later and #found < number(most) then found[#found + 1] = entry end
  end
  return found
end

function command.XREVRANGE(key, till, from, count, most)
  if from ~= '-' or till ~= '+' or count ~= 'COUNT' then lack('XREVRANGE ' .. till .. ' ' .. from) end
  local found, list = {}, entries_of(key)
  for index = #list, math.max(1, #list - number(most) + 1), -1 do found[#found + 1] = list[index] end
  return found
end

-- -- the calls of scripts -------------------------------------------------------------------------------------------

local function call(name, ...)
  local known = command[name]
  if not known then lack(name) end
  return known(...)
end

local function pcalled(...)
  local fine, answer = pcall(call, ...)
  -- An error of this Lua is none of a server.
  if not fine and type(answer) ~= 'table' then error(answer, 0) end
  return answer
end

redis = {
  call = call,
  pcall = pcalled,
  error_reply = function(message) return { err = message } end,
  status_reply = function(message) return { ok = message } end,
}

struct = {}

local function widths(pattern)
  local found = {}
  for width in string.gmatch(pattern, 'I(%d+)') do found[#found + 1] = tonumber(width) end
  return found
end

function struct.pack(pattern, ...)
  local bytes, given = {}, { ... }
  for place, width in ipairs(widths(pattern)) do
    for power = width - 1, 0, -1 do bytes[#bytes + 1] = string.char(floor(given[place] / 256 ^ power) % 256) end
  end
  return concat(bytes)
end

function struct.unpack(pattern, packed)
  local numbers, at_byte = {}, 1
  for place, width in ipairs(widths(pattern)) do
    local value = 0
    for _ = 1, width do value, at_byte = value * 256 + string.byte(packed, at_byte), at_byte + 1 end
    numbers[place] = value
  end
  return unpack(numbers)
end

-- -- answers as the server writes them ------------------------------------------------------------------------------

local function written(value, out)
  local kind = type(value)
  if kind == 'string' then
    out[#out + 1] = '$' .. #value .. '\r\n' .. value .. '\r\n'
  elseif kind == 'number' then
    out[#out + 1] = ':' .. format('%d', value >= 0 and floor(value) or -floor(-value)) .. '\r\n'
  elseif kind == 'boolean' then
    out[#out + 1] = value and ':1\r\n' or '$-1\r\n'
  elseif kind == 'table' then
    if rawget(value, 'err') then
      out[#out + 1] = '-' .. value.err .. '\r\n'
    elseif rawget(value, 'ok') then
      out[#out + 1] = '+' .. value.ok .. '\r\n'
    else
      out[#out + 1] = '*' .. #value .. '\r\n'
      for _, item in ipairs(value) do written(item, out) end
    end
  else
    out[#out + 1] = '$-1\r\n'
  end
end

local function answered(value)
  local out = {}
  written(value, out)
  return concat(out)
end

local function expire()
  for key, till in pairs(expires) do
    if till <= now_ms then gone(key) end
  end
end

-- Globals that scripts may not make: each has its own, and what they share is refused to be written to.
local shared = setmetatable({}, { __index = _G, __newindex = function(_, name)
  error('script attempted to create global variable ' .. tostring(name))
end })

function play.script(source)
  local loaded, problem = loadstring(source)
  if not loaded then error(problem) end
  return loaded
end

-- The answer to what was tried; or, in words that no server uses, that it cannot be played. A script that breaks, as by
-- a function that is not here, is no refusal of a server either.
local function outcome(fine, answer)
  local what = lacking
  lacking = nil
  if not what and not fine and type(answer) ~= 'table' then what = tostring(answer) end
  return what and '!' .. what or answered(answer)
end

function play.run(script, prefix, now, run, info, ...)
  now_ms, run_id, memory = tonumber(now), run, info
  if next(expires) then expire() end
  setfenv(script, setmetatable({ KEYS = { prefix }, ARGV = { ... } }, { __index = shared, __newindex = shared }))
  return outcome(pcall(script))
end

function play.command(...) return outcome(pcall(call, ...)) end

-- -- going back -----------------------------------------------------------------------------------------------------

local function copied(value)
  local copy = {}
  for name, inner in pairs(value) do
    if type(inner) == 'table' then copy[name] = copied(inner) else copy[name] = inner end
  end
  return copy
end

-- Members of a sorted set stand in it twice.
local function copied_whole(values)
  local copy = copied(values)
  for _, value in pairs(copy) do
    if value.sort == 'zset' then
      value.of = {}
      for _, entry in ipairs(value.list) do value.of[entry.member] = entry end
    end
  end
  return copy
end

function play.empty() db, expires, kept = {}, {}, {} end

function play.keep(place) kept[place] = { copied_whole(db), copied(expires) } end

function play.go_back(place)
  db, expires = unpack(kept[place])
  kept[place] = nil
end

return play
