-- uses: ground, letters, turns, actions, closing
-- Closes a dead letter by a human's word; see closing.lua.
-- ARGV: id; line (of its log); cap (length of the events stream); planned (as replay.lua takes it, "": whatever it died
--   of); action (see actions.lua).
-- Returns: {"closed", or the state it is in ("" when unknown, "changed": it has had another life since it was looked
--   at), lanes to ring}.
-- Deletes: nothing.
-- Bound: one intent; turns.lua bounds those that wait for it.

local id, line, cap, planned, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local bells = {}
local answer = close_letter(id, line, cap, planned, bells)
if answer == 'closed' then
  note_action(action, 'discarded', 1)
  call_a_sweep(bells)
elseif answer ~= '' then
  note_action(action, 'refused: ' .. answer)
end
return { answer, bells }
