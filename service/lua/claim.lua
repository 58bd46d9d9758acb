-- The next unit of a pool: the tenant with the smallest share, then priority, then age, then the order of the plan.
-- {id, job, position, attempt}; position -1 where the front of the job's work is not known: `front` tells it.
local worker, lease_ms, event_id, pool = unpack(ARGV)
local tenant, share = unpack(redis.call('ZRANGE', K.ready(at(pool)), 0, 0, 'WITHSCORES'))
if not tenant then return false end
local id = redis.call('ZRANGE', K.queue(tenant, at(pool)), 0, 0)[1]
local now = now_ms()

redis.call('SET', K.clock(at(pool)), share)
redis.call('HSET', K.share, tenant .. at(pool), whole(share + 1))
redis.call('ZADD', K.ready(at(pool)), whole(share + 1), tenant)
if not get(id, 'ready') then return {id, read(id), -1, 0} end

local ready, working = kept(id, 'ready'), kept(id, 'working')
local position = whole(table.remove(ready, 1))
local fence = redis.call('HINCRBY', K.job(id), 'fence', 1)
working[position] = {fence = fence, worker = worker}
keep(id, 'ready', ready)
keep(id, 'working', working)
count_attempt(id, position, 1)
redis.call('ZADD', K.leases, whole(now + lease_ms), lease_of(id, fence))
redis.call('SADD', K.working(tenant), lease_of(id, fence))
count_in_pool(id, 'working', 1)
if #ready > 0 then enqueue(id, true) else dequeue(id) end
if get(id, 'state') == 'queued' then
  set(id, 'started_at', whole(now))
  change_state(id, 'in_progress')
  tell(id, 'video.in_progress', event_id, now)
end
return {id, read(id), tonumber(position), attempts_at(id, position)}
