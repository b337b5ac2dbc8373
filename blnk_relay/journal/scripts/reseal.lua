-- uses: letters
-- Puts what an intent hides under another encryption key, unless it has changed since it was read.
-- ARGV: id; sealed, gen, created, memo, message (as they were read, "" for none); then what takes their place: body,
--   file ("": there is none), memo, message (the same), fingerprint ("": it stays), name (of the only key that it needs
--   from now on).
-- Returns: {1, or 0 for one that has changed or is gone}.
-- Deletes: nothing.
-- Bound: one intent.

local id, sealed, gen, created, memo_then, message_then = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local body, file, memo, message, fingerprint, name = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]

local key = intent_key(id)
local is = fields_of(key, 'sealed', 'gen', 'created', 'memo', 'message', 'worth', 'kind', 'class', 'code', 'state')
if not is.created or (is.sealed or '') ~= sealed or (is.gen or '') ~= gen or is.created ~= created
  or (is.memo or '') ~= memo_then or (is.message or '') ~= message_then then
  return { 0 }
end
redis.call('SET', P .. 'body:' .. id, body)
-- A letter that was closed meanwhile has given up its file.
if file ~= '' and redis.call('EXISTS', P .. 'file:' .. id) == 1 then redis.call('SET', P .. 'file:' .. id, file) end
if memo ~= '' then redis.call('HSET', key, 'memo', memo) end
if message ~= '' then redis.call('HSET', key, 'message', message) end
if fingerprint ~= '' then redis.call('HSET', key, 'fp', fingerprint) end
redis.call('HSET', key, 'sealed', name)
if is.worth then hide_worth(id, is) end
if is.state == 'done' or is.state == 'cancelled' or is.state == 'dead' or is.state == 'discarded' then to_copy(id) end
return { 1 }
