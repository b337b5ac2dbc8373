-- Part of scripts that ask what the journal itself rests on: which server, how much of its tail, which clock.
-- Deletes: nothing.
-- Bound: some commands.

local GROUND = P .. 'ground'

-- Names are given anew after so many: two processes of one name notice a little less, and nothing that is not so.
local MOST_NAMES = 4096

-- Which epoch this is, when it began because the journal may have lost its tail ('' for never), since when that may be
-- lost ('0' where nobody can tell), and since when clock and tail can be trusted.
local EPOCH, LOST, TAIL, SOLID

local function read_ground()
  local epoch, lost, tail, solid = unpack(redis.call('HMGET', GROUND, 'epoch', 'lost', 'tail', 'solid'))
  EPOCH, LOST, TAIL, SOLID = epoch or '0-new', lost or '', tail or '0', solid or '0'
end

-- Whose receipt was lost as well enqueues again, under the same key and soon.
local AGAIN_MS = 300000

-- Since when the tail may be lost, where another process is noticed to serve the journal: nobody's last sign of life is
-- younger than what is left. The oldest of them, for workers of older versions give signs before they notice. Whose
-- receipt was lost a moment before, with another tail, may enqueue again only now.
local function tail_from(lost_before, tail_before)
  local from = tonumber(redis.call('ZRANGE', P .. 'workers', 0, 0, 'WITHSCORES')[2] or '0')
  if from > NOW then from = 0 end
  if lost_before and NOW - tonumber(lost_before) <= AGAIN_MS then
    from = math.min(from, tonumber(tail_before or '0'))
  end
  return string.format('%d', from)
end

-- Compares what stands here with what the caller has seen, and begins a new epoch when the tail may be lost: another
-- process serves the journal, or it has gone back behind what somebody has seen already.
-- seen: "<epoch>.<name>.<mark>" as the caller had it from the last trip, '' for one that has just begun and gets a
--   name; what is behind an "@" is for watch.
-- Each process has a mark of its own: with one for all, those who have seen less would raise it above what others have
-- seen, and nobody would notice.
-- Returns it as it stands now.
local function stand(seen)
  local seen_epoch, name, seen_mark = string.match(seen, '^(%S+)%.(%d+)%.(%d+)@?%d*$')
  if not name then name = string.format('%d', redis.call('HINCRBY', GROUND, 'names', 1) % MOST_NAMES) end
  local recorded, served_by, mark = unpack(redis.call('HMGET', GROUND, 'epoch', 'server', 'mark:' .. name))
  local epoch, server = recorded, server_now()
  local number = epoch and tonumber(string.match(epoch, '^%d+')) or 0
  local seen_number = seen_epoch and tonumber(string.match(seen_epoch, '^%d+')) or 0
  local gone_back = seen_number > number or (seen_number == number and seen_number > 0
    and (seen_epoch ~= epoch or tonumber(seen_mark) > tonumber(mark or '0')))
  local served_by_another = served_by and server ~= '' and server ~= served_by
  if not epoch or server ~= served_by or gone_back then
    -- The name is unlike any that another server may have given at the same time.
    epoch = math.max(number, seen_number) + 1 .. '-' .. string.sub(server, 1, 6) .. string.format('%x', NOW % 16777216)
    redis.call('HSET', GROUND, 'epoch', epoch, 'server', server)
    if recorded or seen ~= '' or served_by_another then
      -- Where a journal has gone back under its process, some may have given signs before anybody noticed.
      local tail = served_by_another and tail_from(unpack(redis.call('HMGET', GROUND, 'lost', 'tail'))) or '0'
      redis.call('HSET', GROUND, 'lost', NOW, 'tail', tail, 'solid', NOW)
      count('epochs')
    end
  end
  read_ground()
  return EPOCH .. '.' .. name .. '.' .. redis.call('HINCRBY', GROUND, 'mark:' .. name, 1)
end

