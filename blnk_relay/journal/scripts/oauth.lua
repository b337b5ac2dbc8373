-- The tokens of an OAuth client (contract §1.3): kept in one place, changed by compare-and-set on their version,
-- refreshed by one holder of a lock at a time.
-- ARGV: action; and of each action:
--   read:    digest of the refresh token of the settings ("": none).
--            Returns 'unknown' for one that was never used, else {version, access token, ms that it is good for, ms
--            that it was good for when new, 1 if the last refresh failed, ms until the next one may be tried}.
--   login:   digest, refresh token: from now on this one is used. Returns what read does.
--   begin:   version, holder, lock_ms, forced_ms (least time since the last refresh that was forced; 0: this one is
--            not). Returns {refresh token} or {} when it is somebody else's turn, done already, or too early.
--   done:    version, access token, life_ms (that it is good for), refresh token. Returns 1, or 0 for another version:
--            then somebody else was faster.
--   fail:    version, holder, wait_ms until the next try. Returns 2 if that is news, 1 if not, 0 when it is no longer
--            ours to say.
--   reseal:  version, access token, refresh token: the same under another encryption key. Returns 1, or 0 for another
--            version.
--   put_off: holder, wait_ms until the next try. Returns 1.
-- Returns: see each action.
-- Deletes: nothing.
-- Bound: one hash.

local ARGUMENTS = {
  read = { 'digest' },
  login = { 'digest', 'refresh' },
  begin = { 'version', 'holder', 'lock_ms', 'forced_ms' },
  reseal = { 'version', 'access', 'refresh' },
  done = { 'version', 'access', 'life_ms', 'refresh' },
  fail = { 'version', 'holder', 'wait_ms' },
  put_off = { 'holder', 'wait_ms' },
}
local action, rest, given = ARGV[1], arguments_from(2), {}
for place, name in ipairs(ARGUMENTS[action]) do given[name] = rest[place] end

local key = P .. 'oauth'
local stored = fields_of(key, 'version', 'access', 'expires', 'life', 'refresh', 'failed', 'retry', 'lock', 'lock_end',
  'forced', 'logins')
local version, logins = tonumber(stored.version or '0'), stored.logins or ''

local function number_in(name) return tonumber(stored[name] or '') or 0 end

local function summary()
  return { version, stored.access or '', math.max(0, number_in('expires') - NOW), number_in('life'),
    stored.failed == '1' and 1 or 0, math.max(0, number_in('retry') - NOW) }
end

if action == 'read' then
  if given.digest ~= '' and not string.find(logins, given.digest, 1, true) then return 'unknown' end
  return summary()
end
if action == 'login' then
  if not string.find(logins, given.digest, 1, true) then
    -- The newest twenty are remembered: an old worker must not bring back a token that was replaced long ago.
    logins = string.sub(given.digest .. ' ' .. logins, 1, 20 * 33)
    version = version + 1
    redis.call('HDEL', key, 'access', 'expires', 'life', 'failed', 'retry', 'lock', 'lock_end', 'forced')
    redis.call('HSET', key, 'version', version, 'refresh', given.refresh, 'logins', logins)
    stored = {}
  end
  return summary()
end
if action == 'begin' then
  local forced_ms = tonumber(given.forced_ms)
  if version ~= tonumber(given.version) or number_in('lock_end') > NOW or number_in('retry') > NOW then return {} end
  if forced_ms > 0 then
    if number_in('forced') + forced_ms > NOW then return {} end
    redis.call('HSET', key, 'forced', NOW)
  end
  redis.call('HSET', key, 'lock', given.holder, 'lock_end', NOW + tonumber(given.lock_ms))
  return { stored.refresh or '' }
end
if action == 'reseal' then
  if version ~= tonumber(given.version) then return 0 end
  redis.call('HSET', key, 'access', given.access, 'refresh', given.refresh)
  return 1
end
if action == 'done' then
  if version ~= tonumber(given.version) then return 0 end
  -- Also when the lock has lapsed: whoever holds an answer may hold the only refresh token that works.
  redis.call('HSET', key, 'version', version + 1, 'access', given.access, 'expires', NOW + tonumber(given.life_ms),
    'life', given.life_ms, 'refresh', given.refresh)
  redis.call('HDEL', key, 'failed', 'retry', 'lock', 'lock_end')
  count('oauth_refreshed')
  return 1
end
if action == 'fail' then
  if version ~= tonumber(given.version) or stored.lock ~= given.holder then return 0 end
  redis.call('HSET', key, 'failed', '1', 'retry', NOW + tonumber(given.wait_ms))
  redis.call('HDEL', key, 'lock', 'lock_end')
  count('oauth_failed')
  return stored.failed == '1' and 1 or 2
end
if stored.lock == given.holder then
  redis.call('HSET', key, 'retry', NOW + tonumber(given.wait_ms))
  redis.call('HDEL', key, 'lock', 'lock_end')
end
return 1
