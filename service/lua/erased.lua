-- The objects of a deleted job are gone; those that it alone still played may go as well.
local tenant, id = unpack(ARGV)
redis.call('ZREM', K.trash, tenant .. '/' .. id)
redis.call('ZREM', K.unfiled, tenant .. '/' .. id)  -- its record went with them
for _, owner in ipairs(redis.call('SMEMBERS', K.borrows(id))) do
  redis.call('SREM', K.borrowers(owner), id)
  local kept_for = redis.call('HGET', K.kept, owner)
  if kept_for and redis.call('SCARD', K.borrowers(owner)) == 0 then
    redis.call('HDEL', K.kept, owner)
    discard(kept_for, owner, 0)
  end
end
redis.call('DEL', K.borrows(id))
return 1
