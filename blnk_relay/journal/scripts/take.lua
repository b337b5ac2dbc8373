-- uses: ground, turns, gates, claims
-- Takes posted intents whose look at the ledger is due; also a sign of life of the worker, and its word that what it
-- took before is no longer in its hands. They stay posted, and come due again if the taker dies.
-- ARGV: WORKER; wanted (how many); lease_ms (how long the taker may be silent); MAX_LAPSES; CAP (length of the events
--   stream); leave ("1": the worker goes); targets that the worker knows and the ledgers that they are for it
--   ("<target>=<ledger>", by newlines); shown (what it has seen of the ground: see stand); kinds that it knows (by
--   commas); DEAD_MS (silence after which a worker is dead).
-- Returns: {now, lanes to ring, ms until the next one is due (-1: none), one array for each: id, body, FIELDS without
--   its OWN; id and body of each that became a dead letter instead; ground, as claim.lua returns it; kinds that were
--   left to those who know them}.
-- Deletes: looking:<worker>, posted, bell:<lane>.
-- Bound: wanted intents, MOST_BYTES of payloads.

local wanted, lease_ms, leave = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[6] == '1'
WORKER, MAX_LAPSES, CAP, DEAD_MS = ARGV[1], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[10])
KINDS = ',' .. ARGV[9] .. ','
local targets, shown = ARGV[7], ARGV[8]

local bells, items, alone, posted = {}, {}, nil, P .. 'posted'
local LANE = 'confirm'
-- Taken in one trip: intents with many legs or items are large, and each asks the ledger many questions.
local MOST_BYTES = 250000

watch(shown)
local seen = stand(shown)
redis.call('DEL', P .. 'looking:' .. WORKER)
if wanted > 0 then
  redis.call('ZADD', P .. 'workers', NOW, WORKER)
  if not free_in(LANE) then wanted = 0 end
end

-- Intents of a target that cannot be read now make room for those of others for so long, at most (ms).
local LEAST_AWAY_MS, MOST_AWAY_MS = 1000, 5000

local read, asked = {}, {}
TARGETS = known_targets(targets)
if wanted > 0 then read, alone = line_up(posted, 'posted', wanted) end
for _, one in ipairs(read) do
  local target = one.values[AT.target]
  if one.lapses then asked[target] = (asked[target] or 0) + 1 end
end

local open, opens, readable, first_ms = {}, {}, 0, NOW + MOST_AWAY_MS
for target, ours in pairs(TARGETS) do
  if ours then
    open[target], opens[target] = allowance(target .. ':read', asked[target] or 1, asked[target] ~= nil)
    if open[target] > 0 then readable = readable + 1 end
    if opens[target] then first_ms = math.min(first_ms, opens[target]) end
  end
end
local may_read = readable > 0

for _, one in ipairs(read) do
  if one.lapses then
    local target = one.values[AT.target]
    if carried > MOST_BYTES then break end
    if (open[target] or 0) > 0 then
      open[target] = open[target] - 1
      local item = claim_one(one, 'posted')
      if item then
        redis.call('ZADD', posted, NOW + lease_ms, one.id)
        items[#items + 1] = item
      else
        redis.call('ZREM', posted, one.id)
      end
    elseif readable > (opens[target] == NOW and 1 or 0) then
      -- Its gate is shut or has let enough through. Where no other target can be read it stays where it is: to move a
      -- backlog again and again costs more than to read it.
      local away_ms = (opens[target] or NOW + MOST_AWAY_MS) - NOW
      one.gone = true
      redis.call('ZADD', posted, NOW + math.min(math.max(LEAST_AWAY_MS, away_ms), MOST_AWAY_MS), one.id)
    end
  end
end
if wanted > 0 then remember_strangers(posted, read) end
if #items > 0 then keep_until('looking', '', lease_ms) end
if wanted > 0 or leave then tell_quiet(LANE, wanted, alone, #items, lease_ms) end

local skipped = skipped_of(posted)
local first = redis.call('ZRANGE', posted, skipped, skipped, 'WITHSCORES')
local next_ms = first[2] and math.max(0, math.floor(tonumber(first[2])) - NOW) or -1
-- What is due stays due behind a gate that is shut; nobody has to wait for it before that opens.
if next_ms == 0 and #items == 0 and not may_read then next_ms = math.max(1, first_ms - NOW) end
local bell = P .. 'bell:confirm'
if leave and next_ms ~= 0 then
  redis.call('DEL', bell)
else
  redis.call('SET', bell, string.format('%d', NOW), 'PX', BELL_MS)
  if leave then bells[1] = 'confirm' end
end
return { NOW, bells, next_ms, items, BURIED, { seen, tonumber(SOLID), steps() }, strange_kinds() }
