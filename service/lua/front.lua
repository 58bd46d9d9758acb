-- Where the work of a job stands, as worked out by who wants to claim it: new to a store that was rebuilt, and to one
-- that an older release left. Nothing where another has told it meanwhile.
local id, units_done, ready, waits = unpack(ARGV)
if get(id, 'ready') or get(id, 'units_done') ~= units_done then return 0 end
redis.call('HDEL', K.job(id), 'attempts', 'worker', 'step', 'steps')  -- as older releases kept them
set(id, 'ready', ready, 'waits', waits)
return 1
