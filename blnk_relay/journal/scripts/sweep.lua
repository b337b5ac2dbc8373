-- uses: turns, gates
-- One sweep, by whichever worker gets the lock: lapsed leases go to be looked up, forgotten work gets a bell, finished
-- intents are trimmed after their retention. Dead letters are never touched.
-- ARGV: lock (ms), silence after which a worker is dead (ms), retention (ms), most to handle in one sweep, length of the
--   events stream, the worker program that sweeps ("" for none).
-- Returns: {1 if this one swept, lanes to ring, id and body of each whose deadline passed while it waited}.

local lock_ms, dead_ms, retention_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cap, program = ARGV[5], ARGV[6]
local bells, lapsed, expired = {}, 0, {}
-- A sign of life, whether there is anything to sweep or not, and whoever gets the lock.
if program ~= '' then redis.call('ZADD', P .. 'alive', NOW, program) end
if not redis.call('SET', P .. 'sweep', '1', 'NX', 'PX', lock_ms) then return { 0, bells, expired } end
redis.call('ZREMRANGEBYSCORE', P .. 'alive', '-inf', NOW - dead_ms)

-- A lapsed lease is ambiguous: the request may have been sent, so the ledger is read before anything else.
for _, worker in ipairs(redis.call('ZRANGE', P .. 'workers', 0, -1)) do
  local key = P .. 'leased:' .. worker
  local silent = NOW - tonumber(redis.call('ZSCORE', P .. 'workers', worker)) > dead_ms
  local late = redis.call('ZRANGEBYSCORE', key, 0, silent and '+inf' or NOW, 'WITHSCORES', 'LIMIT', 0, most)
  for index = 1, #late, 2 do
    local id, lease_end = late[index], late[index + 1]
    redis.call('ZREM', key, id)
    if redis.call('HGET', intent_key(id), 'state') == 'sending' then
      local token = tonumber(redis.call('HGET', intent_key(id), 'token')) + 1
      redis.call('HSET', intent_key(id), 'state', 'posted', 'lapsed', '1', 'sent_last', lease_end, 'token', token,
        'accepted', '0', 'updated', NOW)
      redis.call('ZADD', P .. 'posted', NOW, id)
      lapsed = lapsed + 1
    end
  end
  if silent and redis.call('ZCARD', key) == 0 then redis.call('ZREM', P .. 'workers', worker) end
end
if lapsed > 0 then count('lapsed', lapsed) end

-- What waits for others may wait for a human; a deadline of its own passes all the same.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expiring', 0, NOW, 'LIMIT', 0, most)) do
  leave_waiting(id)
  bury(id, redis.call('HGET', intent_key(id), 'kind'), 'refused', 'EXPIRED', 'Its deadline passed before it could be sent.', cap)
  expired[#expired + 1] = { id, redis.call('GET', P .. 'body:' .. id) }
end

for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  local lane, target = string.match(queue, '^(.*)|(.*)$')
  if redis.call('ZCOUNT', P .. 'ready:' .. queue, 0, NOW) > 0 and redis.call('EXISTS', P .. 'pause:' .. lane) == 0
    and allowance(target .. ':write', 1, false) > 0 then
    ring(bells, lane)
  end
end
if redis.call('ZCOUNT', P .. 'posted', 0, NOW) > 0 then ring(bells, 'confirm') end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'done', 0, NOW - retention_ms, 'LIMIT', 0, most)) do
  local fields = redis.call('HMGET', intent_key(id), 'fp', 'outcome', 'txn')
  if fields[1] then
    redis.call('HSET', P .. 'past:' .. string.sub(id, 1, 3), id, fields[1] .. ' ' .. (fields[2] or '') .. ' ' .. (fields[3] or ''))
  end
  redis.call('DEL', intent_key(id), P .. 'parts:' .. id, P .. 'body:' .. id, P .. 'file:' .. id, P .. 'log:' .. id)
  redis.call('ZREM', P .. 'done', id)
end
return { 1, bells, expired }
