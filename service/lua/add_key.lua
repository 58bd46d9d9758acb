-- An API key, unless its id is taken (also by a revoked one).
local id, tenant, name, digest, scopes, lasts_ms = unpack(ARGV)
if redis.call('EXISTS', K.api_key(id)) == 1 then return 0 end
local now = now_ms()
redis.call('HSET', K.api_key(id), 'id', id, 'tenant', tenant, 'name', name, 'sha256', digest, 'scopes', scopes,
  'created_at', whole(now))
if lasts_ms ~= '' then redis.call('HSET', K.api_key(id), 'expires_at', whole(now + lasts_ms)) end
redis.call('ZADD', K.api_keys, 0, id)
fall_behind('house', 'tenants')
return 1
