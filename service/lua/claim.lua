-- The next unit: the tenant with the smallest share, then priority, then age.
local worker, lease_ms, event_id = unpack(ARGV)
local tenant, share = unpack(redis.call('ZRANGE', K.ready, 0, 0, 'WITHSCORES'))
if not tenant then return false end
local id = redis.call('ZRANGE', K.queue(tenant), 0, 0)[1]
local now = now_ms()

redis.call('SET', K.clock, share)
redis.call('HSET', K.share, tenant, whole(share + 1))
redis.call('ZADD', K.ready, whole(share + 1), tenant)
redis.call('SADD', K.working(tenant), id)
dequeue(id)
redis.call('ZADD', K.leases, whole(now + lease_ms), id)
redis.call('HINCRBY', K.job(id), 'fence', 1)
redis.call('HINCRBY', K.job(id), 'attempts', 1)
set(id, 'worker', worker)
if get(id, 'state') == 'queued' then
  set(id, 'started_at', whole(now))
  change_state(id, 'in_progress')
  tell(id, 'video.in_progress', event_id, now)
end
return {id, read(id)}
