-- The record in object storage is as it was here when it had that mark; what changed since has another.
local entry, mark = unpack(ARGV)
if redis.call('ZSCORE', K.unfiled, entry) == mark then redis.call('ZREM', K.unfiled, entry) end
return 1
