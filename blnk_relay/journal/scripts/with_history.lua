-- Brings a journal to the second shape, in which what is over may have to be copied before it is trimmed. Nothing
-- stands otherwise there: from now on whoever would not do so is refused.
-- ARGV: under_way; cursor.
-- Returns: where to go on, "" at the end.
-- Deletes: nothing.
-- Bound: nothing is done.

local under_way, cursor = ARGV[1], ARGV[2]

return (under_way .. cursor) and ''
