-- The heartbeat: a longer lease, and whether to go on.
local id, fence, lease_ms = unpack(ARGV)
if not holds(id, fence) then return 'lost' end
redis.call('ZADD', K.leases, whole(now_ms() + lease_ms), id)
if get(id, 'cancel_requested') then return 'cancelled' end
return 'held'
