-- uses: actions
-- Notes what an operator does where no other script does it: looks at a payload, puts the journal under another key.
-- ARGV: action (see actions.lua); result; number (of letters or intents).
-- Returns: 1.
-- Deletes: nothing.
-- Bound: one entry.

local action, result, number = ARGV[1], ARGV[2], ARGV[3]

note_action(action, result, tonumber(number))
return 1
