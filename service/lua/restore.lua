-- A job as it was filed, in a store that lost it: one that has ended is as it was, any other waits for a worker, who has
-- what was committed by then. Its fences begin far above those that workers may still hold. 0: it is there.
local id, dumped, deadline_ms, event_id = unpack(ARGV)
if redis.call('EXISTS', K.job(id)) == 1 then return 0 end
local told = cjson.decode(dumped)
for name, value in pairs(told.job) do set(id, name, value) end
for _, unit in ipairs(told.inherited) do redis.call('RPUSH', K.inherited(id), unit) end
for _, unit in ipairs(told.committed) do redis.call('RPUSH', K.committed(id), unit) end
for _, owner in ipairs(told.borrows) do
  redis.call('SADD', K.borrowers(owner), id)
  redis.call('SADD', K.borrows(id), owner)
end
local tenant, now = get(id, 'tenant'), now_ms()
if pool_of(id) ~= '' then redis.call('SADD', K.pools, pool_of(id)) end
redis.call('ZADD', K.jobs(tenant), 0, id)
if is_terminal(get(id, 'state')) then
  count_job(id, get(id, 'state'), 1)
  if get(id, 'expires_at') then redis.call('ZADD', K.expiries, get(id, 'expires_at'), id) end
  redis.call('HDEL', K.job(id), 'webhook_url')  -- it was told, or is not: nobody knows any more
  tell(id, 'video.' .. get(id, 'state'), event_id, now)
else
  redis.call('HDEL', K.job(id), 'ready', 'working', 'waits', 'attempts')  -- who claims it works it out
  set(id, 'state', 'queued', 'units_done', #told.committed, 'fence', whole(get(id, 'fence') + 1000000))
  count_job(id, 'queued', 1)
  redis.call('SADD', K.live(tenant), id)
  redis.call('SADD', K.waiting(tenant), id)
  if deadline_ms ~= '' then redis.call('ZADD', K.deadlines, deadline_ms, id) end
  enqueue(id, true)
end
return 1
