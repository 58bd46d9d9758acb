-- A unit went wrong: once more where that may help and attempts are left, else the job has failed.
local id, fence, code, message, retryable, unit_attempts, event_id, is_rejected, lease_ms = unpack(ARGV)
if not holds(id, fence) then return false end
if is_rejected == '1' then
  -- Whatever it showed so far is shown no more, also where it was cancelled meanwhile: before anyone is told.
  redis.call('DEL', K.committed(id), K.inherited(id))
  redis.call('HDEL', K.job(id), 'artefacts', 'quality')
  set(id, 'frames', 0)
  local freed = free(id)
  make_ready(id, freed)
  settle(id, 'failed', event_id, now_ms(), code, message)
  discard(get(id, 'tenant'), id, #freed > 1 and 2 * lease_ms or 0)  -- others of its workers may still be writing
elseif get(id, 'cancel_requested') then
  settle(id, 'cancelled', event_id, now_ms())
elseif retryable == '1' and attempts_at(id, position_of(id, fence)) < tonumber(unit_attempts) then
  give_up(id, fence)
else
  settle(id, 'failed', event_id, now_ms(), code, message)
end
return read(id)
