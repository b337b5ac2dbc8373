-- uses: ground, turns, gates, claims
-- Claims due intents of a lane under leases; also a sign of life of the worker.
-- ARGV: lane, worker, how many, lease (ms), most lapses, length of the events stream, leave ("1": the worker goes),
--   backlog from which another worker is called in, targets that the worker knows and the ledgers that they are for it
--   ("<target>=<ledger>", by newlines), what it has seen of the ground (see stand).
-- Returns: {now, lanes to ring, one array for each claimed: id, body, then FIELDS; id and body of each
--   that became a dead letter instead, ground: {what to show next time, since when it can be trusted, steps of the clock}}.

local lane, worker, wanted, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_lapses, cap, leave, backlog = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1', tonumber(ARGV[8])
local bells, items, more = {}, {}, false
-- Claimed in one trip; Redis and worker are busy with it for some ten milliseconds.
local MOST_BYTES = 2000000
local leased = P .. 'leased:' .. worker

watch(ARGV[10])
local seen = stand(ARGV[10])
redis.call('ZADD', P .. 'workers', NOW, worker)
if redis.call('EXISTS', P .. 'pause:' .. lane) == 0 then
  -- Whoever does not know a target has no way to its ledger: what is for it is left to those who do.
  local served, targets = {}, known_targets(ARGV[9])
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local in_lane, target = string.match(queue, '^(.*)|(.*)$')
    if in_lane == lane and targets[target] then
      served[#served + 1] = { ready = P .. 'ready:' .. queue, target = target, due = 0 }
    end
  end
  if #served > 1 then
    -- Every target gets its share of what is wanted: the backlog of one, or a gate that is shut, holds up nobody else.
    -- Those with little to send come first, so that what they leave of their share goes to the others.
    for place, one in ipairs(served) do
      one.turn = (place + NOW) % #served
      if allowance(one.target .. ':write', 1, false) > 0 then one.due = redis.call('ZCOUNT', one.ready, 0, NOW) end
    end
    table.sort(served, function(a, b)
      if a.due ~= b.due then return a.due < b.due end
      return a.turn < b.turn
    end)
  end
  for place, one in ipairs(served) do
    local ready, target = one.ready, one.target
    local left = math.ceil((wanted - #items) / (#served - place + 1))
    if left > 0 then
      local due = redis.call('ZRANGEBYSCORE', ready, 0, NOW, 'WITHSCORES', 'LIMIT', 0, left)
      local given = #due > 0 and allowance(target .. ':write', #due / 2, true) or 0
      for index = 1, given do
        if carried > MOST_BYTES then break end
        local id = due[index * 2 - 1]
        redis.call('ZREM', ready, id)
        local item = claim_one(id, worker, 'sending', max_lapses, cap, due[index * 2])
        if item then
          redis.call('ZADD', leased, NOW + lease_ms, id)
          items[#items + 1] = item
        end
      end
    end
    if redis.call('ZCOUNT', ready, 0, NOW) > (leave and 0 or backlog) and allowance(target .. ':write', 1, false) > 0 then
      more = true
    end
  end
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
return { NOW, bells, items, BURIED, { seen, tonumber(SOLID), steps() } }
