-- uses: ground, letters, turns, gates, claims
-- Takes posted intents whose look at the ledger is due; also a sign of life of the worker, and its word that what it
-- took before is no longer in its hands. They stay posted, and come due again if the taker dies.
-- ARGV: WORKER; wanted (how many); lease_ms (how long the taker may be silent); MAX_LAPSES; CAP (length of the events
--   stream); leave ("1": the worker goes); ledger that the target is for the worker ("": it does not say); shown (what
--   it has seen of the ground: see stand); kinds that it knows (by commas); DEAD_MS (silence after which a worker is
--   dead); names of its encryption keys (by commas).
-- Returns: {now, lanes to ring, ms until the next one is due (-1: none), one array for each: id, body, FIELDS without
--   its OWN; id and body of each that became a dead letter instead; ground, as claim.lua returns it; kinds that were
--   left to those who know them; another ledger, as claim.lua returns it}.
-- Deletes: looking:<worker>, posted, bell:<lane>.
-- Bound: wanted intents, MOST_BYTES of payloads.

local wanted, lease_ms, leave = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[6] == '1'
WORKER, MAX_LAPSES, CAP, DEAD_MS = ARGV[1], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[10])
KINDS, KEYS_HELD = ',' .. ARGV[9] .. ',', ',' .. ARGV[11] .. ','
local ledger, shown = ARGV[7], ARGV[8]

local bells, items, alone, posted = {}, {}, nil, P .. 'posted'
local LANE = 'confirm'
-- Taken in one trip: intents with many legs or items are large, and each asks the ledger many questions.
local MOST_BYTES = 250000

watch(shown)
local seen = stand(shown)
local foreign = foreign_to(ledger)
if foreign ~= '' then return { NOW, bells, -1, items, BURIED, { seen, tonumber(SOLID), steps() }, {}, foreign } end
redis.call('DEL', P .. 'looking:' .. WORKER)
if wanted > 0 then
  redis.call('ZADD', P .. 'workers', NOW, WORKER)
  if not free_in(LANE) then wanted = 0 end
end

local read, asked = {}, 0
if wanted > 0 then read, alone = line_up(posted, 'posted', wanted) end
for _, one in ipairs(read) do
  if one.lapses then asked = asked + 1 end
end
-- What is due stays due behind a gate that is shut, or has let enough through.
local open, opens = allowance('read', math.max(asked, 1), asked > 0)
local may_read = open > 0
for _, one in ipairs(read) do
  if open == 0 or carried > MOST_BYTES then break end
  if one.lapses then
    open = open - 1
    local item = claim_one(one, 'posted')
    if item then
      redis.call('ZADD', posted, NOW + lease_ms, one.id)
      items[#items + 1] = item
    else
      redis.call('ZREM', posted, one.id)
    end
  end
end
if wanted > 0 then remember_strangers(posted, read) end
if #items > 0 then keep_until('looking', '', lease_ms) end
if wanted > 0 or leave then tell_quiet(LANE, wanted, alone, #items, lease_ms) end

-- A gate that is shut is asked again no later than this: whoever opens it has nobody to tell.
local MOST_AWAY_MS = 5000
local skipped = skipped_of(posted)
local first = redis.call('ZRANGE', posted, skipped, skipped, 'WITHSCORES')
local next_ms = first[2] and math.max(0, math.floor(tonumber(first[2])) - NOW) or -1
-- Nobody has to wait for what is due before its gate opens.
if next_ms == 0 and #items == 0 and not may_read then
  next_ms = math.max(1, math.min(opens and opens - NOW or MOST_AWAY_MS, MOST_AWAY_MS))
end
local bell = P .. 'bell:confirm'
if leave and next_ms ~= 0 then
  redis.call('DEL', bell)
else
  redis.call('SET', bell, string.format('%d', NOW), 'PX', BELL_MS)
  if leave then bells[1] = 'confirm' end
end
return { NOW, bells, next_ms, items, BURIED, { seen, tonumber(SOLID), steps() }, strange_kinds(), '' }
