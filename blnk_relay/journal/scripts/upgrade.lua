-- Notes another shape of the journal, if it still has the one that the caller has seen: a step of an upgrade, see
-- upgrade.py. Stands without the common head, which refuses while an upgrade is under way.
-- ARGV: seen; next ("<from>><to>" at the beginning, "<to>" at the end).
-- Returns: the shape that it has now, "" where nothing is noted.
-- Deletes: nothing.
-- Bound: one hash.

local P, seen, next_shape = KEYS[1], ARGV[1], ARGV[2]

local ground = P .. 'ground'
local shape = redis.call('HGET', ground, 'shape') or ''
if shape ~= seen then return shape end
redis.call('HSET', ground, 'shape', next_shape)
return next_shape
