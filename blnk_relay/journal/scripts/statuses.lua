-- uses: past, ground
-- Reads what stands under ids, each as a whole or not at all. Changes nothing.
-- ARGV: names (of fields, by commas; the first is state); ids.
-- Returns: one array for each: {the fields, "" for none; the body without its payload, which may be megabytes ("": it
--   is gone, or no such thing); of an intent that was trimmed "<outcome> <main id>" ("": nothing); "1" for a letter
--   that may have been replayed in moments that the journal has lost}.
-- Deletes: nothing.
-- Bound: the ids of one call; at most MOST_BYTES of a body in which no payload is found.

local wanted, ids = ARGV[1], arguments_from(2)

-- Of a body in which no payload is found.
local MOST_BYTES = 65536

local names, found = {}, {}
for name in string.gmatch(wanted, '[^,]+') do names[#names + 1] = name end
-- Whether a letter is in doubt, in the same command.
for _, name in ipairs({ 'created', 'token', 'updated', 'class', 'lost' }) do names[#names + 1] = name end
for _, id in ipairs(ids) do
  local values, there = redis.call('HMGET', intent_key(id), unpack(names)), false
  local lost, class = table.remove(values), table.remove(values)
  local died, token, created = table.remove(values), table.remove(values), table.remove(values)
  for place in ipairs(values) do
    there = there or place == 1 and values[place]
    values[place] = values[place] or ''
  end
  local body, past = redis.call('GET', P .. 'body:' .. id) or '', ''
  -- A quote inside a text is escaped, so that this can only be the name of the field.
  local cut = string.find(body, ',"payload":', 1, true) or string.find(body, ', "payload":', 1, true)
  if cut then
    body = string.sub(body, 1, cut - 1) .. '}'
  elseif #body > MOST_BYTES then
    body = ''
  end
  local left = not there and past_of(id)
  if left then
    local _, outcome, txn = past_unpacked(left)
    past = outcome .. ' ' .. txn
  end
  local doubt = ''
  if there == 'dead' then
    glance()
    doubt = perhaps_replayed(created, token, died, class, lost) and '1' or ''
  end
  found[#found + 1] = { values, body, past, doubt }
end
return found
