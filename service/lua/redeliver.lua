-- Post a row again from the start of its schedule, also to a receiver that had been disabled.
local tenant, id = unpack(ARGV)
if redis.call('HGET', K.delivery(id), 'tenant') ~= tenant then return false end
redis.call('HSET', K.delivery(id), 'state', 'pending', 'attempts', 0)
redis.call('SREM', K.disabled(tenant), redis.call('HGET', K.delivery(id), 'url'))
redis.call('ZADD', K.due, whole(now_ms()), id)
redis.call('PERSIST', K.delivery(id))
redis.call('PERSIST', K.attempts(id))
return redis.call('HGETALL', K.delivery(id))
