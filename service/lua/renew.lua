-- The heartbeat: a longer lease, how far the unit is, and whether to go on.
local id, fence, lease_ms, step, steps, stage = unpack(ARGV)
if not holds(id, fence) then return get(id, 'state') == 'cancelled' and 'cancelled' or 'lost' end
redis.call('ZADD', K.leases, whole(now_ms() + lease_ms), lease_of(id, fence))
local working, own = kept(id, 'working'), position_of(id, fence)
if steps ~= '0' and (working[own].step ~= tonumber(step) or working[own].steps ~= tonumber(steps)) then
  working[own].step, working[own].steps = tonumber(step), tonumber(steps)
  keep(id, 'working', working)
  local begun = 0
  for _, work in pairs(working) do
    if work.steps then begun = begun + work.step / work.steps end
  end
  -- Only to those who listen: the next one makes it old, so there is nothing to keep.
  publish(id, {fields = {'type', 'video.progress', 'units_done', get(id, 'units_done'), 'frames', get(id, 'frames'),
    'at', whole(now_ms()), 'data', cjson.encode({stage = stage, step = tonumber(step), steps = tonumber(steps),
    begun = begun, units_total = tonumber(get(id, 'units_total'))})}})
end
if get(id, 'cancel_requested') then return 'cancelled' end
return 'held'
