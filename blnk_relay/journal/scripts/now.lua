-- The clock of the journal.
-- ARGV: none.
-- Returns: {now (ms since 1970), how often it was set right}.
-- Deletes: nothing.
-- Bound: one command.

return { NOW, tonumber(redis.call('HGET', P .. 'ground', 'steps') or '0') }
