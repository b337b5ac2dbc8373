-- uses: ground, turns, gates, claims
-- Takes posted intents whose look at the ledger is due. They stay posted, and come due again if the taker dies.
-- ARGV: worker, how many, how long the taker may need (ms), most lapses, length of the events stream,
--   leave ("1": the worker goes), targets that the worker knows and the ledgers that they are for it ("<target>=<ledger>",
--   by newlines), what it has seen of the ground (see stand).
-- Returns: {now, lanes to ring, ms until the next one is due (-1: none), one array for each: id, body, FIELDS;
--   id and body of each that became a dead letter instead; ground, as claim.lua returns it}.

local worker, wanted, lease_ms, max_lapses, cap, leave =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local bells, items, posted = {}, {}, P .. 'posted'
-- Taken in one trip. Intents with many legs or items are large, and each asks the ledger many questions: the whole batch
-- has to be looked at within its lease.
local MOST_BYTES = 250000

watch(ARGV[8])
local seen = stand(ARGV[8])
if wanted > 0 then
  local targets = known_targets(ARGV[7])
  local due, target_of, open = redis.call('ZRANGEBYSCORE', posted, 0, NOW, 'LIMIT', 0, wanted), {}, {}
  for index, id in ipairs(due) do
    local target = redis.call('HGET', intent_key(id), 'target')
    target_of[index] = target
    if target then open[target] = (open[target] or 0) + 1 end
  end
  for target, number in pairs(open) do
    -- Whoever does not know a target leaves what is for it to those who do.
    open[target] = targets[target] and allowance(target .. ':read', number, true) or 0
  end
  for index, id in ipairs(due) do
    local target = target_of[index]
    if not target then
      redis.call('ZREM', posted, id)
    elseif carried > MOST_BYTES then
      break
    elseif open[target] > 0 then
      open[target] = open[target] - 1
      local item = claim_one(id, worker, 'posted', max_lapses, cap)
      if item then
        redis.call('ZADD', posted, NOW + lease_ms, id)
        items[#items + 1] = item
      else
        redis.call('ZREM', posted, id)
      end
    else
      -- Its gate is shut or has let enough through; the next pass comes after a second.
      redis.call('ZADD', posted, NOW + 1000, id)
    end
  end
end

local first = redis.call('ZRANGE', posted, 0, 0, 'WITHSCORES')
local next_ms = first[2] and math.max(0, math.floor(tonumber(first[2])) - NOW) or -1
local bell = P .. 'bell:confirm'
if leave and next_ms ~= 0 then
  redis.call('DEL', bell)
else
  redis.call('SET', bell, string.format('%d', NOW), 'PX', BELL_MS)
  if leave then bells[1] = 'confirm' end
end
return { NOW, bells, next_ms, items, BURIED, { seen, tonumber(SOLID), steps() } }
