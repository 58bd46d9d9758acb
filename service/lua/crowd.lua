-- How many videos take turns on each worker of a pool that is busy, as a tenant finds it: tenants share alike, and so do
-- the videos of each. Below 1 where several work on one.
local tenant, pool = unpack(ARGV)

-- What the pool has of a total: as counted, or what is counted of no other.
local function part(counted, total, ...)
  local found = 0
  for _, name in ipairs(pools()) do
    for _, what in ipairs((name ~= '' and (pool == '' or pool == name)) and {...} or {}) do
      found = found + (redis.call('HGET', counted, what .. '|' .. name) or 0)
    end
  end
  return pool == '' and total - found or found
end

local ready, of_tenant = K.ready(at(pool)), K.in_pools(tenant)
local tenants = redis.call('ZCARD', ready)
if not redis.call('ZSCORE', ready, tenant) then tenants = tenants + 1 end
local own = math.max(1, part(of_tenant, redis.call('SCARD', K.live(tenant)), 'queued', 'in_progress'))
local own_busy = part(of_tenant, redis.call('SCARD', K.working(tenant)), 'working')
local busy = part(K.counts, redis.call('ZCARD', K.leases), 'working')
return tostring(math.max(own / math.max(1, own_busy), tenants * own / math.max(1, busy)))
