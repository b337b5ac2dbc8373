-- uses: ground, letters, turns, gates, past, owning, renewal
-- Settles verdicts. One whose token is not the latest settles nothing: its lease was lost to somebody else.
-- ARGV: worker; cap (length of the events stream); healthy (sides that answered well, with "?" behind one that answered
--   at all, joined by ","); then one JSON object each:
--   id, token, from (state), to (done, dead, posted, ready), in_ms, lane, kind, set (fields), sealed (name of the
--   encryption key that some of them need, or nil), log (line or nil), tally (counters), parts (number of a part ->
--   what was noted of it, or nil), made (row -> id of the row that it made below that one, or nil), fresh (references,
--   namesakes, body and its encryption key of a new generation, which it is sent under next, or nil; where one of them
--   is taken, it is looked at again, to be refused).
-- Returns: {lanes to ring, ids that were stale, ms for which the target could not be reached if it was found again now
--   (-1: it was not), sides that are open again, ids of letters that are none: they are looked at again}.
-- Deletes: leased:<worker>, posted, tried:<lane>, gate:<side>, reach.
-- Bound: the verdicts of one call; turns.lua bounds those that wait for what is done.

local worker, cap, healthy, verdicts = ARGV[1], ARGV[2], ARGV[3], arguments_from(4)

-- Far longer than any read lag, short enough to be forgotten.
local MADE_MS = 3600000

local bells, stale, counts = {}, {}, {}
local leased, posted = P .. 'leased:' .. worker, P .. 'posted'

-- A target that could not be reached is found again by any answer; a side that was paused is opened by a good one.
local lost_ms, opened, looked_at_again = -1, {}, {}
if healthy ~= '' and redis.call('EXISTS', P .. 'reach') == 1 then
  for _, side in ipairs({ 'write', 'read' }) do
    local gate = fields_of(P .. 'gate:' .. side, 'state', 'code', 'since')
    if gate.state == 'unreachable' then
      begin_slowly(side, 0, SLOW_RATE, gate.code, gate.since)
      lost_ms = NOW - tonumber(gate.since)
      count('gate_opened')
    end
  end
  redis.call('DEL', P .. 'reach')
