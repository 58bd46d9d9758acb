-- A new job, its place in the queue, its idempotency record and its quota, or nothing at all.
local id, tenant, record, units_total, model, priority = unpack(ARGV, 1, 6)
local deadline_ms, url, events, key, fingerprint, ttl_s, live_limit = unpack(ARGV, 7, 13)
local heritage = ARGV[14] ~= '' and cjson.decode(ARGV[14])
local num_frames, queue_limit, queued_limit, units_at_once, frames_limit = unpack(ARGV, 15, 19)
local video_ttl_ms, ready, waits, pool = tonumber(ARGV[20]), unpack(ARGV, 21, 23)
local now = now_ms()

if redis.call('EXISTS', K.job(id)) == 1 then return {'new', read(id)} end
local memory = K.idempotency(tenant, key)
if key ~= '' and redis.call('EXISTS', memory) == 1 then
  if redis.call('HGET', memory, 'fingerprint') ~= fingerprint then return {'mismatch'} end
  return {'replay', redis.call('HGETALL', memory)}
end
if heritage and not owned(tenant, heritage.parent) then return {'orphan'} end

-- Whether `more` beside `taken` is above a limit.
local function is_over(bound, taken, more) return bound > 0 and tonumber(taken or 0) + more > bound end

if is_over(tonumber(queue_limit), redis.call('HGET', K.counts, 'queued'), 1) then return {'busy'} end
live_limit = limit(tenant, 'live_jobs', live_limit)
if is_over(live_limit, redis.call('SCARD', K.live(tenant)), 1) then return {'live_jobs', live_limit} end
queued_limit = limit(tenant, 'queued_jobs', queued_limit)
if is_over(queued_limit, redis.call('SCARD', K.waiting(tenant)), 1) then return {'queued_jobs', queued_limit} end
frames_limit = limit(tenant, 'frames_per_day', frames_limit)
local spent, to_make = K.frames(tenant, day(now)), math.max(0, num_frames - (heritage and heritage.frames or 0))
if is_over(frames_limit, redis.call('GET', spent), to_make) then
  return {'frames_per_day', frames_limit, math.ceil(till_midnight_ms(now) / 1000)}
end

set(id, 'record', record, 'tenant', tenant, 'model', model, 'priority', priority, 'units_total', units_total,
  'created_at', whole(now), 'state', 'queued', 'units_done', 0, 'fence', 0, 'frames', 0,
  'num_frames', num_frames, 'ready', ready)
if pool ~= '' then
  set(id, 'pool', pool)
  redis.call('SADD', K.pools, pool)
end
if waits ~= '{}' then set(id, 'waits', waits) end
if url ~= '' then set(id, 'webhook_url', url, 'webhook_events', events) end
if video_ttl_ms > 0 then set(id, 'ttl_ms', whole(video_ttl_ms)) end
if deadline_ms ~= '' then redis.call('ZADD', K.deadlines, whole(now + deadline_ms), id) end
if heritage then inherit(id, heritage, now) end
redis.call('ZREM', K.trash, tenant .. '/' .. id)  -- it was expected
redis.call('ZADD', K.jobs(tenant), 0, id)
redis.call('SADD', K.live(tenant), id)
redis.call('SADD', K.waiting(tenant), id)
redis.call('INCRBY', spent, whole(to_make))
redis.call('EXPIRE', spent, 172800)
allow_at_once(tenant, units_at_once)
count_job(id, 'queued', 1)
enqueue(id, true)
fall_behind(tenant, id)
if key ~= '' then -- the job as it is answered now
  redis.call('HSET', memory, 'fingerprint', fingerprint, unpack(read(id)))
  redis.call('EXPIRE', memory, ttl_s)
end
return {'new', read(id)}
