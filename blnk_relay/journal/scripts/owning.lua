-- Part of scripts that take references for an intent.
-- Deletes: nothing.
-- Bound: AT_ONCE references a command.

-- What stands under an id, also of an intent that was trimmed: fingerprint, state, accept time, kind, main id of its
-- outcome; nil for nothing.
local function trace_of(id)
  local fingerprint, state, created, kind, txn = unpack(
    redis.call('HMGET', intent_key(id), 'fp', 'state', 'created', 'kind', 'txn'))
  if fingerprint then return fingerprint, state, created, kind, txn end
  local past = redis.call('HGET', P .. 'past:' .. string.sub(id, 1, 3), id)
  if not past then return nil end
  local outcome
  fingerprint, outcome, txn = string.match(past, '^(%S*) (%S*) ?(%S*)$')
  return fingerprint or '', outcome == 'cancelled' and outcome or 'done', '0', '', txn
end

-- References looked at or taken with one command: a bulk may own thousands, and each command costs as much as many
-- keys.
local AT_ONCE = 1000

-- Calls a function with parts of the references, as keys, and their namesakes.
local function in_parts(references, namesakes, act)
  local next_namesake, keys, others = string.gmatch(namesakes, '[^,]+'), {}, {}
  for reference in string.gmatch(references, '[^%z]+') do
    keys[#keys + 1], others[#others + 1] = P .. 'ref:' .. reference, next_namesake()
    if #keys == AT_ONCE then
      local found = act(keys, others)
      if found then return found end
      keys, others = {}, {}
    end
  end
  return #keys > 0 and act(keys, others) or nil
end

local function owner_among(keys, namesakes)
  local begins = #(P .. 'ref:') + 1
  for at, owner in ipairs(redis.call('MGET', unpack(keys))) do
    if owner then return { owner, string.sub(keys[at], begins) } end
  end
  local intents = {}
  for _, namesake in ipairs(namesakes) do
    if namesake ~= '-' then intents[#intents + 1] = intent_key(namesake) end
  end
  local some = #intents > 0 and redis.call('EXISTS', unpack(intents)) > 0
  for at, namesake in ipairs(namesakes) do
    if namesake ~= '-' and ((some and redis.call('EXISTS', intent_key(namesake)) == 1)
      or redis.call('HEXISTS', P .. 'past:' .. string.sub(namesake, 1, 3), namesake) == 1) then
      return { namesake, string.sub(keys[at], begins) }
    end
  end
end

-- The intent that owns one of the references, but for this one, and that reference; nil when all are free.
local function owner_of(references, namesakes)
  if string.find(namesakes, ',', 1, true) then return unpack(in_parts(references, namesakes, owner_among) or {}) end
  -- Most own one.
  local owner = references ~= '' and redis.call('GET', P .. 'ref:' .. references)
  if owner then return owner, references end
  if namesakes ~= '-' and namesakes ~= '' and trace_of(namesakes) then return namesakes, references end
end

local function take_references(id, references, namesakes)
  in_parts(references, namesakes, function(keys, others)
    local pairs_to_set = {}
    for index, key in ipairs(keys) do
      if others[index] ~= '-' then
        pairs_to_set[#pairs_to_set + 1] = key
        pairs_to_set[#pairs_to_set + 1] = id
      end
    end
    if #pairs_to_set > 0 then redis.call('MSET', unpack(pairs_to_set)) end
  end)
end
