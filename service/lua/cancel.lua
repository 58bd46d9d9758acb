-- Stop a job: at once where nobody works on it, else at the next heartbeat of a worker.
local tenant, id, event_id = unpack(ARGV)
if not owned(tenant, id) then return false end
if not is_terminal(get(id, 'state')) then
  if next(kept(id, 'working')) then
    set(id, 'cancel_requested', 1)
  else
    settle(id, 'cancelled', event_id, now_ms())
  end
end
return read(id)
