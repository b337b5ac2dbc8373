-- What the server says of itself.
-- Returns: the text of INFO, '' where we may not ask.

local info = redis.pcall('INFO')
return type(info) == 'string' and info or ''
