-- A new webhook secret; the old one signs beside it for a while.
local tenant, secret, overlap_ms = unpack(ARGV)
redis.call('HSET', K.tenant(tenant), 'webhook_secret_before', redis.call('HGET', K.tenant(tenant), 'webhook_secret'),
  'before_until', whole(now_ms() + overlap_ms), 'webhook_secret', secret)
return secret
