-- The key is refused from now on; its record stays.
local id = unpack(ARGV)
if redis.call('EXISTS', K.api_key(id)) == 0 then return 0 end
redis.call('HSETNX', K.api_key(id), 'revoked_at', whole(now_ms()))
fall_behind('house', 'tenants')
return 1
