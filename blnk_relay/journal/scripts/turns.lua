-- Part of scripts that let intents go, finish or bury them; needs ground, letters.
-- Deletes: waiting, expiring, deps:<id>, order:<key>, excl:<row>, tried:<lane>.
-- Bound: dependents_left of those that wait, in one script; of each order the head.

-- An intent waits no longer.
local function leave_waiting(id)
  redis.call('ZREM', P .. 'waiting', id)
  redis.call('ZREM', P .. 'expiring', id)
end

-- Whether something holds an intent back: what it waits for, or who stands before it in an order.
local function is_held(id, pending, orders)
  if tonumber(pending or '0') > 0 then return true end
  for order in string.gmatch(orders or '', '[^\n]+') do
    if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then return true end
  end
  return false
end

-- Lets a waiting intent go when nothing holds it back: no intent that it waits for, no other one before it in any
--   order. Without bells its lane is left to the next sweep.
local function let_go(id, bells)
  local state, lane, due_before, pending, orders, patience, created, token = unpack(
    redis.call('HMGET', intent_key(id), 'state', 'lane', 'due', 'pending', 'orders', 'patience', 'created', 'token'))
  if state ~= 'waiting' or is_held(id, pending, orders) then return end
  -- What was due as it was accepted is due now, also where that was by a clock which had stepped ahead.
  local due = due_before == created and NOW or math.max(NOW, tonumber(due_before or '0'))
  leave_waiting(id)
  take_turns(id, orders)
  -- A loss that nobody has noticed yet the claim will notice: until then this was due before it ended.
  if not LOST then read_ground() end
  if in_doubt(created, token, due_before, true) then redis.call('HSET', intent_key(id), 'lost', LOST) end
  -- Patience is counted from when it could first be sent: who waited for a human for days is not late for that.
  redis.call('HSET', intent_key(id), 'state', 'ready', 'since', due, 'updated', NOW)
  if patience then redis.call('HSET', intent_key(id), 'deadline', due + tonumber(patience)) end
  make_ready(id, lane, due)
  -- Due now, and as old as before.
  if due <= NOW then redis.call('ZADD', P .. 'tried:' .. lane, created, id) end
  if bells then ring(bells, lane) end
end

-- An intent is over: give free what it alone could write to, and let the next of its orders go.
local function release(id, fields, bells)
  for row in string.gmatch(fields.excl or '', '[^,]+') do
    if redis.call('GET', P .. 'excl:' .. row) == id then redis.call('DEL', P .. 'excl:' .. row) end
  end
  for order in string.gmatch(fields.orders or '', '[^\n]+') do
    local key = P .. 'order:' .. order
    redis.call('ZREM', key, id)
    local head = redis.call('ZRANGE', key, 0, 0)[1]
    if head then let_go(head, bells) end
  end
end

-- Dependents that this script may still deal with: a few milliseconds of the server's time. Those beyond are dealt with
-- by later calls of their own; see owed.lua.
local dependents_left = 200
local DEPENDENTS = dependents_left

-- After an intent has come to its end by an operator's or a producer's word: of those that waited for it, and of what
-- waited behind them, some may be owed or due in lanes that are left to a sweep. Whoever hears this sweeps.
local function call_a_sweep(bells)
  if dependents_left < DEPENDENTS then ring(bells, 'confirm') end
end

-- Some of those that wait for an intent, who wait no longer; what is owed to the rest is noted ("done <txn>",
--   "cancelled",
-- "discarded").
local function next_dependents(id, owed)
  local key = P .. 'deps:' .. id
  local some = dependents_left > 0 and redis.call('SPOP', key, dependents_left) or {}
  dependents_left = dependents_left - #some
  -- Where there were fewer than could be dealt with, none is left.
  if dependents_left == 0 and redis.call('EXISTS', key) == 1 then
    redis.call('ZADD', P .. 'owed', NOW, id .. ' ' .. owed)
  end
  return some
end

