-- A lease ran out: the worker is gone. Back to the queue while attempts are left.
local lease, unit_attempts, event_id = unpack(ARGV)
local now = now_ms()
local till = redis.call('ZSCORE', K.leases, lease)
if not till or tonumber(till) > now then return 0 end
redis.call('INCR', K.losses)
local id, fence = string.match(lease, '^(.*)/(%d+)$')
if not id then  -- of an older release, in which one unit of a job was in work at most
  id = lease
  redis.call('ZREM', K.leases, id)
  redis.call('SREM', K.working(get(id, 'tenant')), id)
end
if get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now)
elseif fence and attempts_at(id, position_of(id, fence)) >= tonumber(unit_attempts) then
  settle(id, 'failed', event_id, now, 'worker_lost',
    'The worker was lost ' .. unit_attempts .. ' times at the same part of the video.')
elseif fence then
  give_up(id, fence)
else
  enqueue(id, false)
end
return 1
