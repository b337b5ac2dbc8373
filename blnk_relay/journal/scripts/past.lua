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

-- The number that some letters of an id are, five bits each; and back.
local function letters_as_number(id, from, till)
  local number = 0
  for place = from, till do
    local byte = string.byte(id, place)
    number = number * 32 + (byte >= 97 and byte - 97 or byte - 24)
  end
  return number
end

local function letters_of(number, width)
  local letters = ''
  for _ = 1, width do
    local place = number % 32 + 1
    letters, number = string.sub(ALPHABET, place, place) .. letters, math.floor(number / 32)
  end
  return letters
end

-- Ids of owners: 17 bytes instead of 26 letters.
local OWNER = '>I5I5I5I2'

local function id_packed(id)
  return struct.pack(OWNER, letters_as_number(id, 1, 8), letters_as_number(id, 9, 16), letters_as_number(id, 17, 24),
    letters_as_number(id, 25, 26))
end

local function id_unpacked(packed)
  local first, second, third, last = struct.unpack(OWNER, packed)
  return letters_of(first, 8) .. letters_of(second, 8) .. letters_of(third, 8) .. letters_of(last, 2)
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
