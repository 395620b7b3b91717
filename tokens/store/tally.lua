-- Takes places in sets of what counts, and of what is being checked ("?" before it); all of
-- them or none. Scores are the ends, in milliseconds of the server's clock.
-- KEYS of a place: the set, the set that frees from it, the count of guesses.
-- ARGV of one: member, most, lasting, counts, unless, known, guesses, window.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function freed(p)
  if p.unless == '0' then return false end
  redis.call('ZREMRANGEBYSCORE', p.free, '-inf', now)
  if p.known == '' then return redis.call('ZCARD', p.free) > 0 end
  return redis.call('ZSCORE', p.free, p.known) ~= false
end

-- look finds what counts, oldest first, and how many others there are.
local function look(p)
  redis.call('ZREMRANGEBYSCORE', p.set, '-inf', now)
  local list = redis.call('ZRANGE', p.set, 0, -1, 'WITHSCORES')
  local seen = {}
  p.ends, p.others, p.own = {}, 0, false
  for j = 1, #list, 2 do
    local name, counts = list[j], true
    if string.sub(name, 1, 1) == '?' then name, counts = string.sub(name, 2), false end
    if counts then p.ends[#p.ends + 1] = tonumber(list[j + 1]) end
    if name == p.member then
      p.own = p.own or counts
    elseif not seen[name] then
      seen[name] = true
      p.others = p.others + 1
    end
  end
end

-- guessed counts somebody who is told that a set is full, and reports whether they were told
-- so too often already.
local function guessed(p, known)
  if p.guesses == 0 then return false end
  if known then return tonumber(redis.call('GET', p.told) or '0') >= p.guesses end
  if not p.own and redis.call('INCR', p.told) == 1 then redis.call('PEXPIRE', p.told, p.window) end
  return false
end

local places, refused, wait = {}, 0, -1
for i = 1, #KEYS / 3 do
  local k, a = (i - 1) * 3, (i - 1) * 8
  local p = {set = KEYS[k + 1], free = KEYS[k + 2], told = KEYS[k + 3], member = ARGV[a + 1], most = tonumber(ARGV[a + 2]),
    lasting = tonumber(ARGV[a + 3]), counts = ARGV[a + 4] == '1', unless = ARGV[a + 5], known = ARGV[a + 6],
    guesses = tonumber(ARGV[a + 7]), window = tonumber(ARGV[a + 8])}
  look(p)
  local full, known = #p.ends >= p.most, freed(p)
  if (full or p.others >= p.most) and (not known or full and guessed(p, true)) then
    if full then guessed(p, known) end
    local left = 0
    if full then left = p.ends[#p.ends - p.most + 1] - now end
    if left > wait then refused, wait = i, left end
  elseif not known then
    places[#places + 1] = p
  end
end
if refused > 0 then return {refused, wait} end
for _, p in ipairs(places) do
  local name = p.member
  if not p.counts then name = '?' .. name end
  redis.call('ZADD', p.set, now + p.lasting, name)
  if redis.call('PTTL', p.set) < p.lasting then redis.call('PEXPIRE', p.set, p.lasting) end
end
return {0, 0}
