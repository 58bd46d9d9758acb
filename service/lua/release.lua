-- Give a unit back undone; it was no attempt. A cancelled job ends here.
local id, fence, event_id = unpack(ARGV)
if not holds(id, fence) then return false end
redis.call('HINCRBY', K.job(id), 'attempts', -1)
if get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now_ms())
else
  free(id)
  enqueue(id, false)
end
return read(id)
