-- A lease ran out: the worker is gone. Back to the queue while attempts are left.
local id, unit_attempts, event_id = unpack(ARGV)
local now = now_ms()
local lease = redis.call('ZSCORE', K.leases, id)
if not lease or tonumber(lease) > now then return 0 end
redis.call('INCR', K.losses)
if get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now)
elseif tonumber(get(id, 'attempts')) >= tonumber(unit_attempts) then
  settle(id, 'failed', event_id, now, 'worker_lost',
    'The worker was lost ' .. unit_attempts .. ' times at the same part of the video.')
else
  free(id)
  enqueue(id, false)
end
return 1
