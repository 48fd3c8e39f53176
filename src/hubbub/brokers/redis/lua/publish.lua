-- Gives a publication its place, keeps it, and hands it to every subscriber, in one step.
-- KEYS: meta, stream[, idempotency]
-- ARGV: payload, id, size, ttl (ms), an epoch should one be needed, milliseconds for the idempotency key, channel
-- The channel is no key: one that is missing would have a cluster that moves the slot put off everything.
-- Returns epoch, offset, id, and whether it is new.
-- Where somebody else wrote to these keys, what they hold is given up, and a new epoch says so.
local meta, stream, once, channel = KEYS[1], KEYS[2], KEYS[3], ARGV[7]
local payload, id, size, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function is_foreign(answer)
  local problem = type(answer) == 'table' and answer.err
  return problem and (string.find(problem, 'WRONGTYPE', 1, true) or string.find(problem, 'equal or smaller', 1, true))
end

if once then
  local seen = redis.pcall('GET', once)
  if type(seen) == 'string' then
    local epoch, offset, first = string.match(seen, '^(%w*):(%d+):(.*)$')
    if epoch then return {epoch, tonumber(offset), first, 0} end
  end
end
local epoch, offset = '', 0
if size > 0 then
  local known = redis.pcall('HMGET', meta, 'epoch', 'top', 'id')
  if is_foreign(known) then
    redis.call('DEL', meta)
    known = {}
  end
  epoch, offset = known[1], tonumber(known[2])
  if not (epoch and offset) then
    epoch, offset = ARGV[5], 0
    redis.call('DEL', stream)
  elseif offset > 0 and redis.call('EXISTS', stream) == 0 then
    -- Everything before has aged away; who has read it all is known by this.
    redis.call('HSET', meta, 'edge', offset .. ':' .. (known[3] or ''))
  end
  offset = offset + 1
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  -- One more than is asked for: its id proves where a reader stopped who has read everything up to what is kept.
  local function keep()
    return redis.pcall('XADD', stream, 'MAXLEN', '~', size + 1, offset .. '-0', 'p', payload, 'i', id, 'a', now)
  end
  local kept = keep()
  if is_foreign(kept) then
    redis.call('DEL', stream)
    epoch = ARGV[5]
    redis.call('HSET', meta, 'began', offset - 1)
    kept = keep()
  end
  if type(kept) == 'table' and kept.err then return kept end
  redis.call('HSET', meta, 'epoch', epoch, 'top', offset, 'id', id, 'size', size, 'ttl', ttl)
  redis.call('PEXPIRE', stream, ttl)
  redis.call('PEXPIRE', meta, math.max(2 * ttl, 86400000))
  if offset % 64 == 0 then
    -- Of what has aged away the newest stays, as above; a few at a time, for each is a whole publication.
    local last
    repeat
      local old = redis.call('XRANGE', stream, last and '(' .. last or '-', '+', 'COUNT', 8)
      local count = #old
      for _, entry in ipairs(old) do
        if tonumber(entry[2][6]) + ttl > now then
          count = 0
          break
        end
        last = entry[1]
      end
    until count < 8
    if last then redis.call('XTRIM', stream, 'MINID', last) end
  end
end
if once then
  redis.call('SET', once, epoch .. ':' .. offset .. ':' .. id, 'PX', ARGV[6])
end
redis.call('SPUBLISH', channel, epoch .. ':' .. offset .. ':' .. payload)
return {epoch, offset, id, 1}
