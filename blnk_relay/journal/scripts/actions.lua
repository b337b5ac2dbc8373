-- Part of scripts by which operators act: notes who did what in the script that does it, so that nothing is done
-- without its line, and no line tells of what was not done.
-- Deletes: acts.
-- Bound: one entry, and once what an earlier version kept of pauses and resumes.

-- Entries that are kept, give or take those of one node of the stream. Events come and go beside it.
local MOST_ACTIONS = 10000

-- Of what is above that number, some that are copied into history go; what is not copied stays.
local MOST_GONE = 100

local function forget_copied(key)
  local copied, above = redis.call('HGET', P .. 'history', 'actions'), redis.call('XLEN', key) - MOST_ACTIONS
  if above <= 0 or not copied or copied == '' then return end
  for _, entry in ipairs(redis.call('XRANGE', key, '-', copied, 'COUNT', math.min(above, MOST_GONE))) do
    redis.call('XDEL', key, entry[1])
  end
end

-- Notes an action.
-- action: JSON as actions.py makes it; '' for none, as of what a program does for itself.
-- result: in a word or a few; nil for what is told by the action itself.
-- number: letters or intents that it was done to, or nil.
local function note_action(action, result, number)
  if action == '' then return end
  local key = P .. 'actions'
  -- The newest stands first there.
  local former = redis.call('LRANGE', P .. 'acts', 0, -1)
  for place = #former, 1, -1 do
    local line = cjson.decode(former[place])
    local told = cjson.encode({ what = line.what, of = line.of, who = line.who, reason = line.why })
    redis.call('XADD', key, '*', 'at', string.format('%d', line.at), 'result', 'done', 'count', '0', 'action', told)
  end
  if #former > 0 then redis.call('DEL', P .. 'acts') end
  local fields = { 'at', string.format('%d', NOW), 'result', result or 'done', 'count',
    string.format('%d', number or 0), 'action', action }
  if HISTORY then
    redis.call('XADD', key, '*', unpack(fields))
    forget_copied(key)
  else
    redis.call('XADD', key, 'MAXLEN', '~', MOST_ACTIONS, '*', unpack(fields))
  end
end
