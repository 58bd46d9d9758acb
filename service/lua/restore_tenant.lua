-- The tenant of that name has that id again, whatever it had since; a secret is made where it has none.
local name, id, secret = unpack(ARGV)
redis.call('HSET', K.tenants, name, id)
redis.call('HSET', K.tenant(id), 'name', name)
redis.call('HSETNX', K.tenant(id), 'webhook_secret', secret)
return 1
