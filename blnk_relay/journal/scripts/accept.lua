-- Accepts intents: all of them, or none when one conflicts. An intent that is there already is left as it is.
-- ARGV: mode ("write", or "check" to change nothing), then 11 for each: id, fingerprint, body, kind, target, lane,
--   order key, not_before and deadline (ms since 1970, or "+<ms>" from now), twin (id of the intent whose key is our reference, or ""),
--   reference (to be checked against ref:, or "").
-- Returns: {now, lanes to ring, {status, id, kind, state, created} for each}; status: created, existing, conflict.

local WIDTH = 11
local answers, conflict = {}, false

local function moment(text)
  if string.sub(text, 1, 1) == '+' then return NOW + tonumber(string.sub(text, 2)) end
  return tonumber(text)
end

for at = 2, #ARGV, WIDTH do
  local id, fp, twin, reference = ARGV[at], ARGV[at + 1], ARGV[at + 9], ARGV[at + 10]
  local answer = { 'created', id, ARGV[at + 3], '', tostring(NOW) }
  local first, other = known(id), nil
  if first then
    answer = { first[1] == fp and 'existing' or 'conflict', id, first[4], first[2], first[3] }
  elseif reference ~= '' then
    other = redis.call('GET', P .. 'ref:' .. reference)
    if not other and twin ~= '' and known(twin) then other = twin end
    if other then
      local owner = known(other) or { '', '', '0', '' }
      answer = { 'conflict', other, owner[4], owner[2], owner[3] }
    end
  end
  if answer[1] == 'conflict' then conflict = true end
  answers[#answers + 1] = answer
end

local bells = {}
if ARGV[1] == 'write' and not conflict then
  local accepted, existing = {}, 0
  for index = 1, #answers do
    local at = 2 + (index - 1) * WIDTH
    local id, kind, target, lane, order = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
    if answers[index][1] == 'created' then
      local due = math.max(NOW, moment(ARGV[at + 7]))
      local state = 'ready'
      local key = intent_key(id)
      redis.call('SET', P .. 'body:' .. id, ARGV[at + 2])
      if order ~= '' then
        local seq = redis.call('INCR', P .. 'seq')
        redis.call('ZADD', P .. 'order:' .. order, seq, id)
        if redis.call('ZRANGE', P .. 'order:' .. order, 0, 0)[1] ~= id then state = 'waiting' end
        redis.call('HSET', key, 'order', order, 'due', due)
      end
      redis.call('HSET', key, 'state', state, 'kind', kind, 'lane', lane, 'target', target, 'fp', ARGV[at + 1],
        'created', NOW, 'since', due, 'deadline', moment(ARGV[at + 8]))
      if ARGV[at + 9] ~= '' then redis.call('SET', P .. 'ref:' .. ARGV[at + 10], id) end
      redis.call('SADD', P .. 'queues', lane .. '|' .. target)
      if state == 'waiting' then
        redis.call('ZADD', P .. 'waiting', NOW, id)
      else
        make_ready(id, lane, target, due)
        if due <= NOW then ring(bells, lane) end
      end
      answers[index][4] = state
      accepted[kind] = (accepted[kind] or 0) + 1
    else
      existing = existing + 1
    end
  end
  for kind, number in pairs(accepted) do count('accepted|' .. kind, number) end
  if existing > 0 then count('duplicate', existing) end
end
return { NOW, bells, answers }
