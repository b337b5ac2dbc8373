-- uses: ground, letters, past, owning, renewal, turns, actions, lives, reviving, closing
-- Carries out a page of a job: does to each letter what was planned, unless it has changed since, and notes it with the
-- job, in one script, so that none is done twice or passed over, whoever dies.
-- ARGV: id of the job; worker (that carries it out); cap (length of the events stream); patience (ms from now to the
--   deadlines); line (of the logs); then of each letter, in the order of the plan:
--   planned          "<id> <way> <life>", as it stands in the plan
--   unfit            why it cannot be done; "" for all others
--   references, namesakes, body, sealed   of a new generation, as replay.lua takes them; "" for none
-- Returns: {state of the job, how many letters of it are left, lanes to ring}.
-- Deletes: planned:<job>, running.
-- Bound: the letters of one call; turns.lua bounds those that wait for them.

local job, worker, cap, patience, line = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- How long a job is kept that is over, and how many refusals are told one by one.
local KEPT_MS, MOST_REFUSALS = 2592000000, 20

local bells, key, planned = {}, P .. 'job:' .. job, P .. 'planned:' .. job
local is = fields_of(key, 'state', 'what', 'carrier', 'ends')
if is.state ~= 'running' or is.carrier ~= worker then
  return { is.state or '', redis.call('LLEN', planned), bells }
end

local results = {}
local function one_more(name) results[name] = (results[name] or 0) + 1 end

for item, unfit, references, namesakes, body, sealed in records(6, 6) do
  -- Somebody else was faster, by whom this worker was taken for dead.
  if redis.call('LINDEX', planned, 0) ~= item then break end
  redis.call('LPOP', planned)
  local id, way, life = string.match(item, '^(%S+) (%S+) (.*)$')
  local answer, worth
  if unfit ~= '' then
    answer, worth = 'unfit', nil
  elseif is.what == 'discard' then
    answer, worth = close_letter(id, line, cap, life, bells)
  else
    local fresh = way == 'fresh' and { references, namesakes, body, sealed } or nil
    answer, worth = revive_letter(id, patience, fresh, line, life, bells)
  end
  if answer == 'replayed' or answer == 'closed' then
    one_more('done')
    local currency, amount = string.match(worth or '', '^(%S+) (%d+)$')
    -- By the server, whose whole numbers have more digits than ours. What is too much for it is no reason to fail.
    local sum = currency and redis.pcall('HINCRBY', key, 'sum|' .. currency, amount)
    if type(sum) == 'number' then one_more('summed') end
  else
    one_more('refused')
    one_more('refused|' .. (answer == '' and 'gone' or answer))
    local refusals = P .. 'refusals:' .. job
    if redis.call('LLEN', refusals) < MOST_REFUSALS then
      redis.call('RPUSH', refusals, id .. ' ' .. (unfit ~= '' and unfit or answer == '' and 'gone' or answer))
    end
  end
end
for name, number in pairs(results) do redis.call('HINCRBY', key, name, number) end
local left = redis.call('LLEN', planned)
call_a_sweep(bells)
if left == 0 then
  redis.call('HSET', key, 'state', 'done', 'ended', NOW, 'left', 0)
  redis.call('ZREM', P .. 'running', job)
  redis.call('PEXPIRE', key, KEPT_MS)
  redis.call('PEXPIRE', P .. 'refusals:' .. job, KEPT_MS)
  local final = fields_of(key, 'done', 'refused')
  local told = final.refused and 'done, refused ' .. final.refused or 'done'
  note_action(is.ends or '', told, tonumber(final.done or '0'))
end
return { left == 0 and 'done' or 'running', left, bells }
