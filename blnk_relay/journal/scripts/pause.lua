-- uses: actions
-- Pauses a lane or the target by a human's word, or lets it go on, and notes who did so and why. The first pause
-- stands: a second one changes nothing and learns whose it is.
-- ARGV: act ("pause" or "resume"); sort ("lane" or "target"); name; who; why; action (see
--   actions.lua); sides (of the target; a pause shuts all of them, a resume also opens those that workers have shut).
-- Returns: {1 if it changed anything, and of the operator's pause that stands or stood: who, why, since when (ms); ""
--   for none}.
-- Deletes: pause:<lane>, gate:<side>.
-- Bound: the sides of one call.

local act, sort, name, who, why, action, sides =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], arguments_from(7)

local changed, first = false, nil

local function take_first(pause)
  if not first and pause.at then first = pause end
end

if sort == 'lane' then
  local key = P .. 'pause:' .. name
  take_first(fields_of(key, 'who', 'why', 'at'))
  if act == 'resume' then
    changed = redis.call('DEL', key) == 1
  elseif not first then
    redis.call('HSET', key, 'who', who, 'why', why, 'at', NOW)
    changed = true
  end
else
  for _, side in ipairs(sides) do
    local key = P .. 'gate:' .. side
    local gate = fields_of(key, 'manual', 'who', 'note', 'since')
    if gate.manual == '1' then take_first({ who = gate.who, why = gate.note, at = gate.since }) end
    if act == 'resume' then
      changed = redis.call('DEL', key) == 1 or changed
    elseif gate.manual ~= '1' then
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
  if act == 'pause' then take_first({ who = who, why = why, at = string.format('%d', NOW) }) end
  note_action(action)
end
first = first or {}
return { changed and 1 or 0, first.who or '', first.why or '', first.at or '' }
