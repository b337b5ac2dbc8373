-- Part of scripts that bury intents, or give dead letters another state: keeps beside the letters what they died of, so
-- that whoever asks what is wrong need not look at each.
-- Deletes: causes, letters:<cause>, sums:<cause>, affected:<cause>, emptied.
-- Bound: one letter and its orders; MOST_READ of its body.

-- Of a body in which an amount is looked for: far more than one write needs, and a bulk is worth several sums anyway.
local MOST_READ = 16384
-- Causes without letters that wait to be told of.
local MOST_EMPTIED = 1000
-- Letters that wait to be told of one by one.
local MOST_UNTOLD = 1000
-- Digits of an amount: so many add up exactly.
local MOST_DIGITS = 15

-- The life of a dead letter that a plan rests on: one that has been replayed, or closed and sent again, since it was
-- looked at has another one, and so has what can no longer be replayed.
-- died: its score among the dead, or false.
local function life_of(intent, died)
  return (intent.gen or '0') .. '|' .. (intent.class or '') .. '|' .. (intent.code or '') .. '|' .. (died or '')
end

local function cause_of(kind, class, code) return kind .. '|' .. class .. '|' .. code end

local function only_match(text, pattern)
  local found = string.match(text, pattern)
  local _, times = string.gsub(text, pattern, '')
  if times == 1 then return found end
end

-- "<currency>/<minor units of one> <minor units>" where the payload says so in the clear, and only once.
local function worth_in(id)
  local body = redis.call('GETRANGE', P .. 'body:' .. id, 0, MOST_READ - 1)
  -- Quotes inside of texts are escaped, so these can only be fields; one in meta_data makes two of it.
  local amount = only_match(body, '"precise_amount":(%d+)')
  local currency = only_match(body, '"currency":"([^"\\/ ]+)"')
  local precision = only_match(body, '"precision":(%d+)')
  if amount and currency and precision and #amount <= MOST_DIGITS and #precision <= MOST_DIGITS then
    return currency .. '/' .. precision .. ' ' .. amount
  end
end

-- Adds to the sums of a cause, or takes away from them; whether that could be done.
local function add_worth(cause, worth, sign)
  local currency, amount = string.match(worth, '^(%S+) (%d+)$')
  local key = P .. 'sums:' .. cause
  -- What is too much for the server is not known, and no reason to fail.
  local sum = redis.pcall('HINCRBY', key, currency, sign .. amount)
  if type(sum) == 'table' then return false end
  -- Nothing is left of it, its name neither: letters that are encrypted from now on may have been all of it.
  if sum == 0 then redis.call('HDEL', key, currency) end
  redis.call('HINCRBY', key, 'known', sign .. '1')
  return true
end

-- Notes what a letter died of. Once more changes nothing.
local function join_cause(id, kind, class, code, orders, died)
  local cause = cause_of(kind, class, code)
  if redis.call('SADD', P .. 'causes', cause) == 1 then
    -- What is left of one that is lost otherwise.
    redis.call('DEL', P .. 'letters:' .. cause, P .. 'sums:' .. cause, P .. 'affected:' .. cause)
    redis.call('ZREM', P .. 'emptied', cause)
  end
  if redis.call('ZADD', P .. 'letters:' .. cause, died, id) == 0 then return end
  local worth = worth_in(id)
  if worth and add_worth(cause, worth, '') then redis.call('HSET', intent_key(id), 'worth', worth) end
  for order in string.gmatch(orders or '', 'own:[^\n]+') do
    redis.call('ZINCRBY', P .. 'affected:' .. cause, 1, order)
  end
end

-- Notes a letter that comes of what a human or a program closed: whoever runs such a script tells nobody, so the next
-- sweep hands it to a worker, which does. Of those beyond the most it is only noted how many there are of what.
local function note_untold(id, kind, class, code)
  local key = P .. 'untold'
  if redis.call('ZSCORE', key, id) then return end
  if redis.call('ZCARD', key) < MOST_UNTOLD then
    redis.call('ZADD', key, NOW, id)
  else
    redis.call('HINCRBY', P .. 'untold-more', cause_of(kind, class, code), 1)
  end
end

-- A letter is none any more, or one of another cause.
-- intent: its kind, class, code, orders and worth, as it was.
local function leave_cause(id, intent)
  local cause = cause_of(intent.kind or '', intent.class or '', intent.code or '')
  -- Whatever was added for it: what is accounted for anew later is added anew.
  if intent.worth then redis.call('HDEL', intent_key(id), 'worth') end
  if redis.call('ZREM', P .. 'letters:' .. cause, id) == 0 then return end
  if intent.worth then add_worth(cause, intent.worth, '-') end
  for order in string.gmatch(intent.orders or '', 'own:[^\n]+') do
    local key = P .. 'affected:' .. cause
    if tonumber(redis.call('ZINCRBY', key, -1, order)) <= 0 then redis.call('ZREM', key, order) end
  end
  if redis.call('ZCARD', P .. 'letters:' .. cause) == 0 then
    redis.call('SREM', P .. 'causes', cause)
    redis.call('DEL', P .. 'sums:' .. cause, P .. 'affected:' .. cause)
    redis.call('ZADD', P .. 'emptied', NOW, cause)
    redis.call('ZREMRANGEBYRANK', P .. 'emptied', 0, -MOST_EMPTIED - 1)
  end
end

-- The payload of a letter is encrypted from now on, and so nothing tells what it was worth.
local function hide_worth(id, intent)
  redis.call('HDEL', intent_key(id), 'worth')
  local cause = cause_of(intent.kind or '', intent.class or '', intent.code or '')
  -- While all is made anew it may not be accounted for yet.
  if redis.call('ZSCORE', P .. 'letters:' .. cause, id) then add_worth(cause, intent.worth, '-') end
end