end
for side, asked in string.gmatch(healthy, '([^,?]+)(%??)') do
  local gate = P .. 'gate:' .. side
  local state, manual, code, since = unpack(redis.call('HMGET', gate, 'state', 'manual', 'code', 'since'))
  if state == 'paused' and manual ~= '1' and asked == '' then
    redis.call('DEL', gate)
    count('gate_opened')
    opened[#opened + 1] = { side, code or '', NOW - tonumber(since or NOW) }
  end
end

local function remember_made(row, id)
  redis.call('SADD', P .. 'made:' .. row, id)
  redis.call('PEXPIRE', P .. 'made:' .. row, MADE_MS)
end

-- There may be thousands, and each command costs as much as many fields.
local function note_parts(id, parts)
  local fields = {}
  for part, noted in pairs(parts) do
    fields[#fields + 1] = part
    fields[#fields + 1] = noted
    if #fields == 1000 then
      redis.call('HSET', P .. 'parts:' .. id, unpack(fields))
      fields = {}
    end
  end
  if #fields > 0 then redis.call('HSET', P .. 'parts:' .. id, unpack(fields)) end
end

local function tally(field) counts[field] = (counts[field] or 0) + 1 end

for _, verdict in ipairs(verdicts) do
  local item = cjson.decode(verdict)
  local id, key = item.id, intent_key(item.id)
  local token, state, orders, excl, looks, created, faults, charged, looker, lost, pending, closed = unpack(
    redis.call('HMGET', key, 'token', 'state', 'orders', 'excl', 'looks', 'created', 'faults', 'charged', 'looker',
      'lost', 'pending', 'closed'))
  if token ~= item.token or state ~= item.from then
    stale[#stale + 1] = id
    tally('stale')
    acquit(id, worker)
  else
    redis.call('ZREM', item.from == 'sending' and leased or posted, id)
    local fresh = item.fresh
    if fresh and renew(id, fresh.references, fresh.namesakes, fresh.body, fresh.sealed or '') then
      item.to, item.set.refuse = 'posted', '1'
    end
    if item.to == 'dead' then
      look_about()
      if in_doubt(created, token) then
        -- It was decided by somebody who may have stood still, and been thought dead: in the lost moments another may
        -- have sent it.
        item.to, item.in_ms, item.set.class, item.set.refuse, item.set.lost = 'posted', 0, nil, '0', lost or LOST
        looked_at_again[#looked_at_again + 1] = id
        if item.log then
          local line = cjson.decode(item.log)
          line.note = 'decided before the journal lost its last moments: looked at again'
          item.log = cjson.encode(line)
        end
      end
    end
    if item.log then log(id, item.log) end
    if item.sealed then note_keys(id, item.sealed) end
    -- Claims of older workers do not put it there.
    if item.to == 'ready' or (item.to == 'posted' and item.from == 'posted') then
      redis.call('ZADD', P .. 'tried:' .. item.lane, created, id)
    elseif item.to == 'done' then
      redis.call('ZREM', P .. 'tried:' .. item.lane, id)
    end
    for _, field in ipairs(item.tally or {}) do tally(field) end
    note_parts(id, item.parts or {})
    for row, made in pairs(item.made or {}) do remember_made(row, made) end
    -- A finished look clears the count of looks; only a finished attempt clears that of claims.
    if looks then redis.call('HDEL', key, 'looks') end
    if looker then redis.call('HDEL', key, 'looker') end
    if charged and item.from == 'sending' then redis.call('HDEL', key, 'charged') end
    if faults and not (item.set and item.set.faults) then redis.call('HDEL', key, 'faults') end
    local set = { 'state', item.to, 'updated', NOW }
    if item.from == 'sending' then
      set[#set + 1] = 'claims'
      set[#set + 1] = '0'
    end
    for field, value in pairs(item.set or {}) do
      set[#set + 1] = field
      set[#set + 1] = value
    end
    if item.to == 'dead' then
      redis.call('HSET', key, unpack(set))
      bury(id, item.kind, item.set.class, item.set.code, item.set.message, cap)
    elseif item.to == 'done' then
      redis.call('HSET', key, unpack(set))
      redis.call('ZADD', P .. 'done', NOW, id)
      to_copy(id)
      tally('done|' .. item.kind .. '|' .. item.set.outcome)
      announce(id, item.kind, 'done', item.set.outcome, cap)
      if excl and item.set.txn then
        remember_made(excl, item.set.txn)
        for row in string.gmatch(excl, '[^,]+') do
          redis.call('SET', P .. 'wrote:' .. row, string.format('%d', NOW), 'PX', MADE_MS)
        end
      end
      satisfy(id, item.set.txn or '', bells)
      release(id, { orders = orders, excl = excl }, bells)
    elseif item.to == 'posted' then
      redis.call('HSET', key, unpack(set))
      redis.call('ZADD', posted, NOW + item.in_ms, id)
      ring(bells, 'confirm')
    elseif closed then
      -- What it waited for will never be done, so it is not sent; whether it was, in lost moments, nobody knows.
      redis.call('HSET', key, unpack(set))
      bury(id, item.kind, 'unknown', 'DEPENDENCY_CLOSED', closed, cap)
      note_untold(id, item.kind, 'unknown', 'DEPENDENCY_CLOSED')
    elseif item.from == 'posted' and is_held(id, pending, orders) then
      -- It was looked for out of its turn, and is not there. No deadline makes a letter of it meanwhile, which would
      -- say that it was never sent.
      redis.call('HSET', key, unpack(set))
      redis.call('HSET', key, 'state', 'waiting', 'due', NOW + item.in_ms)
      redis.call('ZREM', P .. 'tried:' .. item.lane, id)
      redis.call('ZADD', P .. 'waiting', NOW, id)
    else
      redis.call('HSET', key, unpack(set))
      make_ready(id, item.lane, NOW + item.in_ms)
      if item.in_ms == 0 then ring(bells, item.lane) end
    end
  end
end
for field, number in pairs(counts) do count(field, number) end
return { bells, stale, lost_ms, opened, looked_at_again }
