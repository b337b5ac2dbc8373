-- uses: past
-- Finds the intents that own references. Changes nothing.
-- ARGV: of each reference the id of the intent whose key it would be.
-- Returns: one array for each: {id of its owner, or the id that was given where nobody else owns it; state of that
--   intent; when it came to that; its generation; "" for what is not there}.
-- Deletes: nothing.
-- Bound: the references of one call.

local ids = arguments_from(1)

local found = {}
for _, id in ipairs(ids) do
  local _, owner = past_of(id)
  owner = owner and id_unpacked(owner) or id
  local state, updated, gen = unpack(redis.call('HMGET', intent_key(owner), 'state', 'updated', 'gen'))
  found[#found + 1] = { owner, state or '', updated or '', gen or '' }
end
return found
