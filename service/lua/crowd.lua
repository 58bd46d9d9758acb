-- How many videos take turns on each worker that is busy, as a tenant finds it: tenants share alike, and so do the
-- videos of each. Below 1 where several work on one.
local tenant = unpack(ARGV)
local tenants = redis.call('ZCARD', K.ready)
if not redis.call('ZSCORE', K.ready, tenant) then tenants = tenants + 1 end
local own = math.max(1, redis.call('SCARD', K.live(tenant)))
local busy, own_busy = redis.call('ZCARD', K.leases), redis.call('SCARD', K.working(tenant))
return tostring(math.max(own / math.max(1, own_busy), tenants * own / math.max(1, busy)))
