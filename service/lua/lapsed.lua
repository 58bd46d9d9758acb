-- Members of a time-ordered set whose time has come.
local name, limit = unpack(ARGV)
return redis.call('ZRANGEBYSCORE', name, '-inf', whole(now_ms()), 'LIMIT', 0, limit)
