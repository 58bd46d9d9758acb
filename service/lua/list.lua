-- A page of a tenant's hashes in order of id. ARGV: index, kind of hash, after, limit, asc|desc.
local index, kind, after, limit, order = unpack(ARGV)
local ids
if order == 'asc' then
  ids = redis.call('ZRANGEBYLEX', index, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, limit)
else
  ids = redis.call('ZREVRANGEBYLEX', index, after == '' and '+' or '(' .. after, '-', 'LIMIT', 0, limit)
end
local rows = {}
for i, id in ipairs(ids) do rows[i] = {id, redis.call('HGETALL', K[kind](id))} end
return rows
