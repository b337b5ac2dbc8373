-- Part of scripts that ask whether the target may be sent to.
-- Deletes: gate:<side>.
-- Bound: one gate, or the two that a lane meets.

-- A slowed target starts again at half its pace but at least at the first rate (requests a second), doubles each
-- second without complaint, and is free above the last. One that could not be reached starts again at the first rate.
local SLOW_RATE, FREE_RATE = 16, 4096

-- How long a slowed gate is remembered after its pause while nobody asks it.
local FORGET_MS = 60000

-- A gate that was shut lets through little at first, and more each second: all that has gathered behind it must not
-- come at once.
local function begin_slowly(side, wait_ms, rate, code, since)
  local key = P .. 'gate:' .. side
  redis.call('HDEL', key, 'state', 'manual', 'probe_at', 'probe_ms', 'probe_most', 'note')
  redis.call('HSET', key, 'hold_until', NOW + wait_ms, 'rate', rate, 'tokens', 1, 'stamp', NOW, 'raised', NOW + wait_ms,
    'code', code, 'since', since)
  redis.call('PEXPIRE', key, wait_ms + FORGET_MS)
end

-- How many requests may pass a gate now; 0 while it is shut, and then, as a second value, when it
-- next lets one through (nil: when a human opens it). Takes them when take is set.
local function allowance(side, wanted, take)
  local key = P .. 'gate:' .. side
  local state, manual, probe_at, hold_until, rate, tokens, stamp, raised, probe_ms, probe_most = unpack(
    redis.call('HMGET', key, 'state', 'manual', 'probe_at', 'hold_until', 'rate', 'tokens', 'stamp', 'raised',
      'probe_ms', 'probe_most'))
  if state then
    if manual == '1' then return 0, nil end
    if tonumber(probe_at) > NOW then return 0, tonumber(probe_at) end
    if take then
      -- Each probe that brings no good news makes the next one wait longer, up to a bound.
      probe_ms = tonumber(probe_ms)
      redis.call('HSET', key, 'probe_at', NOW + probe_ms, 'probe_ms',
        math.min(probe_ms * 2, tonumber(probe_most) or probe_ms))
    end
    return math.min(1, wanted), NOW
  end
  if hold_until and tonumber(hold_until) > NOW then return 0, tonumber(hold_until) end
  if take then
    local second, pace = math.floor(NOW / 1000), P .. 'pace:' .. side
    local counted_in, number = unpack(redis.call('HMGET', pace, 'second', 'n'))
    if counted_in == tostring(second) then
      redis.call('HINCRBY', pace, 'n', wanted)
    else
      local before = counted_in == tostring(second - 1) and number or 0
      redis.call('HSET', pace, 'second', second, 'n', wanted, 'last', before)
    end
  end
  if not rate then return wanted, NOW end
  rate = tonumber(rate)
  local untroubled_s = math.floor(math.max(0, NOW - tonumber(raised)) / 1000)
  if untroubled_s > 0 then rate = rate * 2 ^ math.min(untroubled_s, 20) end
  if rate > FREE_RATE then
    if take then redis.call('DEL', key) end
    return wanted, NOW
  end
  tokens = math.min(rate, tonumber(tokens) + (NOW - tonumber(stamp)) * rate / 1000)
  local given = math.min(wanted, math.floor(tokens))
  if take then
    redis.call('HSET', key, 'rate', rate, 'tokens', tokens - given, 'stamp', NOW)
    if untroubled_s > 0 then
      redis.call('HSET', key, 'raised', NOW)
      if redis.call('HINCRBY', key, 'streak', -untroubled_s) < 0 then redis.call('HSET', key, 'streak', 0) end
    end
  end
  return given, given > 0 and NOW or NOW + math.ceil((1 - tokens) * 1000 / rate)
end

-- How many of a lane's intents may be sent: what the ledger says of its queue holds up the lane that meets it, what it
-- says of itself all lanes. And when the next one may be, as above.
local function allowance_of_lane(lane, wanted, take)
  local own = 'lane:' .. lane
  local of_lane, lane_opens = allowance(own, wanted, false)
  local of_whole, whole_opens = allowance('write', wanted, false)
  local given = math.min(of_lane, of_whole)
  if take and given > 0 then
    given = allowance('write', given, true)
    if given > 0 and redis.call('EXISTS', P .. 'gate:' .. own) == 1 then allowance(own, given, true) end
  end
  return given, lane_opens and whole_opens and math.max(lane_opens, whole_opens)
end
