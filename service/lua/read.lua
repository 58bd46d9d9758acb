-- One job of a tenant, and its place in the tenant's queue (-1: in none).
local tenant, id = unpack(ARGV)
if not owned(tenant, id) then return false end
return {read(id), redis.call('ZRANK', queue_of(id), id) or -1}
