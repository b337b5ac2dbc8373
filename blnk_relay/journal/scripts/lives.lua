-- Part of scripts that give a dead letter another life: what it was is copied as well, where history is on.
-- Deletes: nothing.
-- Bound: one letter.

-- What tells the lives of a letter apart: the token that it died with, or when it was accepted where it had none.
local function life_named(token, created) return token or created or '' end

-- Notes what a letter was, before that is forgotten.
-- closed: how it was closed, "replayed" or "discarded"; gen_then: the generation that it died in, where it has another
-- one by now.
local function note_life(id, closed, gen_then)
  if not HISTORY then return end
  local state, class, code, message, gen, attempts, token, created, died, updated = unpack(redis.call('HMGET',
    intent_key(id), 'state', 'class', 'code', 'message', 'gen', 'attempts', 'token', 'created', 'died', 'updated'))
  if not state then return end
  local since = redis.call('ZSCORE', P .. 'dead', id) or died or updated or ''
  redis.call('RPUSH', P .. 'lives', cjson.encode({ id = id, life = life_named(token, created), class = class or '',
    code = code or '', message = message or '', gen = gen_then or gen or '0', attempts = attempts or '0', died = since,
    closed = closed, at = string.format('%d', NOW) }))
end
