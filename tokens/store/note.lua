-- Says what became of things that were being checked.
-- KEYS of a note: the set. ARGV of one: member, what became of it, lasting in milliseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 1, #KEYS do
  local set, a = KEYS[i], (i - 1) * 3
  local member, became, lasting = ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
  redis.call('ZREM', set, '?' .. member)
  if became == 'counts' then
    redis.call('ZADD', set, 'NX', now + lasting, member)
  elseif became == 'again' then
    redis.call('ZADD', set, now + lasting, member)
  elseif became == 'good' then
    redis.call('ZREM', set, member)
  elseif became == 'last' then
    redis.call('DEL', set)
    redis.call('ZADD', set, now + lasting, member)
  elseif became == 'not known' then
    local score = redis.call('ZSCORE', set, member)
    if score then
      redis.call('ZADD', set, score, '-') -- first, as an empty set would be gone with its end
      redis.call('ZREM', set, member)
    end
  end
  if lasting > 0 and redis.call('PTTL', set) < lasting then redis.call('PEXPIRE', set, lasting) end
end
return 0
