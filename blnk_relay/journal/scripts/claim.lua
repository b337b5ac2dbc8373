-- uses: ground, turns, gates, claims
-- Claims due intents of a lane under leases; also a sign of life of the worker.
-- ARGV: lane; WORKER; wanted (how many); lease_ms; MAX_LAPSES; CAP (length of the events stream); leave ("1": the
--   worker goes); backlog from which another worker is called in; targets that the worker knows and the ledgers that
--   they are for it ("<target>=<ledger>", by newlines); shown (what it has seen of the ground: see stand); kinds that
--   it knows (by commas); DEAD_MS (silence after which a worker is dead).
-- Returns: {now, lanes to ring, one array for each claimed: id, body, then FIELDS without its OWN; id and body of each
--   that became a dead letter instead; ground: {what to show next time, since when it can be trusted, steps of the
--   clock}; kinds that were left to those who know them}.
-- Deletes: ready:<lane>|<t>, bell:<lane>.
-- Bound: wanted intents, MOST_BYTES of payloads.

local lane, wanted, lease_ms = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local leave, backlog = ARGV[7] == '1', tonumber(ARGV[8])
WORKER, MAX_LAPSES, CAP, DEAD_MS = ARGV[2], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[12])
KINDS = ',' .. ARGV[11] .. ','
local targets, shown = ARGV[9], ARGV[10]

local bells, items, more, alone = {}, {}, false, nil
-- Claimed in one trip; Redis and worker are busy with it for some ten milliseconds.
local MOST_BYTES = 2000000
local leased = P .. 'leased:' .. WORKER

watch(shown)
local seen = stand(shown)
redis.call('ZADD', P .. 'workers', NOW, WORKER)
if redis.call('EXISTS', P .. 'pause:' .. lane) == 0 then
  if wanted > 0 and not free_in(lane) then wanted = 0 end
  -- Whoever does not know a target has no way to its ledger: what is for it is left to those who do.
  local served = {}
  TARGETS = known_targets(targets)
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local in_lane, target = string.match(queue, '^(.*)|(.*)$')
    if in_lane == lane and TARGETS[target] then
      served[#served + 1] = { ready = P .. 'ready:' .. queue, target = target, due = 0 }
    end
  end
  if #served > 1 then
    -- Every target gets its share of what is wanted: the backlog of one, or a gate that is shut, holds up nobody else.
    -- Those with little to send come first, so that what they leave of their share goes to the others.
    for place, one in ipairs(served) do
      one.turn = (place + NOW) % #served
      if allowance_of_lane(lane, one.target, 1, false) > 0 then one.due = due_of(one.ready) end
    end
    table.sort(served, function(a, b)
      if a.due ~= b.due then return a.due < b.due end
      return a.turn < b.turn
    end)
  end
  for place, one in ipairs(served) do
    local ready, target = one.ready, one.target
    local left = math.ceil((wanted - #items) / (#served - place + 1))
    left = left > 0 and not alone and allowance_of_lane(lane, target, left, false) or 0
    if left > 0 then
      local read
      read, alone = line_up(ready, 'sending', left)
      local number = 0
      for _, candidate in ipairs(read) do
        if candidate.lapses then number = number + 1 end
      end
      local given = number > 0 and allowance_of_lane(lane, target, number, true) or 0
      for _, candidate in ipairs(read) do
        if given == 0 or carried > MOST_BYTES then break end
        if candidate.lapses then
          given = given - 1
          redis.call('ZREM', ready, candidate.id)
          local item = claim_one(candidate, 'sending')
          if item then
            redis.call('ZADD', leased, NOW + lease_ms, candidate.id)
            items[#items + 1] = item
          end
        end
      end
      remember_strangers(ready, read)
    end
    if due_of(ready) > (leave and 0 or backlog) and allowance_of_lane(lane, target, 1, false) > 0 then more = true end
  end
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
return { NOW, bells, items, BURIED, { seen, tonumber(SOLID), steps() }, strange_kinds() }
