-- uses: actions
-- Plans, begins and stops a job: a replay or a discard of many letters, which workers carry out (see carry.lua).
-- ARGV: act; id of the job; then
--   with "plan": fields and values of what it is; with "add": letters, as carry.lua takes them;
--   with "begin": action (see actions.lua); with "stop": action.
-- Returns: with "add" how many letters it has; else 1, or 0 where it is not in a state for that.
-- Deletes: planned:<job>, job:<job>, refusals:<job>, jobs, running.
-- Bound: the letters of one call; MOST_JOBS.

local act, id, given = ARGV[1], ARGV[2], arguments_from(3)

-- How long a plan is kept that nobody has begun, and a job that is over; and how many jobs are kept.
local PLANNED_MS, KEPT_MS, MOST_JOBS = 3600000, 2592000000, 100

local key, planned = P .. 'job:' .. id, P .. 'planned:' .. id

if act == 'plan' then
  if redis.call('EXISTS', key) == 1 then return 0 end
  redis.call('HSET', key, 'state', 'planned', 'at', NOW, unpack(given))
  redis.call('PEXPIRE', key, PLANNED_MS)
  return 1
end
local state = redis.call('HGET', key, 'state')
if act == 'add' then
  if state ~= 'planned' then return 0 end
  redis.call('RPUSH', planned, unpack(given))
  redis.call('PEXPIRE', planned, PLANNED_MS)
  return redis.call('LLEN', planned)
end
local action = given[1]
if act == 'begin' then
  if state ~= 'planned' then return 0 end
  redis.call('HSET', key, 'state', 'running', 'begun', NOW, 'total', redis.call('LLEN', planned))
  redis.call('PERSIST', key)
  redis.call('PERSIST', planned)
  redis.call('ZADD', P .. 'jobs', NOW, id)
  redis.call('ZADD', P .. 'running', NOW, id)
  note_action(action, 'begun', redis.call('LLEN', planned))
  -- Those that are gone, and of too many the oldest that are over.
  local many = redis.call('ZCARD', P .. 'jobs') - MOST_JOBS
  for _, old in ipairs(redis.call('ZRANGE', P .. 'jobs', 0, MOST_JOBS - 1)) do
    if many > 0 and not redis.call('ZSCORE', P .. 'running', old) then
      many = many - 1
      redis.call('DEL', P .. 'job:' .. old, P .. 'refusals:' .. old)
    end
    if redis.call('EXISTS', P .. 'job:' .. old) == 0 then redis.call('ZREM', P .. 'jobs', old) end
  end
  return 1
end
if state ~= 'running' then
  -- The word reaches those that have parts of it left and were away when it was given: their workers look for it here.
  local several = string.find(redis.call('HGET', key, 'targets') or '', ',', 1, true)
  -- One that an older version stopped has not heard it.
  if (state == 'done' or state == 'stopped') and several then redis.call('HSET', key, 'stop', action) end
  return 0
end
redis.call('HSET', key, 'state', 'stopped', 'ended', NOW, 'left', redis.call('LLEN', planned), 'stop', action)
redis.call('ZREM', P .. 'running', id)
redis.call('UNLINK', planned)
redis.call('PEXPIRE', key, KEPT_MS)
redis.call('PEXPIRE', P .. 'refusals:' .. id, KEPT_MS)
note_action(action, 'stopped', tonumber(redis.call('HGET', key, 'done') or '0'))
return 1
