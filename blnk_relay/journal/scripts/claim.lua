-- uses: ground, letters, turns, gates, claims
-- Claims due intents of a lane under leases; also a sign of life of the worker.
-- ARGV: lane; WORKER; wanted (how many); lease_ms; MAX_LAPSES; CAP (length of the events stream); leave ("1": the
--   worker goes); backlog from which another worker is called in; ledger that the target is for the worker ("": it
--   does not say); shown (what it has seen of the ground: see stand); kinds that it knows (by commas); DEAD_MS (silence
--   after which a worker is dead); names of its encryption keys (by commas).
-- Returns: {now, lanes to ring, one array for each claimed: id, body, then FIELDS without its OWN; id and body of each
--   that became a dead letter instead; ground: {what to show next time, since when it can be trusted, steps of the
--   clock}; kinds that were left to those who know them, and keys ("key <name>"); the ledger that this journal belongs
--   to, where that is another one than the worker's, which then gets nothing ("": it is the same)}.
-- Deletes: ready:<lane>, bell:<lane>.
-- Bound: wanted intents, MOST_BYTES of payloads.

local lane, wanted, lease_ms = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local leave, backlog = ARGV[7] == '1', tonumber(ARGV[8])
WORKER, MAX_LAPSES, CAP, DEAD_MS = ARGV[2], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[12])
KINDS, KEYS_HELD = ',' .. ARGV[11] .. ',', ',' .. ARGV[13] .. ','
local ledger, shown = ARGV[9], ARGV[10]

local bells, items, more, alone = {}, {}, false, nil
-- How old what is claimed is, which no other set tells while it is in hands or looked for; all in one command.
local ages, MOST_AGES = {}, 1000
local function note_ages()
  if #ages > 0 then redis.call('ZADD', P .. 'tried:' .. lane, unpack(ages)) end
  ages = {}
end
-- Claimed in one trip; Redis and worker are busy with it for some ten milliseconds.
local MOST_BYTES = 2000000
local leased, ready = P .. 'leased:' .. WORKER, P .. 'ready:' .. lane

watch(shown)
local seen = stand(shown)
local foreign = foreign_to(ledger)
if foreign ~= '' then return { NOW, bells, items, BURIED, { seen, tonumber(SOLID), steps() }, {}, foreign } end
redis.call('ZADD', P .. 'workers', NOW, WORKER)
if redis.call('EXISTS', P .. 'pause:' .. lane) == 0 then
  if wanted > 0 and not free_in(lane) then wanted = 0 end
  local allowed = wanted > 0 and allowance_of_lane(lane, wanted, false) or 0
  if allowed > 0 then
    local read
    read, alone = line_up(ready, 'sending', allowed)
    local number = 0
    for _, candidate in ipairs(read) do
      if candidate.lapses then number = number + 1 end
    end
    local given = number > 0 and allowance_of_lane(lane, number, true) or 0
    for _, candidate in ipairs(read) do
      if given == 0 or carried > MOST_BYTES then break end
      if candidate.lapses then
        given = given - 1
        redis.call('ZREM', ready, candidate.id)
        local item = claim_one(candidate, 'sending')
        if item then
          redis.call('ZADD', leased, NOW + lease_ms, candidate.id)
          items[#items + 1] = item
          ages[#ages + 1] = candidate.values[AT.created] or NOW
          ages[#ages + 1] = candidate.id
          if #ages >= MOST_AGES then note_ages() end
        end
      end
    end
    remember_strangers(ready, read)
    note_ages()
  end
  more = due_of(ready) > (leave and 0 or backlog) and allowance_of_lane(lane, 1, false) > 0
  if wanted > 0 or leave then tell_quiet(lane, wanted, alone, #items, lease_ms) end
end

local bell = P .. 'bell:' .. lane
if leave and not more then
  redis.call('DEL', bell)
else
  -- While a worker is on the lane nobody else has to ring; should it die, the bell expires.
  redis.call('SET', bell, string.format('%d', NOW), 'PX', BELL_MS)
  if leave then
    bells[1] = lane
  elseif more and take_lock('bell:' .. lane .. ':more', 250) then
    bells[1] = lane
  end
end
return { NOW, bells, items, BURIED, { seen, tonumber(SOLID), steps() }, strange_kinds(), '' }
