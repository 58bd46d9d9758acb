-- A deadline has passed: the job has failed, whoever works on it.
local id, event_id = unpack(ARGV)
local now = now_ms()
local deadline = redis.call('ZSCORE', K.deadlines, id)
if not deadline or tonumber(deadline) > now then return 0 end
settle(id, 'failed', event_id, now, 'deadline_exceeded', 'The video was not done before its deadline.')
return 1
