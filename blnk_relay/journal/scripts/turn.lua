-- Takes a lock for a short while, by the journal's own time.
-- ARGV: name, how long it is taken for (ms).
-- Returns: {1 if it was free}.

return { take_lock(ARGV[1], tonumber(ARGV[2])) and 1 or 0 }
