-- uses: ground, letters, past, owning, renewal, actions, lives, reviving
-- Gives a dead letter a new life; see reviving.lua.
-- ARGV: id; patience (ms from now to its deadline); fresh ("1": new generation); references of the new generation and
--   their namesakes (as accept.lua takes them); body of the new generation ("": the old one), and the name of the
--   encryption key that it needs; line (of its log); planned ("<generation>|<class>|<code>|<died at>" that the
--   plan rests on); action (see actions.lua).
-- Returns: {"replayed", or the state it is in ("" when unknown, "taken": a new reference belongs to an intent already,
--   "changed": it has had another life since it was planned), lanes to ring, the reference that is taken}.
-- Deletes: nothing.
-- Bound: one intent, its orders and references.

local id, patience, fresh, references, namesakes = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5]
local body, sealed, line, planned, action = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local bells = {}
local renewal = fresh and { references, namesakes, body, sealed } or nil
local answer, taken = revive_letter(id, patience, renewal, line, planned, bells)
if answer == 'replayed' then
  note_action(action, 'replayed', 1)
  return { answer, bells }
end
if answer ~= '' then note_action(action, 'refused: ' .. answer) end
return { answer, bells, taken }
