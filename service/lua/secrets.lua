-- The secrets that sign a tenant's webhooks now, the newest first.
local tenant = unpack(ARGV)
local now, before, till = unpack(redis.call('HMGET', K.tenant(tenant), 'webhook_secret', 'webhook_secret_before',
  'before_until'))
if not now then return {} end
if before and tonumber(till) > now_ms() then return {now, before} end
return {now}
