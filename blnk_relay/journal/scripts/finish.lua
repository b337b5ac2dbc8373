-- A reader of the stream of events has dealt with some; also a sign of life of it.
-- ARGV: group; reader; leave ("1": it goes, and what it still holds may go to others at once); events (ids).
-- Returns: {1, or 0 if one was not its any more: another reader got it, because this one was silent for too long}.
-- Deletes: readers:<group>.
-- Bound: the events of one call.

local group, reader, leave, events = ARGV[1], ARGV[2], ARGV[3] == '1', arguments_from(4)

local stream, readers, all_its_own = P .. 'events', P .. 'readers:' .. group, 1
for _, event in ipairs(events) do
  local _, holder = unpack(redis.call('XPENDING', stream, group, event, event, 1)[1] or {})
  if holder == reader then
    redis.call('XACK', stream, group, event)
  else
    all_its_own = 0
  end
end
redis.call('ZADD', readers, leave and 0 or NOW, reader)
if leave and #redis.call('XPENDING', stream, group, '-', '+', 1, reader) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, reader)
  redis.call('ZREM', readers, reader)
end
return { all_its_own }
