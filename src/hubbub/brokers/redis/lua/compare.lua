-- Holds what a node saw of a stream against what this server knows; begins a new epoch where the server knows less.
-- KEYS: meta, stream
-- ARGV: epoch, offset and id that the node saw, an epoch should one be needed
-- Returns 1 where something was lost.
local known = redis.pcall('HMGET', KEYS[1], 'epoch', 'top', 'id')
if known.err then
  if not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
  redis.call('DEL', KEYS[1])  -- somebody else wrote to it
  known = {}
end
local top, offset = tonumber(known[2]) or 0, tonumber(ARGV[2])
-- No epoch: whoever reads or publishes next begins one. A later one: others found out, or it was empty for a while.
if not known[1] or known[1] > ARGV[1] then return 0 end
local began = top
if known[1] == ARGV[1] and top >= offset then
  local id = known[3]
  if top > offset then
    local entries = redis.pcall('XRANGE', KEYS[2], offset .. '-0', offset .. '-0')
    id = entries[1] and entries[1][2][4] or ARGV[3]
    if entries.err then id = '' end
  end
  if id == ARGV[3] then return 0 end
  began = offset - 1
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'began', began)
return 1
