-- One unit is done: its record, the progress, the events, and what comes next. False for a stale fence.
local id, fence, done, opens, stage, seconds, pace_now = unpack(ARGV, 1, 7)
local frames, artefacts, quality, chunk_event_id, end_event_id, chunk = unpack(ARGV, 8, 13)
local now = now_ms()

if not holds(id, fence) then
  -- The same commit again, because its answer was lost, is answered as the first time.
  return redis.call('LPOS', K.committed(id), done) and read(id)
end
local position = free(id, fence)[1]
count_attempt(id, position)
redis.call('RPUSH', K.committed(id), done)
redis.call('HINCRBYFLOAT', K.job(id), 'gpu_seconds', seconds)
local units_done = redis.call('HINCRBY', K.job(id), 'units_done', 1)
local paces = kept(id, 'paces')
paces[stage] = tonumber(pace_now)
keep(id, 'paces', paces)
if artefacts ~= '' then set(id, 'artefacts', artefacts) end
if quality ~= '' then set(id, 'quality', quality) end

local pace = get(id, 'model') .. '|' .. stage
local before = redis.call('HGET', K.pace, pace) or seconds
redis.call('HSET', K.pace, pace, string.format('%.4f', 0.7 * before + 0.3 * seconds))

-- Each unit that waited for this one waits for one less; {position, for how many it waits in all}.
local waits, opened = kept(id, 'waits'), {}
for _, after in ipairs(cjson.decode(opens)) do
  local at = whole(after[1])
  waits[at] = (waits[at] or after[2]) - 1
  if waits[at] == 0 then
    waits[at] = nil
    table.insert(opened, at)
  end
end
keep(id, 'waits', waits)
set(id, 'opened', #opened)
local ready = make_ready(id, opened)

if frames ~= '' then
  redis.call('HSETNX', K.job(id), 'first_frame_at', whole(now))
  set(id, 'frames', whole(math.max(get(id, 'frames'), frames)))
  tell(id, 'video.chunk.completed', chunk_event_id, now, chunk)
end
if units_done == tonumber(get(id, 'units_total')) then
  settle(id, 'completed', end_event_id, now)
elseif get(id, 'cancel_requested') then
  settle(id, 'cancelled', end_event_id, now)
elseif ready > 0 and not redis.call('ZSCORE', queue_of(id), id) then
  enqueue(id, true)
end
return read(id)
