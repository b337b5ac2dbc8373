-- uses: ground, turns, gates, claims
-- Takes posted intents whose look at the ledger is due; also a sign of life of the worker, and its word that what it took
-- before is no longer in its hands. They stay posted, and come due again if the taker dies.
-- ARGV: worker, how many, how long the taker may be silent (ms), most lapses, length of the events stream,
--   leave ("1": the worker goes), targets that the worker knows and the ledgers that they are for it ("<target>=<ledger>",
--   by newlines), what it has seen of the ground (see stand), kinds that it knows (by commas), silence after which a
--   worker is dead (ms).
-- Returns: {now, lanes to ring, ms until the next one is due (-1: none), one array for each: id, body, FIELDS;
--   id and body of each that became a dead letter instead; ground, as claim.lua returns it; kinds that were left to those
--   who know them}.

local wanted, lease_ms, leave = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[6] == '1'
WORKER, MAX_LAPSES, CAP, DEAD_MS = ARGV[1], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[10])
KINDS = ',' .. ARGV[9] .. ','
local bells, items, alone, posted = {}, {}, nil, P .. 'posted'
local LANE = 'confirm'
-- Taken in one trip: intents with many legs or items are large, and each asks the ledger many questions.
local MOST_BYTES = 250000

watch(ARGV[8])
local seen = stand(ARGV[8])
redis.call('DEL', P .. 'looking:' .. WORKER)
if wanted > 0 then
  redis.call('ZADD', P .. 'workers', NOW, WORKER)
  if not free_in(LANE) then wanted = 0 end
end
if wanted > 0 then
  local read, open = nil, {}
  TARGETS = known_targets(ARGV[7])
  read, alone = line_up(posted, 'posted', wanted)
  for _, one in ipairs(read) do
    if one.lapses then open[one.values[4]] = (open[one.values[4]] or 0) + 1 end
  end
  for target, number in pairs(open) do open[target] = allowance(target .. ':read', number, true) end
  for _, one in ipairs(read) do
    if one.lapses then
      local target = one.values[4]
      if carried > MOST_BYTES then break end
      if open[target] > 0 then
        open[target] = open[target] - 1
        local item = claim_one(one, 'posted')
        if item then
          redis.call('ZADD', posted, NOW + lease_ms, one.id)
          items[#items + 1] = item
        else
          redis.call('ZREM', posted, one.id)
        end
      else
        -- Its gate is shut or has let enough through; the next pass comes after a second.
        one.gone = true
        redis.call('ZADD', posted, NOW + 1000, one.id)
      end
    end
  end
  remember_strangers(posted, read)
  if #items > 0 then keep_until('looking', '', lease_ms) end
end
if wanted > 0 or leave then tell_quiet(LANE, wanted, alone, #items, lease_ms) end

local skipped = skipped_of(posted)
local first = redis.call('ZRANGE', posted, skipped, skipped, 'WITHSCORES')
local next_ms = first[2] and math.max(0, math.floor(tonumber(first[2])) - NOW) or -1
local bell = P .. 'bell:confirm'
if leave and next_ms ~= 0 then
  redis.call('DEL', bell)
else
  redis.call('SET', bell, string.format('%d', NOW), 'PX', BELL_MS)
  if leave then bells[1] = 'confirm' end
end
return { NOW, bells, next_ms, items, BURIED, { seen, tonumber(SOLID), steps() }, strange_kinds() }
