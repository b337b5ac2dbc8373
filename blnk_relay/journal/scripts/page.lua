-- Reads a page of a sorted set behind a place in it. The place is a score and a member, not a rank, so that nothing is
-- passed over or shown twice however much has left the set or come into it meanwhile. Changes nothing.
-- ARGV: set; down ("1" for the highest scores first); lowest (score); beyond (first score that is too high; "+inf":
--   none); score and member behind which to go on ("" for the beginning); most.
-- Returns: members and their scores, one behind the other.
-- Deletes: nothing.
-- Bound: most members, and a halving search among those with one score.

local key, down, lowest, beyond, score, member, most =
  P .. ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])

local function below(limit) return redis.call('ZCOUNT', key, '-inf', '(' .. limit) end

-- Ranks first to last - 1 are in question.
local first = lowest == '-inf' and 0 or below(lowest)
local last = beyond == '+inf' and redis.call('ZCARD', key) or below(beyond)
if score ~= '' then
  -- Where the place is among those with its score, which are in the order of their names.
  local from, to = below(score), redis.call('ZCOUNT', key, '-inf', score)
  while from < to do
    local middle = math.floor((from + to) / 2)
    local name = redis.call('ZRANGE', key, middle, middle)[1]
    if name < member or (name == member and not down) then from = middle + 1 else to = middle end
  end
  if down then last = math.min(last, from) else first = math.max(first, from) end
end
if first >= last then return {} end
if not down then return redis.call('ZRANGE', key, first, math.min(last, first + most) - 1, 'WITHSCORES') end
local size = redis.call('ZCARD', key)
return redis.call('ZRANGE', key, size - last, size - math.max(first, last - most) - 1, 'REV', 'WITHSCORES')
