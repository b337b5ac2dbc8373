-- Shows a worker what is to be done next of the job that is carried out now, and makes it the one who carries it out.
-- ARGV: worker; lease_ms; most letters.
-- Returns: {id of the job ("": there is none, or somebody else carries it out), what it does, its line (of the logs of
--   its letters), the next letters, all targets that have a part of it, by commas}.
-- Deletes: running.
-- Bound: most letters.

local worker, lease_ms, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local nothing = { '', '', '', {}, '' }
local id = redis.call('ZRANGE', P .. 'running', 0, 0)[1]
if not id then return nothing end
local job = fields_of(P .. 'job:' .. id, 'state', 'what', 'line', 'carrier', 'until', 'targets')
if job.state ~= 'running' then
  -- What is gone is nobody's to carry out.
  redis.call('ZREM', P .. 'running', id)
  return nothing
end
local till = tonumber(job['until'] or '0')
-- Further off than any lease it was noted by a clock that had stepped ahead.
if job.carrier and job.carrier ~= worker and till > NOW and till - NOW <= lease_ms then return nothing end
redis.call('HSET', P .. 'job:' .. id, 'carrier', worker, 'until', NOW + lease_ms)
local letters = redis.call('LRANGE', P .. 'planned:' .. id, 0, most - 1)
return { id, job.what or '', job.line or '', letters, job.targets or '' }
