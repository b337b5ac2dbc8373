-- Part of scripts that look for what is left of trimmed intents, and for who owns a reference. A billion of these must
-- be small, so they stand in hashes that never outgrow the compact form of Redis, below as much of an id as tells keys
-- apart. What is left of an intent stands under the rest of its id; the owner of a reference, with @ before it, under
-- that of the intent whose key the reference would be. A hash that is full says so with a +, and what comes later
-- stands in the 32 below it.
-- Deletes: nothing.
-- Bound: a command for each hash on the way down: one up to some millions of keys, two up to a hundred millions; three
--   times as many where keys are forgotten.

-- Letters of an id: 80 bits, so among a billion keys a new one is taken for another with a chance of 1 in 10^15.
local ID_KEPT = 16
-- Letters that choose the first hash, and fields that one holds: fewer than any server's own limit.
local FIRST, MOST_FIELDS = 3, 100

local ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

-- All outcomes; each is a letter, by its place.
local OUTCOMES = 'applied held voided refunded created updated tokenized uploaded started deleted accepted cancelled'

local function past_key(generation, id, width) return P .. 'past:' .. generation .. string.sub(id, 1, width) end

local function look_in(generation, id)
  local field, width, left, owner, deeper = string.sub(id, FIRST + 1, ID_KEPT), FIRST, nil, nil, nil
  repeat
    local found, owned
    found, owned, deeper = unpack(redis.call('HMGET', past_key(generation, id, width), field, '@' .. field, '+'))
    left, owner, width = left or found, owner or owned, width + 1
  until not deeper
  return left, owner
end

-- What is left of the intent with this id, and the owner of the reference that is its key; nil or false for none.
local function past_of(id)
  local left, owner = look_in('', id)
  if not GENERATION then return left, owner end
  for _, generation in ipairs({ 'a:', 'b:' }) do
    local its_left, its_owner = look_in(generation, id)
    left, owner = left or its_left, owner or its_owner
  end
  return left, owner
end

-- Writes into the first hash with room. generation: '' for ever.
local function keep(generation, id, mark, value)
  local field, width = mark .. string.sub(id, FIRST + 1, ID_KEPT), FIRST
  local key = past_key(generation, id, width)
  while width < ID_KEPT and redis.call('HLEN', key) >= MOST_FIELDS do
    redis.call('HSET', key, '+', '')
    width = width + 1
    key = past_key(generation, id, width)
  end
  redis.call('HSET', key, field, value)
end

local function bytes_of(hex)
  return (string.gsub(hex, '%x%x', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function hex_of(bytes)
  return (string.gsub(bytes, '.', function(byte) return string.format('%02x', string.byte(byte)) end))
end

-- Ids of owners, five bits a letter: 17 bytes instead of 26.
local function id_packed(id)
  if not string.find(id, '^[a-z2-7]+$') or #id ~= 26 then return id end
  local bytes = {}
  for from = 1, #id, 8 do
    local letters, number = string.sub(id, from, from + 7), 0
    for letter in string.gmatch(letters, '.') do number = number * 32 + string.find(ALPHABET, letter, 1, true) - 1 end
    for place = #letters == 8 and 4 or 1, 0, -1 do
      bytes[#bytes + 1] = string.char(math.floor(number / 256 ^ place) % 256)
    end
  end
  return table.concat(bytes)
end

local function id_unpacked(packed)
  if #packed ~= 17 then return packed end
  local id = {}
  for from = 1, #packed, 5 do
    local bytes, number = string.sub(packed, from, from + 4), 0
    for place = 1, #bytes do number = number * 256 + string.byte(bytes, place) end
    for place = #bytes == 5 and 7 or 1, 0, -1 do
      local at = math.floor(number / 32 ^ place) % 32 + 1
      id[#id + 1] = string.sub(ALPHABET, at, at)
    end
  end
  return table.concat(id)
end

-- Hex digits of a fingerprint that are kept: 40 bits, so another payload under the same key is taken for a repeat once
-- in 10^12 times.
local FINGERPRINT_KEPT = 10

-- A letter for the outcome, five bytes of the fingerprint, and the main id. Those of the ledger are a word and a UUID:
-- 16 bytes and the word, where that is not txn, and the letter is a capital.
local function past_packed(fingerprint, outcome, txn)
  local letter, number, rest = outcome == '' and 'a' or 'z', 0, txn
  for name in string.gmatch(OUTCOMES, '%S+') do
    number = number + 1
    if name == outcome then letter = string.char(97 + number) end
  end
  if letter == 'z' then rest = outcome .. ' ' .. txn end
  local word, uuid = string.match(txn, '^(%l+)_(%x+%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x+)$')
  if uuid and letter ~= 'z' and #uuid == 36 and string.sub(uuid, 9, 9) == '-' and uuid == string.lower(uuid) then
    letter, rest = string.upper(letter), bytes_of((string.gsub(uuid, '-', ''))) .. (word == 'txn' and '' or word)
  end
  return letter .. bytes_of(string.sub(fingerprint, 1, FINGERPRINT_KEPT)) .. rest
end

-- Fingerprint (as far as it is kept), outcome and main id.
local function past_unpacked(left)
  local letter, fingerprint, rest = string.sub(left, 1, 1), hex_of(string.sub(left, 2, 6)), string.sub(left, 7)
  if letter == 'z' then return fingerprint, string.match(rest, '^(%S*) (.*)$') end
  local place, number, outcome = string.byte(string.lower(letter)) - 97, 0, ''
  for name in string.gmatch(OUTCOMES, '%S+') do
    number = number + 1
    if number == place then outcome = name end
  end
  if letter == string.lower(letter) then return fingerprint, outcome, rest end
  local hex, word = hex_of(string.sub(rest, 1, 16)), string.sub(rest, 17)
  local uuid = table.concat({ string.sub(hex, 1, 8), string.sub(hex, 9, 12), string.sub(hex, 13, 16),
    string.sub(hex, 17, 20), string.sub(hex, 21) }, '-')
  return fingerprint, outcome, (word == '' and 'txn' or word) .. '_' .. uuid
end
