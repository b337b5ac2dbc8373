-- What the server says of itself.
-- ARGV: none.
-- Returns: the text of INFO, '' where we may not ask.
-- Deletes: nothing.
-- Bound: one command.

local info = redis.pcall('INFO')
return type(info) == 'string' and info or ''
