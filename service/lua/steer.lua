-- Other prompts for the part of a job that nobody has begun. 'moved' where more has begun since it was looked at.
local tenant, id, units_done, fence, prompts = unpack(ARGV)
if not owned(tenant, id) then return false end
if is_terminal(get(id, 'state')) or get(id, 'units_done') ~= units_done or get(id, 'fence') ~= fence then return 'moved' end
set(id, 'prompts', prompts)
fall_behind(tenant, id)
return read(id)
