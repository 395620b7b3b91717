-- Keeps names to one owner at a time; all of them or none.
-- KEYS: the names. ARGV: what is wanted (take, renew, give), the owner, the term in milliseconds.
local want, owner, term = ARGV[1], ARGV[2], ARGV[3]
for _, name in ipairs(KEYS) do
  local holder = redis.call('GET', name)
  if holder ~= owner and (holder or want == 'renew') and want ~= 'give' then return 0 end
end
for _, name in ipairs(KEYS) do
  if want ~= 'give' then
    redis.call('SET', name, owner, 'PX', term)
  elseif redis.call('GET', name) == owner then
    redis.call('DEL', name)
  end
end
return 1
