-- Give a unit back undone; it was no attempt. A cancelled job ends here.
local id, fence, event_id = unpack(ARGV)
if not holds(id, fence) then return false end
count_attempt(id, position_of(id, fence), -1)
if get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now_ms())
else
  give_up(id, fence)
end
return read(id)
