-- The steps that the transitions are made of. Times are milliseconds of the server's own clock.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function whole(number) return string.format('%d', number) end

local function get(id, field) return redis.call('HGET', K.job(id), field) end

local function set(id, ...) redis.call('HSET', K.job(id), ...) end

-- Days since 1970, in UTC, and what is left of the day.
local function day(ms) return whole(math.floor(ms / 86400000)) end

local function till_midnight_ms(ms) return 86400000 - ms % 86400000 end

local function read(id) return redis.call('HGETALL', K.job(id)) end

-- The job's record in object storage is behind what is here.
local function fall_behind(tenant, id) redis.call('ZADD', K.unfiled, redis.call('INCR', K.sequence), tenant .. '/' .. id) end

local function is_terminal(state)
  return state == 'completed' or state == 'failed' or state == 'cancelled'
end

-- The job of that tenant's, or nothing: a stranger's job looks like none.
local function owned(tenant, id) return get(id, 'tenant') == tenant end

-- A table that is kept as JSON in a field of a job.
local function kept(id, field) return cjson.decode(get(id, field) or '{}') end

local function keep(id, field, value) set(id, field, cjson.encode(value)) end

-- What has a lease: one claim of a job. Every claim of a job has a fence of its own.
local function lease_of(id, fence) return id .. '/' .. whole(fence) end

-- Does this claim still hold its unit?
local function holds(id, fence) return redis.call('ZSCORE', K.leases, lease_of(id, fence)) end

-- The unit that a claim holds.
local function position_of(id, fence)
  for position, work in pairs(kept(id, 'working')) do
    if work.fence == tonumber(fence) then return position end
  end
end

-- How often a unit was claimed and not given back.
local function attempts_at(id, position) return kept(id, 'attempts')[position] or 0 end

local function count_attempt(id, position, by)
  local attempts = kept(id, 'attempts')
  attempts[position] = by and (attempts[position] or 0) + by
  keep(id, 'attempts', attempts)
end

-- The pool whose workers make a job, '' where it has no name, and what a key of that pool's own ends in.
local function pool_of(id) return get(id, 'pool') or '' end
local function at(pool) return pool == '' and '' or ':' .. pool end

local function pools()
  local names = redis.call('SMEMBERS', K.pools)
  table.insert(names, '')
  return names
end

-- More or less of what a pool has, and of that what is the tenant's; the pool without a name has what no other has.
local function count_in_pool(id, what, by)
  local pool = pool_of(id)
  if pool == '' then return end
  redis.call('HINCRBY', K.counts, what .. '|' .. pool, by)
  redis.call('HINCRBY', K.in_pools(get(id, 'tenant')), what .. '|' .. pool, by)
end

local function count_job(id, state, by)
  redis.call('HINCRBY', K.counts, state, by)
  count_in_pool(id, state, by)
end

local function change_state(id, to)
  count_job(id, get(id, 'state'), -1)
  count_job(id, to, 1)
  redis.call('SREM', K.waiting(get(id, 'tenant')), id)
  set(id, 'state', to)
end

-- To whoever listens now; the channel is called as the stream is.
local function publish(id, fields) redis.call('PUBLISH', K.events(id), cjson.encode(fields)) end

-- Nothing more is posted of a webhook row, unless somebody asks; it can be looked up for 30 days.
local function settle_row(row, state)
  redis.call('HSET', K.delivery(row), 'state', state)
  redis.call('ZREM', K.due, row)
  redis.call('EXPIRE', K.delivery(row), 30 * 86400)
  redis.call('EXPIRE', K.attempts(row), 30 * 86400)
end

-- Something happened: into the job's event stream, to whoever listens, and a row for its webhook where it is wanted.
-- `data` is JSON of what there is to say of it.
local function tell(id, kind, event_id, now, data)
  local fields = {'id', event_id, 'type', kind, 'units_done', get(id, 'units_done'), 'frames', get(id, 'frames'),
    'at', whole(now), 'data', data or '{}'}
  local place = redis.call('XADD', K.events(id), 'MAXLEN', '~', 10000, '*', unpack(fields))
  publish(id, {place = place, fields = fields})
  local url, wanted = get(id, 'webhook_url'), get(id, 'webhook_events')
  if not url or not string.find(wanted, ' ' .. kind .. ' ', 1, true) then return end
  local tenant = get(id, 'tenant')
  redis.call('HSET', K.delivery(event_id), 'id', event_id, 'tenant', tenant, 'job_id', id, 'type', kind,
    'url', url, 'created_at', whole(now), 'state', 'pending', 'attempts', 0, 'job', cjson.encode(read(id)))
  redis.call('ZADD', K.deliveries(tenant), 0, event_id)
  redis.call('SADD', K.rows(id), event_id)
  if redis.call('SISMEMBER', K.disabled(tenant), url) == 1 then
    settle_row(event_id, 'disabled')
  else
    redis.call('ZADD', K.due, whole(now), event_id)
  end
end

-- The limit of that name for a tenant: its own, else the default. 0 is none.
local function limit(tenant, name, default)
  return tonumber(redis.call('HGET', K.limits(tenant), name) or default)
end

-- How many units of the tenant may be in work, kept where `line_up` finds it without the defaults.
local function allow_at_once(tenant, default)
  local at_once = limit(tenant, 'units_at_once', default)
  if at_once > 0 then redis.call('HSET', K.at_once, tenant, at_once) else redis.call('HDEL', K.at_once, tenant) end
end

