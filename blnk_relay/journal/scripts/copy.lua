-- What is to be copied next into a database of the user's, for whoever holds the lock on this journal there. Switches
-- history on, and notices by the numbers of pages which of the two was set back: what may be missing there then is
-- walked through once more.
-- ARGV: database (its id); page, epoch, born (what stands there of this journal: the last page that was copied, the
--   epoch that it was copied in, the id of the journal; 0 and "" for nothing); fresh (an id for a journal that has
--   none); most (intents in one page); silent_ms (after which another database may take the place of this one);
--   met ("1": intents of this very journal stand there).
-- Returns: {"on", or why nothing is copied ("shape", "database", "journal": another one is copied there, "nameless": so
--   it may be, for this one has no id; it is to be met there first), page, epoch, id of the journal, id and
--   number of each that has changed, ids of what was over before, letters and walked for after this page, lines of
--   lives, last action that is copied, entries of actions behind it, now, whether it begins ("new", "database", "page",
--   "epoch", ""), 1 where letters or walked have changed}.
-- Deletes: nothing.
-- Bound: most intents and lines; MOST_BYTES of what has changed, and as many of what was over before.

local database, page, epoch, born = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local fresh, most, silent_ms, met = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'

local key = P .. 'history'
-- Who has an older shape may end intents without a word of it.
if SHAPE < 2 then return { 'shape' } end
local is = fields_of(key, 'id', 'database', 'page', 'walked', 'letters', 'actions', 'seen')
-- Ids of rows are made of keys: another journal of this name would write over them. What switching off leaves, and the
-- version before did not keep, says who this is; else what it has in common with the database, or an operator.
local own = fields_of(P .. 'ground', 'born', 'adopts')
local known = is.id or own.born
if born ~= '' and known ~= born and not own.adopts then
  if known then return { 'journal' } end
  if not met then return { 'nameless' } end
end
local seen = tonumber(is.seen or '0')
if is.database and is.database ~= database and NOW >= seen and NOW - seen < silent_ms then return { 'database' } end

local now_epoch = redis.call('HGET', P .. 'ground', 'epoch') or ''
local copied = tonumber(is.page or '-1')
local begins = not is.database and 'new' or is.database ~= database and 'database' or page < copied and 'page' or ''
if begins ~= '' then
  -- All that is kept is copied, oldest first.
  is.walked, is.letters, is.actions = '0 ', 'dead 0 ', ''
  redis.call('HSET', P .. 'ground', 'history', '1')
elseif page > copied + 1 or epoch ~= now_epoch then
  -- What the journal has lost ends once more, and tells so; what humans did with letters it does not know any more.
  begins = epoch ~= '' and 'epoch' or ''
  if begins ~= '' then is.letters = 'dead 0 ' end
end
local id = born ~= '' and born or known or fresh
redis.call('HSET', P .. 'ground', 'born', id)
redis.call('HDEL', P .. 'ground', 'adopts')
redis.call('HSET', key, 'id', id, 'database', database, 'page', page, 'epoch', now_epoch, 'seen', NOW,
  'walked', is.walked or '', 'letters', is.letters or '', 'actions', is.actions or '')
if begins ~= '' and begins ~= 'epoch' then redis.call('HSET', key, 'since', NOW) end

-- A page carries a few large intents or many small ones: whoever copies it holds them all, and their rows. What has no
-- room is left for the next page, and so is all behind it; the first one goes, however large. What stands beside a body
-- is no larger: a line for each of its items.
local MOST_BYTES = 2000000
local carried, full = 0, false

local function has_room_for(id)
  if full then return false end
  local bytes = redis.call('STRLEN', P .. 'body:' .. id)
  full = carried > 0 and carried + bytes > MOST_BYTES
  if not full then carried = carried + bytes end
  return not full
end

-- Some of a set from a place on, in its order, and the place of the last; nil where there is nothing more, or no room.
local function walk_on(name, from, by_id, number)
  local found, offset, place = {}, 0, nil
  repeat
    local some = redis.call('ZRANGEBYSCORE', P .. name, from, '+inf', 'WITHSCORES', 'LIMIT', offset, number)
    for at = 1, #some, 2 do
      local behind = tonumber(some[at + 1]) > tonumber(from) or some[at] > by_id
      if behind and #found < number and has_room_for(some[at]) then
        found[#found + 1] = some[at]
        place = some[at + 1] .. ' ' .. some[at]
      end
    end
    offset = offset + number
  until #found > 0 or full or #some < 2 * number
  return found, place
end

local numbered = redis.call('ZRANGE', P .. 'uncopied', 0, most - 1, 'WITHSCORES')
local changed = {}
for at = 1, #numbered, 2 do
  if not has_room_for(numbered[at]) then break end
  changed[at], changed[at + 1] = numbered[at], numbered[at + 1]
end
-- What ends now does not keep back for ever what was over before.
carried, full = 0, false
local room = math.max(most - #changed / 2, math.floor(most / 4))
local before = {}
local letters, walked = is.letters or '', is.walked or ''
while letters ~= '' and #before < room and not full do
  local name, from, by_id = string.match(letters, '^(%S+) (%S+) (%S*)$')
  local found, place = walk_on(name, from, by_id, room - #before)
  for _, one in ipairs(found) do before[#before + 1] = one end
  if place then letters = name .. ' ' .. place
  elseif full then break
  elseif name == 'dead' then letters = 'discarded 0 '
  else letters = '' end
end
if letters == '' and walked ~= '' and #before < room and not full then
  local from, by_id = string.match(walked, '^(%S+) (%S*)$')
  local found, place = walk_on('done', from, by_id, room - #before)
  for _, one in ipairs(found) do before[#before + 1] = one end
  if not full or place then walked = place or '' end
end
local acted = redis.call('XRANGE', P .. 'actions', (is.actions or '') ~= '' and '(' .. is.actions or '-', '+', 'COUNT',
  most)
-- Where nothing is left to be copied, nothing is in the way.
if #changed == 0 and #before == 0 and #acted == 0 then redis.call('HDEL', key, 'trouble', 'trouble_since') end
return { 'on', page, now_epoch, id, changed, before, letters, walked, redis.call('LRANGE', P .. 'lives', 0, most - 1),
  is.actions or '', acted, NOW, begins,
  (letters ~= (is.letters or '') or walked ~= (is.walked or '')) and 1 or 0 }
