-- Forget a job in whatever state; its objects are put out for the sweep, after any worker has noticed. 2: others play
-- some of them, so they stay.
local tenant, id, lease_ms = unpack(ARGV)
if not owned(tenant, id) then return 0 end
local away = 0
if next(kept(id, 'working')) then away = 2 * lease_ms end
free(id)
dequeue(id)
if not is_terminal(get(id, 'state')) then give_back(id) end
count_job(id, get(id, 'state'), -1)
redis.call('ZREM', K.deadlines, id)
redis.call('ZREM', K.expiries, id)
redis.call('ZREM', K.litter, tenant .. '/' .. id)
redis.call('SREM', K.live(tenant), id)
redis.call('SREM', K.waiting(tenant), id)
redis.call('ZREM', K.jobs(tenant), id)
for _, row in ipairs(redis.call('SMEMBERS', K.rows(id))) do forget_row(tenant, row) end
redis.call('DEL', K.rows(id), K.job(id), K.committed(id), K.inherited(id), K.events(id))
fall_behind(tenant, id)
discard(tenant, id, away)
return redis.call('HEXISTS', K.kept, id) + 1
