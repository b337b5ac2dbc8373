-- Pauses a lane or a target by a human's word, or lets it go on, and notes who did so and why. The first pause stands: a
-- second one changes nothing and learns whose it is.
-- ARGV: "pause" or "resume", "lane" or "target", its name, who, why, and with a target its sides (each an ARGV; a pause
--   shuts all of them, a resume also opens those that workers have shut).
-- Returns: {1 if it changed anything, and of the operator's pause that stands or stood: who, why, since when (ms); "" for none}.

-- Acts of operators that are kept.
local MOST_ACTS = 200

local act, sort, name, who, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local changed, first = false, { '', '', '' }

local function take_first(fields)
  if first[3] == '' and fields[3] then first = { fields[1] or '', fields[2] or '', fields[3] } end
end

if sort == 'lane' then
  local key = P .. 'pause:' .. name
  take_first(redis.call('HMGET', key, 'who', 'why', 'at'))
  if act == 'resume' then
    changed = redis.call('DEL', key) == 1
  elseif first[3] == '' then
    redis.call('HSET', key, 'who', who, 'why', why, 'at', NOW)
    changed = true
  end
else
  for at = 6, #ARGV do
    local key = P .. 'gate:' .. name .. ':' .. ARGV[at]
    local gate = redis.call('HMGET', key, 'manual', 'who', 'note', 'since')
    if gate[1] == '1' then take_first({ gate[2], gate[3], gate[4] }) end
    if act == 'resume' then
      changed = redis.call('DEL', key) == 1 or changed
    elseif gate[1] ~= '1' then
      -- Whatever workers know of it: they probe nothing that a human has shut.
      redis.call('DEL', key)
      redis.call('HSET', key, 'state', 'paused', 'code', 'OPERATOR', 'since', NOW, 'manual', '1', 'probe_at', NOW,
        'probe_ms', 0, 'who', who, 'note', why)
      changed = true
    end
  end
  if changed and act == 'pause' then count('gate_paused|OPERATOR') end
end
if changed then
  if act == 'pause' then take_first({ who, why, string.format('%d', NOW) }) end
  redis.call('LPUSH', P .. 'acts', cjson.encode({ at = NOW, what = act, of = sort .. ' ' .. name, who = who, why = why }))
  redis.call('LTRIM', P .. 'acts', 0, MOST_ACTS - 1)
end
return { changed and 1 or 0, first[1], first[2], first[3] }