-- A tenant is ready in a pool exactly while it has a unit to do there and may have one more in work. So a claim never
-- looks at one that is at its limit, and the others go on by their shares.
local function line_up(tenant)
  local at_once = tonumber(redis.call('HGET', K.at_once, tenant) or 0)
  local is_full = at_once > 0 and redis.call('SCARD', K.working(tenant)) >= at_once
  for _, pool in ipairs(pools()) do
    local ready = K.ready(at(pool))
    if is_full or redis.call('ZCARD', K.queue(tenant, at(pool))) == 0 then
      redis.call('ZREM', ready, tenant)
    elseif not redis.call('ZSCORE', ready, tenant) then
      -- A tenant that was away begins where the others are: absence is not saved up.
      local share = tonumber(redis.call('HGET', K.share, tenant .. at(pool)) or 0)
      local clock = tonumber(redis.call('GET', K.clock(at(pool))) or 0)
      redis.call('ZADD', ready, whole(math.max(share, clock)), tenant)
    end
  end
end

local function queue_of(id) return K.queue(get(id, 'tenant'), at(pool_of(id))) end

-- Give the job a place in its tenant's queue: higher priority first, then whoever has waited longest.
-- A fresh place is behind the others, so a short video runs between the units of a long one; a job that was
-- given back keeps its place.
local function enqueue(id, fresh)
  if fresh then set(id, 'place', redis.call('INCR', K.sequence)) end
  local score = (9 - get(id, 'priority')) * 2 ^ 43 + get(id, 'place')
  redis.call('ZADD', queue_of(id), string.format('%.0f', score), id)
  line_up(get(id, 'tenant'))
end

local function dequeue(id)
  redis.call('ZREM', queue_of(id), id)
  line_up(get(id, 'tenant'))
end

-- Units that can be claimed, in the order of the plan.
local function make_ready(id, positions)
  local ready = kept(id, 'ready')
  for _, position in ipairs(positions) do table.insert(ready, tonumber(position)) end
  table.sort(ready)
  keep(id, 'ready', ready)
  return #ready
end

-- A claim is over, or without a fence all of the job's: whatever its holder still writes is refused. Its unit.
local function free(id, fence)
  local tenant, working, freed = get(id, 'tenant'), kept(id, 'working'), {}
  for position, work in pairs(working) do
    if not fence or work.fence == tonumber(fence) then
      table.insert(freed, position)
      redis.call('ZREM', K.leases, lease_of(id, work.fence))
      redis.call('SREM', K.working(tenant), lease_of(id, work.fence))
      count_in_pool(id, 'working', -1)
    end
  end
  for _, position in ipairs(freed) do working[position] = nil end
  keep(id, 'working', working)
  line_up(tenant)
  return freed
end

-- The unit of a claim is to be done by another.
local function give_up(id, fence)
  make_ready(id, free(id, fence))
  enqueue(id, false)
end

-- Frames that will never be made do not count against the day on which they were ordered.
local function give_back(id)
  local never = tonumber(get(id, 'num_frames') or 0) - tonumber(get(id, 'frames'))
  local spent = K.frames(get(id, 'tenant'), day(get(id, 'created_at')))
  if never > 0 and redis.call('EXISTS', spent) == 1 then redis.call('DECRBY', spent, whole(never)) end
end

-- The webhook row of a job that is gone; one that is still to be posted goes after that.
local function forget_row(tenant, row)
  if redis.call('HGET', K.delivery(row), 'state') == 'pending' then
    redis.call('HSET', K.delivery(row), 'is_orphan', 1)
  else
    redis.call('DEL', K.delivery(row), K.attempts(row))
    redis.call('ZREM', K.deliveries(tenant), row)
  end
end

-- The only way into a terminal state; the webhook row is written with it.
local function settle(id, state, event_id, now, code, message)
  make_ready(id, free(id))
  dequeue(id)
  redis.call('ZREM', K.deadlines, id)
  redis.call('SREM', K.live(get(id, 'tenant')), id)
  redis.call('HDEL', K.job(id), 'cancel_requested', 'waits', 'attempts')
  redis.call('HINCRBY', K.outcomes, state .. '|' .. get(id, 'model'), 1)
  -- What was rejected for what it showed gives nothing back: its frames were made.
  if state ~= 'completed' and code ~= 'policy_refused' then give_back(id) end
  if code then set(id, 'error', cjson.encode({code = code, message = message})) end
  set(id, 'completed_at', whole(now))
  local ttl_ms = get(id, 'ttl_ms')
  if ttl_ms then
    set(id, 'expires_at', whole(now + ttl_ms))
    redis.call('ZADD', K.expiries, whole(now + ttl_ms), id)
  end
  -- Not every claim was committed: whoever lost one may have left objects.
  if tonumber(get(id, 'fence')) > tonumber(get(id, 'units_done')) then
    redis.call('ZADD', K.litter, whole(now), get(id, 'tenant') .. '/' .. id)
  end
  change_state(id, state)
  fall_behind(get(id, 'tenant'), id)
  tell(id, 'video.' .. state, event_id, now)
end

-- What a job shares with its parent: it is there at once, and its owners' objects stay while this job plays them.
local function inherit(id, heritage, now)
  for _, unit in ipairs(heritage.units) do redis.call('RPUSH', K.inherited(id), unit) end
  for _, owner in ipairs(heritage.owners) do
    redis.call('SADD', K.borrowers(owner), id)
    redis.call('SADD', K.borrows(id), owner)
  end
  if heritage.frames > 0 then set(id, 'frames', whole(heritage.frames), 'first_frame_at', whole(now)) end
end

-- The objects of a job are to go, after `away` ms: now, or when the last job that plays them is gone too.
local function discard(tenant, id, away)
  if redis.call('SCARD', K.borrowers(id)) > 0 then
    redis.call('HSET', K.kept, id, tenant)
  else
    redis.call('ZADD', K.trash, whole(now_ms() + away), tenant .. '/' .. id)
  end
end
