-- Limits of one tenant: names and values, where '' is the default again. Units that wait may begin at once.
local tenant, units_at_once = unpack(ARGV, 1, 2)
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', K.limits(tenant), ARGV[i])
  else
    redis.call('HSET', K.limits(tenant), ARGV[i], ARGV[i + 1])
  end
end
allow_at_once(tenant, units_at_once)
line_up(tenant)
fall_behind('house', 'tenants')
return 1
