-- Part of scripts that let an intent begin anew under references that were never used; needs past, owning.
-- Deletes: parts:<id>.
-- Bound: one intent and its references.

-- Gives an intent a new generation: nothing was ever sent under its references, but in moments that the journal has
-- lost. It keeps the old ones, so that nobody else takes what the ledger knows.
-- references, namesakes: as accept.lua takes them; body: with the references that stand in it, '' where none does;
-- sealed: name of the encryption key that this body needs.
-- Returns nil, or the reference that is taken, and then changes nothing.
local function renew(id, references, namesakes, body, sealed)
  local _, taken = owner_of(references, namesakes)
  if taken then return taken end
  local refs = redis.call('HGET', intent_key(id), 'refs') or ''
  redis.call('HSET', intent_key(id), 'refs', refs .. take_references(id, namesakes))
  if body ~= '' then
    redis.call('SET', P .. 'body:' .. id, body)
    note_keys(id, sealed)
  end
  redis.call('HINCRBY', intent_key(id), 'gen', 1)
  redis.call('HDEL', intent_key(id), 'sent', 'lapsed', 'sent_first', 'sent_last', 'memo')
  redis.call('DEL', P .. 'parts:' .. id)
end
