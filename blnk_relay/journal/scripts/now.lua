-- The clock of the journal.
-- Returns: {now (ms since 1970), how often it was set right}.

return { NOW, tonumber(redis.call('HGET', P .. 'ground', 'steps') or '0') }
