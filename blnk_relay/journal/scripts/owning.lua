-- Part of scripts that take references for an intent; needs past.
-- Deletes: nothing.
-- Bound: AT_ONCE intents a command; some commands a reference.

-- What stands under an id, also of an intent that was trimmed: fingerprint (of a trimmed one its beginning), state,
-- accept time, kind, main id of its outcome, and, where nothing or only what is left stands there, the owner of the
-- reference that is its key, packed. The fingerprint is nil for nothing.
local function trace_of(id)
  local fingerprint, state, created, kind, txn = unpack(
    redis.call('HMGET', intent_key(id), 'fp', 'state', 'created', 'kind', 'txn'))
  if fingerprint then return fingerprint, state, created, kind, txn end
  local left, owner = past_of(id)
  if not left then return nil, nil, nil, nil, nil, owner end
  local outcome
  fingerprint, outcome, txn = past_unpacked(left)
  return fingerprint, outcome == 'cancelled' and outcome or 'done', '0', '', txn, owner
end

-- Intents looked for with one command: a bulk may own thousands of references, and each command costs as much as many
-- keys.
local AT_ONCE = 1000

-- Whether one of these is there and not trimmed.
local function any_there(ids)
  for from = 1, #ids, AT_ONCE do
    local keys = {}
    for at = from, math.min(from + AT_ONCE - 1, #ids) do keys[#keys + 1] = intent_key(ids[at]) end
    if redis.call('EXISTS', unpack(keys)) > 0 then return true end
  end
  return false
end

-- The intent that owns one of the references, and that reference; nil when all are free.
-- own: the owner of the reference that is the intent's own key, from trace_of, where '-' stands for it.
local function owner_of(references, namesakes, own)
  if namesakes == '-' then
    if own then return id_unpacked(own), references end
    return nil
  end
  local ids = {}
  for namesake in string.gmatch(namesakes, '[^,]+') do ids[#ids + 1] = namesake end
  local some, next_reference = any_there(ids), string.gmatch(references, '[^%z]+')
  for _, namesake in ipairs(ids) do
    local reference = next_reference()
    local left, owner = past_of(namesake)
    if owner then return id_unpacked(owner), reference end
    if left or (some and redis.call('EXISTS', intent_key(namesake)) == 1) then return namesake, reference end
  end
end

-- Notes whose the references are, and returns them as the intent notes them: by the kept part of the ids that are
-- theirs, one behind the other.
local function take_references(id, namesakes)
  local owner, taken = id_packed(id), {}
  for namesake in string.gmatch(namesakes, '[^,]+') do
    if namesake ~= '-' then
      keep('', namesake, '@', owner)
      taken[#taken + 1] = string.sub(namesake, 1, ID_KEPT)
    end
  end
  return table.concat(taken)
end