-- An intent is done: those that waited for it get its result, and go when it was the last.
local function satisfy(id, txn, bells)
  for _, dependent in ipairs(next_dependents(id, 'done ' .. txn)) do
    local state, results = unpack(redis.call('HMGET', intent_key(dependent), 'state', 'results'))
    -- One whose deadline passed meanwhile may be replayed, and must know; so must one that is only looked for.
    if state and state ~= 'done' and state ~= 'cancelled' and state ~= 'discarded' then
      redis.call('HSET', intent_key(dependent), 'results', (results or '') .. id .. ' ' .. txn .. '\n')
      redis.call('HINCRBY', intent_key(dependent), 'pending', -1)
      let_go(dependent, bells)
    end
  end
end

local function bury(id, kind, class, code, message, cap)
  local lane, orders, excl, closed = unpack(redis.call('HMGET', intent_key(id), 'lane', 'orders', 'excl', 'closed'))
  if closed then code, message = 'DEPENDENCY_CLOSED', closed end
  if lane then redis.call('ZREM', P .. 'tried:' .. lane, id) end
  redis.call('HSET', intent_key(id), 'state', 'dead', 'class', class, 'code', code, 'message', message, 'updated', NOW)
  redis.call('ZADD', P .. 'dead', NOW, id)
  join_cause(id, kind, class, code, orders, NOW)
  to_copy(id)
  count('dead|' .. kind .. '|' .. class .. '|' .. code)
  announce(id, kind, 'dead', class, cap)
  for order in string.gmatch(orders or '', '[^\n]+') do
    if string.find(order, TURN) then
      local key = P .. 'order:' .. order
      redis.call('ZREM', key, id)
      local head = redis.call('ZRANGE', key, 0, 0)[1]
      if head then let_go(head) end
    end
  end
  for row in string.gmatch(excl or '', '[^,]+') do
    if string.find(row, TURN) and redis.call('GET', P .. 'excl:' .. row) == id then
      redis.call('DEL', P .. 'excl:' .. row)
    end
  end
end

-- An intent will never be done: those that waited for it become dead letters, and keep their own dependents waiting.
local function disappoint(id, what, cap)
  -- These become letters, which nobody looks at again before a human believes them.
  look_about()
  for _, dependent in ipairs(next_dependents(id, what)) do
    local state, kind, created, token, due, lost, class_then, code_then, orders, worth = unpack(
      redis.call('HMGET', intent_key(dependent), 'state', 'kind', 'created', 'token', 'due', 'lost', 'class', 'code',
        'orders', 'worth'))
    local message, class = 'It waited for ' .. id .. ', which was ' .. what .. '.', 'refused'
    if state == 'waiting' then
      leave_waiting(dependent)
      if lost or in_doubt(created, token, due, true) then
        -- What it waited for may have been done, and it sent, in moments that the journal has lost. The ledger is not
        -- asked: what is not there would be sent, against the word of whoever closed the other.
        class, message = 'unknown', message .. ' It may have been sent in moments that Redis has lost.'
        redis.call('HSET', intent_key(dependent), 'lost', lost or LOST)
      end
      bury(dependent, kind, class, 'DEPENDENCY_CLOSED', message, cap)
      note_untold(dependent, kind, class, 'DEPENDENCY_CLOSED')
    elseif state == 'posted' then
      -- It is looked for, because it may have been sent in moments that the journal has lost: it ends so, unless it is
      -- found done.
      redis.call('HSET', intent_key(dependent), 'closed', message)
    elseif state == 'dead' then
      -- Its deadline passed before; from now on it cannot be replayed either. It may have been, in moments that the
      -- journal has lost.
      local died = redis.call('ZSCORE', P .. 'dead', dependent) or NOW
      leave_cause(dependent, { kind = kind, class = class_then, code = code_then, orders = orders, worth = worth })
      class = class_then or ''
      if class == 'refused' and in_doubt(created, token, died) then
        class, message = 'unknown', message .. ' It may have been sent in moments that Redis has lost.'
        redis.call('HSET', intent_key(dependent), 'lost', LOST)
      end
      redis.call('HSET', intent_key(dependent), 'class', class, 'code', 'DEPENDENCY_CLOSED', 'message', message)
      join_cause(dependent, kind, class, 'DEPENDENCY_CLOSED', orders, died)
      -- Of what it was told as there may be none left now, and that will be told; not again where it stays what it was.
      if class ~= class_then or code_then ~= 'DEPENDENCY_CLOSED' then
        note_untold(dependent, kind, class, 'DEPENDENCY_CLOSED')
      end
      to_copy(dependent)
    end
  end
end
