-- uses: gates
-- Shuts, slows or opens a gate.
-- ARGV: side; action (pause, slow, strain, lost, open); code; wait_ms (of a pause: between two
--   probes; of lost: longest time between two; 0: as long as its complaints suggest); manual ("1": by a human, so
--   nobody probes); note; times (how many requests complain of it).
-- Returns: {1 if that is news, 1 if nothing is to be sent through it now}.
-- Deletes: gate:<side>.
-- Bound: one gate, or both of the target.

local side, action, code, wait_ms, manual = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local note, times = ARGV[6], tonumber(ARGV[7] or '1')

local FIRST_WAIT_MS, MOST_WAIT_MS, MANY = 100, 30000, 5

-- First time between two probes of the target when it cannot be reached.
local FIRST_PROBE_MS = 250

local key, pace_key, reach_key = P .. 'gate:' .. side, P .. 'pace:' .. side, P .. 'reach'
local gate = fields_of(key, 'state', 'manual', 'hold_until', 'rate', 'code', 'since')
if action == 'open' then
  return { redis.call('DEL', key), 0 }
end

-- When this trouble began: a complaint about what is known already does not make it younger.
local since = gate.code == code and gate.since or NOW

local function shut(gate_key, state, probe_ms, first_probe_ms)
  redis.call('DEL', gate_key)
  redis.call('HSET', gate_key, 'state', state, 'code', code, 'since', since, 'manual', manual,
    'probe_at', NOW + first_probe_ms, 'probe_ms', first_probe_ms, 'probe_most', probe_ms, 'note', note)
end

if action == 'pause' then
  if gate.state == 'paused' and (gate.manual == '1' or manual ~= '1') then return { 0, 1 } end
  shut(key, 'paused', wait_ms, wait_ms)
  count('gate_paused|' .. code)
  return { 1, 1 }
end
if gate.state == 'paused' then return { 0, 1 } end
local hold_until = tonumber(gate.hold_until or '0')
local pace = fields_of(pace_key, 'n', 'last', 'second', 'strain', 'strain_second')
local second = math.floor(NOW / 1000)
local age_s = second - tonumber(pace.second or '0')
local this_second, one_before = tonumber(pace.n or '0'), tonumber(pace.last or '0')
if action == 'lost' then
  if gate.state then return { 0, 1 } end
  -- Nothing that was sent arrived, several times on end, and that is a good part of all: the target is not there. One
  -- that is met again and again while others pass is that request's own trouble.
  -- Writes and reads go to one address, so both are asked, and both are shut.
  local reach = fields_of(reach_key, 'lost', 'since')
  local lost = tonumber(reach.lost or '0') + times
  since = reach.since or NOW
  redis.call('HSET', reach_key, 'lost', lost, 'since', since)
  local passed = (age_s <= 1 and this_second or 0) + (age_s == 0 and one_before or 0)
  -- The pace of reads counts intents, of which one request asks for hundreds: for them, on end has to do.
  if lost < MANY or (side == 'write' and lost * 4 < passed) then
    return { 0, hold_until > NOW and 1 or 0 }
  end
  for _, one in ipairs({ 'write', 'read' }) do
    local side_key = P .. 'gate:' .. one
    if not redis.call('HGET', side_key, 'state') then
      shut(side_key, 'unreachable', math.max(wait_ms, FIRST_PROBE_MS), FIRST_PROBE_MS)
    end
  end
  count('gate_unreachable|' .. code)
  return { 1, 1 }
end
if hold_until > NOW then
  -- Several requests meet the same limit at once; it counts as one.
  redis.call('HSET', key, 'hold_until', math.max(hold_until, NOW + wait_ms))
  redis.call('PEXPIRE', key, math.max(hold_until - NOW, wait_ms) + FORGET_MS)
  return { 0, 1 }
end
if action == 'strain' then
  -- One failed request says little; many within a second, and a good part of all, say that the target is not well.
  local strain = (pace.strain_second == tostring(second) and tonumber(pace.strain) or 0) + times
  redis.call('HSET', pace_key, 'strain', strain, 'strain_second', second)
  -- The answers of one second come in the next, so the busier of the two is what they are a part of.
  local passed = math.max(age_s <= 1 and this_second or 0, age_s == 0 and one_before or 0)
  if strain < MANY or strain * 4 < passed then return { 0, 0 } end
end
local observed = math.max(this_second, one_before)
local rate = gate.rate and math.min(tonumber(gate.rate), observed) or observed
rate = math.max(gate.rate and 1 or SLOW_RATE, math.floor(rate / 2))
-- Who names no time is given a little, and twice as much each time that it complains again.
local streak = redis.call('HINCRBY', key, 'streak', 1)
if wait_ms == 0 then wait_ms = math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ^ (streak - 1)) end
begin_slowly(side, wait_ms, rate, code, since)
count('gate_slowed|' .. code)
return { 1, 1 }
