-- An API key, unless its id is taken (also by a revoked one).
local id, tenant, name, digest = unpack(ARGV)
if redis.call('EXISTS', K.api_key(id)) == 1 then return 0 end
redis.call('HSET', K.api_key(id), 'id', id, 'tenant', tenant, 'name', name, 'sha256', digest,
  'created_at', whole(now_ms()))
redis.call('ZADD', K.api_keys, 0, id)
return 1
