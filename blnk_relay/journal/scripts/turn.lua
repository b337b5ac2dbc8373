-- Takes a lock for a short while, by the journal's own time.
-- ARGV: name; for_ms (how long it is taken for).
-- Returns: {1 if it was free}.
-- Deletes: nothing.
-- Bound: one lock.

local name, for_ms = ARGV[1], tonumber(ARGV[2])

return { take_lock(name, for_ms) and 1 or 0 }
