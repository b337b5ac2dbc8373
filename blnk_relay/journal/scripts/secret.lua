-- The secret that fingerprints are made with: kept once, for all who ask.
-- ARGV: name; sealed (the secret, hidden under an encryption key; "" only to read); instead_of (what it takes the place
--   of: the same secret under another key; "": it is kept where there is none).
-- Returns: {name, sealed} as it is kept now, "" for none.
-- Deletes: nothing.
-- Bound: one hash.

local name, sealed, instead_of = ARGV[1], ARGV[2], ARGV[3]

local key = P .. 'secret'
local stored = fields_of(key, 'name', 'sealed')
if sealed ~= '' and (stored.sealed or '') == instead_of and (not stored.name or stored.name == name) then
  redis.call('HSET', key, 'name', name, 'sealed', sealed)
  return { name, sealed }
end
return { stored.name or '', stored.sealed or '' }
