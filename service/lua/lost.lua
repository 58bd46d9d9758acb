-- A claim was lost, and its holder may have stored something since: at a job's end that is looked for once more, and where
-- the job is gone, all of it. While a job is in work nothing is touched, for others write under fences of their own.
local tenant, id = unpack(ARGV)
local state = get(id, 'state')
if not state then
  discard(tenant, id, 0)
elseif is_terminal(state) then
  redis.call('ZADD', K.litter, whole(now_ms()), tenant .. '/' .. id)
end
return 1
