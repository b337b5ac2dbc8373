-- Part of scripts that touch dead letters.
-- Deletes: nothing.
-- Bound: nothing is read.

-- The life of a dead letter that a plan rests on: one that has been replayed, or closed and sent again, since it was
-- looked at has another one, and so has what can no longer be replayed.
-- died: its score among the dead, or false.
local function life_of(intent, died)
  return (intent.gen or '0') .. '|' .. (intent.class or '') .. '|' .. (intent.code or '') .. '|' .. (died or '')
end
