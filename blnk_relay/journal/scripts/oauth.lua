-- The tokens of an OAuth client (contract §1.3): kept in one place, changed by compare-and-set on their version,
-- refreshed by one holder of a lock at a time.
-- ARGV: target, action, and then
--   read:    digest of the refresh token of the settings ("": none).
--            Returns 'unknown' for one that was never used, else {version, access token, ms that it is good for, ms that
--            it was good for when new, 1 if the last refresh failed, ms until the next one may be tried}.
--   login:   digest, refresh token: from now on this one is used. Returns what read does.
--   begin:   version, holder, lock (ms), least time since the last refresh that was forced (ms; 0: this one is not).
--            Returns {refresh token} or {} when it is somebody else's turn, done already, or too early.
--   done:    version, access token, ms that it is good for, refresh token. Returns 1, or 0 for another version: then
--            somebody else was faster.
--   fail:    version, holder, ms until the next try. Returns 2 if that is news, 1 if not, 0 when it is no longer ours to
--            say.
--   put_off: holder, ms until the next try. Returns 1.

local key, action = P .. 'oauth:' .. ARGV[1], ARGV[2]
local state = {}
local fields = { 'version', 'access', 'expires', 'life', 'refresh', 'failed', 'retry', 'lock', 'lock_end', 'forced', 'logins' }
for index, value in ipairs(redis.call('HMGET', key, unpack(fields))) do state[fields[index]] = value or '' end
local version = tonumber(state.version) or 0

local function number(name) return tonumber(state[name]) or 0 end

local function told()
  return { version, state.access, math.max(0, number('expires') - NOW), number('life'), state.failed == '1' and 1 or 0,
    math.max(0, number('retry') - NOW) }
end

if action == 'read' then
  if ARGV[3] ~= '' and not string.find(state.logins, ARGV[3], 1, true) then return 'unknown' end
  return told()
end
if action == 'login' then
  if not string.find(state.logins, ARGV[3], 1, true) then
    -- The newest twenty are remembered: an old worker must not bring back a token that was replaced long ago.
    local logins = string.sub(ARGV[3] .. ' ' .. state.logins, 1, 20 * 33)
    version = version + 1
    redis.call('HDEL', key, 'access', 'expires', 'life', 'failed', 'retry', 'lock', 'lock_end', 'forced')
    redis.call('HSET', key, 'version', version, 'refresh', ARGV[4], 'logins', logins)
    state = { access = '', expires = '', life = '', failed = '', retry = '' }
  end
  return told()
end
if action == 'begin' then
  local forced = tonumber(ARGV[6])
  if version ~= tonumber(ARGV[3]) or number('lock_end') > NOW or number('retry') > NOW then return {} end
  if forced > 0 then
    if number('forced') + forced > NOW then return {} end
    redis.call('HSET', key, 'forced', NOW)
  end
  redis.call('HSET', key, 'lock', ARGV[4], 'lock_end', NOW + tonumber(ARGV[5]))
  return { state.refresh }
end
if action == 'done' then
  if version ~= tonumber(ARGV[3]) then return 0 end
  -- Also when the lock has lapsed: whoever holds an answer may hold the only refresh token that works.
  redis.call('HSET', key, 'version', version + 1, 'access', ARGV[4], 'expires', NOW + tonumber(ARGV[5]), 'life', ARGV[5],
    'refresh', ARGV[6])
  redis.call('HDEL', key, 'failed', 'retry', 'lock', 'lock_end')
  count('oauth_refreshed|' .. ARGV[1])
  return 1
end
if action == 'fail' then
  if version ~= tonumber(ARGV[3]) or state.lock ~= ARGV[4] then return 0 end
  redis.call('HSET', key, 'failed', '1', 'retry', NOW + tonumber(ARGV[5]))
  redis.call('HDEL', key, 'lock', 'lock_end')
  count('oauth_failed|' .. ARGV[1])
  return state.failed == '1' and 1 or 2
end
if state.lock == ARGV[3] then
  redis.call('HSET', key, 'retry', NOW + tonumber(ARGV[4]))
  redis.call('HDEL', key, 'lock', 'lock_end')
end
return 1
