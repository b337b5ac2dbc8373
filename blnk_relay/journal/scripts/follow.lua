-- Makes a consumer group of the stream of events, from its oldest entry, if it is not there yet.
-- ARGV: group.
-- Returns: {1 if it is new}.

local made = redis.pcall('XGROUP', 'CREATE', P .. 'events', ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return { 0 } end
  return redis.error_reply(made.err)
end
return { 1 }
