-- Notes that a page is copied: it stands in the database for good. What has changed since it was read stays to be
-- copied, and so does all where somebody else has copied a page meanwhile.
-- ARGV: database; page; letters, walked (where to go on); actions (last one that is copied); lives (how many lines);
--   then of each intent its id and the number that it had.
-- Returns: {1, or 0 where it is not the next page}.
-- Deletes: uncopied, lives.
-- Bound: the intents of one page.

local database, page, letters, walked, actions = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local lives, numbered = tonumber(ARGV[6]), records(7, 2)

local key = P .. 'history'
local is = fields_of(key, 'database', 'page')
if is.database ~= database or tonumber(is.page) ~= page - 1 then return { 0 } end
for id, number in numbered do
  if redis.call('ZSCORE', P .. 'uncopied', id) == number then redis.call('ZREM', P .. 'uncopied', id) end
end
if lives > 0 then redis.call('LTRIM', P .. 'lives', lives, -1) end
redis.call('HSET', key, 'page', page, 'seen', NOW, 'letters', letters, 'walked', walked, 'actions', actions)
redis.call('HDEL', key, 'trouble', 'trouble_since')
return { 1 }
