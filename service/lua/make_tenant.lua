-- The tenant of that name; made now where there is none.
local name, id, secret = unpack(ARGV)
local known = redis.call('HGET', K.tenants, name)
if known then return known end
redis.call('HSET', K.tenants, name, id)
redis.call('HSET', K.tenant(id), 'name', name, 'webhook_secret', secret)
fall_behind('house', 'tenants')
return id
