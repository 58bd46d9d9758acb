-- A unit went wrong: once more where that may help and attempts are left, else the job has failed.
local id, fence, code, message, retryable, unit_attempts, event_id = unpack(ARGV)
if not holds(id, fence) then return false end
if get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now_ms())
elseif retryable == '1' and tonumber(get(id, 'attempts')) < tonumber(unit_attempts) then
  free(id)
  enqueue(id, false)
else
  settle(id, 'failed', event_id, now_ms(), code, message)
end
return read(id)
