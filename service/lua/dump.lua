-- All that is kept of a job but its events: its hash, and the units and owners that it shares. False where it is gone.
local id = unpack(ARGV)
if redis.call('EXISTS', K.job(id)) == 0 then return false end
return {read(id), redis.call('LRANGE', K.inherited(id), 0, -1), redis.call('LRANGE', K.committed(id), 0, -1),
  redis.call('SMEMBERS', K.borrows(id))}
