-- A reader of the stream of events has dealt with some; also a sign of life of it.
-- ARGV: group, reader, leave ("1": it goes, and what it still holds may go to others at once), ids of events.
-- Returns: {1, or 0 if one was not its any more: another reader got it, because this one was silent for too long}.

local group, reader, stream = ARGV[1], ARGV[2], P .. 'events'
local readers, kept = P .. 'readers:' .. ARGV[1], 1

for at = 4, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[at], ARGV[at], 1)[1]
  if pending and pending[2] == reader then
    redis.call('XACK', stream, group, ARGV[at])
  else
    kept = 0
  end
end
redis.call('ZADD', readers, ARGV[3] == '1' and 0 or NOW, reader)
if ARGV[3] == '1' and #redis.call('XPENDING', stream, group, '-', '+', 1, reader) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, reader)
  redis.call('ZREM', readers, reader)
end
return { kept }