-- The same for whoever comes seldom and has seen nothing: no worker may have been here since another process serves us.
-- Once a script is enough.
local looked = false

local function look_about()
  if looked then return end
  looked = true
  local served_by, server = redis.call('HGET', GROUND, 'server'), server_now()
  if served_by and server ~= '' and server ~= served_by then stand('') else read_ground() end
end

-- The same for whoever only reads, and is to change nothing: what another process serves since is all in doubt, until
-- somebody notes it.
local function glance()
  if looked then return end
  looked = true
  read_ground()
  local served_by, server = redis.call('HGET', GROUND, 'server'), server_now()
  if served_by and server ~= '' and server ~= served_by then
    EPOCH, LOST, TAIL = '', string.format('%d', NOW), '0'
  end
end

-- How often the clock was set right.
local function steps() return tonumber(redis.call('HGET', GROUND, 'steps') or '0') end

-- A worker that has just begun knows nothing of the clock before its time. Where nobody else was there to watch it,
-- silences begin again. A sign of life does not say that: whoever gave it had not compared the clock yet, and may have
-- died of it.
local UNWATCHED_MS = 5000
-- It is noted anew after so long.
local WATCHED_MS = 1000

-- seen: behind an "@" the journal's time up to which the caller has found no step of it, or has told of all.
local function watch(seen)
  local compared = tonumber(string.match(seen, '@(%d+)$'))
  if seen ~= '' and not compared then return end
  local watched = tonumber(redis.call('HGET', GROUND, 'watched') or '0')
  if compared then
    if compared >= watched + WATCHED_MS or watched > NOW then redis.call('HSET', GROUND, 'watched', compared) end
  elseif redis.call('HEXISTS', GROUND, 'epoch') == 1 and (watched > NOW or NOW - watched > UNWATCHED_MS) then
    redis.call('HSET', GROUND, 'solid', NOW)
  end
end

-- The token of the next claim. It names the epoch, so that none that was given before a loss is ever given again.
local function next_token(token)
  local number = tonumber(string.match(token or '', '%d+$')) or 0
  return EPOCH .. '.' .. string.format('%d', number + 1)
end

-- Whether an intent may have been sent in moments that the journal has lost: it was accepted and due before, and nobody
-- has claimed it since. With again, also one that was accepted soon before or afterwards, and due soon: it may have
-- been there long before.
local function in_doubt(created, token, due, again)
  if LOST == '' or not created then return false end
  -- A token of another epoch was given before the loss, also where its end was noted by a clock that was set back.
  local claimed_before = token and string.sub(token, 1, #EPOCH + 1) ~= EPOCH .. '.'
  local late_ms = tonumber(created) - tonumber(LOST)
  if tonumber(created) > NOW then
    -- By a clock that had stepped ahead: nobody knows when.
  elseif late_ms >= 0 then
    if not claimed_before and (not again or late_ms > AGAIN_MS) then return false end
  elseif due and not token and tonumber(due) > tonumber(LOST) then
    -- Of what was claimed before, its due time was put off by whoever had it, or is of a clock that was ahead. And who
    -- enqueues again may come before anybody has noticed the loss: the first time it was due as much earlier.
    if not again or -late_ms > AGAIN_MS or tonumber(due) - tonumber(LOST) > AGAIN_MS then return false end
  end
  return not token or claimed_before
end

-- Whether a dead letter may have been replayed in moments that the journal has lost, by its fields: then what it says
-- may be of the life before. One that was rejected, and looked for after a loss, may have been replayed before that.
local function perhaps_replayed(created, token, died, class, lost)
  return in_doubt(created, token, died) or (class == 'rejected' and lost)
end

local function may_have_been_replayed(id)
  local created, token, class, lost = unpack(redis.call('HMGET', intent_key(id), 'created', 'token', 'class', 'lost'))
  return perhaps_replayed(created, token, redis.call('ZSCORE', P .. 'dead', id), class, lost)
end
