-- Part of scripts that ask whether a target may be sent to.

-- A slowed target starts again at half its pace but at least at the first rate (requests a second), doubles each
-- second without complaint, and is free above the last.
local SLOW_RATE, FREE_RATE = 16, 4096

-- How many requests may pass a gate ("<target>:<side>") now; 0 while it is shut. Takes them when take is set.
local function allowance(gate_name, wanted, take)
  local key = P .. 'gate:' .. gate_name
  local gate = redis.call('HMGET', key, 'state', 'manual', 'probe_at', 'hold_until', 'rate', 'tokens', 'stamp', 'raised',
    'probe_ms')
  if gate[1] == 'paused' then
    if gate[2] == '1' or tonumber(gate[3]) > NOW then return 0 end
    if take then redis.call('HSET', key, 'probe_at', NOW + tonumber(gate[9])) end
    return math.min(1, wanted)
  end
  if gate[4] and tonumber(gate[4]) > NOW then return 0 end
  if take then
    local second, pace = math.floor(NOW / 1000), P .. 'pace:' .. gate_name
    local known = redis.call('HMGET', pace, 'second', 'n')
    if known[1] == tostring(second) then
      redis.call('HINCRBY', pace, 'n', wanted)
    else
      redis.call('HSET', pace, 'second', second, 'n', wanted, 'last', known[2] or 0)
    end
  end
  if not gate[5] then return wanted end
  local rate, tokens = tonumber(gate[5]), tonumber(gate[6])
  tokens = math.min(rate, tokens + (NOW - tonumber(gate[7])) * rate / 1000)
  local raised = NOW - tonumber(gate[8]) >= 1000
  local given = math.min(wanted, math.floor(tokens))
  if take then
    if raised and rate * 2 > FREE_RATE then
      redis.call('DEL', key)
    else
      redis.call('HSET', key, 'rate', raised and rate * 2 or rate, 'tokens', tokens - given, 'stamp', NOW)
      if raised then
        redis.call('HSET', key, 'raised', NOW)
        if redis.call('HINCRBY', key, 'streak', -1) < 0 then redis.call('HSET', key, 'streak', 0) end
      end
    end
  end
  return given
end
