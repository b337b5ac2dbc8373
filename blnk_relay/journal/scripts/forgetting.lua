-- Part of scripts that forget keys; needs ground and past. What may be forgotten stands in one of two generations, a
-- and b: what is trimmed goes into the present one. Once that is as old as keys are kept, the other one, whose keys all
-- are older still, is cleared hash by hash, and takes its place. So a key is forgotten between one and two such times
-- after it was trimmed.
-- Deletes: past:<id[1..]>, past:<g>:<id[1..]>.
-- Bound: MOST_CLEARED hashes.

local MOST_CLEARED = 1000

-- How many hashes there are to begin with: of each three letters one.
local ROOTS = 32768

local function root(number)
  local letters = ''
  for place = FIRST - 1, 0, -1 do
    local at = math.floor(number / 32 ^ place) % 32 + 1
    letters = letters .. string.sub(ALPHABET, at, at)
  end
  return letters
end

-- Clears a part of a generation.
-- reached: "<next of the first hashes>" and, each behind a blank, the hashes below others that are still to be cleared.
-- Returns where it has come to, nil for the end; and whether any was there.
local function clear_some(generation, reached)
  local next_root, rest = string.match(reached, '^(%d+)(.*)$')
  next_root = tonumber(next_root)
  local open, any = {}, false
  for one in string.gmatch(rest, '%S+') do open[#open + 1] = one end
  for _ = 1, MOST_CLEARED do
    local one = table.remove(open)
    if not one then
      if next_root == ROOTS then return nil, any end
      one, next_root = root(next_root), next_root + 1
    end
    local key = P .. 'past:' .. generation .. ':' .. one
    if redis.call('HEXISTS', key, '+') == 1 then
      for letter in string.gmatch(ALPHABET, '.') do open[#open + 1] = one .. letter end
    end
    any = redis.call('UNLINK', key) == 1 or any
  end
  open[0] = next_root
  return table.concat(open, ' ', 0), any
end

-- Goes on with forgetting. What is accepted from the first moment on in which a key was forgotten may be a repeat of
-- what was over before the present generation began; see claims.lua.
local function turn_generations(retention_ms)
  local since, reached = unpack(redis.call('HMGET', GROUND, 'keys_since', 'clearing'))
  if not GENERATION then
    GENERATION = 'a'
    redis.call('HSET', GROUND, 'keys', GENERATION, 'keys_since', NOW)
    return
  end
  if not reached and NOW - tonumber(since) < retention_ms then return end
  local other = GENERATION == 'a' and 'b' or 'a'
  local any
  reached, any = clear_some(other, reached or '0')
  if any then
    redis.call('HSETNX', GROUND, 'forgot', NOW)
    redis.call('HSET', GROUND, 'over', since)
  end
  if reached then
    redis.call('HSET', GROUND, 'clearing', reached)
  else
    GENERATION = other
    redis.call('HDEL', GROUND, 'clearing')
    redis.call('HSET', GROUND, 'keys', GENERATION, 'keys_since', NOW)
  end
end

-- When there is something to forget next.
local function forgetting_due(retention_ms)
  if retention_ms == 0 then return nil end
  local since, reached = unpack(redis.call('HMGET', GROUND, 'keys_since', 'clearing'))
  return since and (reached and NOW or tonumber(since) + retention_ms) or NOW
end

-- Gives the references of a trimmed intent to the generation that it was trimmed into. Returns how many they were.
local function move_references(generation, id, refs)
  local owner, number = id_packed(id), 0
  for from = 1, #refs, ID_KEPT do
    local namesake = string.sub(refs, from, from + ID_KEPT - 1)
    local field, width = '@' .. string.sub(namesake, FIRST + 1), FIRST
    while redis.call('HDEL', past_key('', namesake, width), field) == 0
      and redis.call('HEXISTS', past_key('', namesake, width), '+') == 1 do
      width = width + 1
    end
    keep(generation, namesake, '@', owner)
    number = number + 1
  end
  return number
end
