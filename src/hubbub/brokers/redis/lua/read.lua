-- Reads where a stream stands and, of what is kept, a range; as one step.
-- KEYS: meta, stream
-- ARGV: 'since', epoch, offset, id ('' where it is not known), an epoch should one be needed
--    or 'before', offset (0: the end), limit, '', an epoch should one be needed
-- Returns epoch, top, id of the top, where the epoch began, whether it is whole, first offset, payloads.
-- Where somebody else wrote to these keys, what they hold is given up, and a new epoch says so.
local meta, stream = KEYS[1], KEYS[2]
local known = redis.pcall('HMGET', meta, 'epoch', 'top', 'id', 'size', 'ttl', 'began', 'edge')
if known.err then
  if not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
  redis.call('DEL', meta)
  known = {}
end
local epoch, top = known[1], tonumber(known[2])
if not (epoch and top) then
  -- Nobody has published yet, and who reads shall know the first publication from one of another life.
  epoch, top = ARGV[5], 0
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'epoch', epoch, 'top', 0)
  -- Not for long: anybody may ask for any name. Nodes that have readers see to it that it stays.
  redis.call('PEXPIRE', meta, 600000)
end
local last_id, size, ttl = known[3] or '', tonumber(known[4] or 0), tonumber(known[5] or 0)
local began = tonumber(known[6] or 0)
local clock = redis.call('TIME')
local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - ttl

local function kept(entry)
  return tonumber(entry[2][6]) > oldest
end

local function offset_of(entry)
  return tonumber(string.match(entry[1], '^(%d+)'))
end

local function answer(whole, first, entries)
  local payloads = {}
  for index, entry in ipairs(entries) do payloads[index] = entry[2][2] end
  return {epoch, top, last_id, began, whole, first, payloads}
end

-- The entries from one offset to another, or nothing where some of them are none of ours.
local function range(first, last)
  local entries = redis.pcall('XRANGE', stream, first .. '-0', last .. '-0')
  local is_foreign = entries.err and string.find(entries.err, 'WRONGTYPE', 1, true)
  if entries.err and not is_foreign then error(entries) end
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    is_foreign = is_foreign or #fields ~= 6 or fields[1] ~= 'p' or not tonumber(fields[6])
  end
  if not is_foreign then return entries end
  redis.call('DEL', stream)
  epoch, began = ARGV[5], top
  redis.call('HSET', meta, 'epoch', epoch, 'began', began)
end

if ARGV[1] == 'since' then
  local since, id = tonumber(ARGV[3]), ARGV[4]
  if ARGV[2] ~= epoch or since > top or since < began then return answer(0, 0, {}) end
  if since == top then
    if id ~= '' and id ~= last_id then return answer(0, 0, {}) end
    return answer(1, 0, {})
  end
  if since < top - size then return answer(0, 0, {}) end
  local entries = range(since, top)
  if not entries then return answer(0, 0, {}) end
  if #entries > 0 and offset_of(entries[1]) == since then
    local before = table.remove(entries, 1)
    if id ~= '' and id ~= before[2][4] then return answer(0, 0, {}) end
  elseif id ~= '' and known[7] ~= since .. ':' .. id then
    return answer(0, 0, {})
  end
  if #entries ~= top - since or not kept(entries[1]) then return answer(0, 0, {}) end
  return answer(1, since + 1, entries)
end

local before, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local last = top
if before > 0 then last = math.min(top, before - 1) end
local first = math.max(last - limit + 1, top - size + 1, 1)
if limit <= 0 or last < first then return answer(1, 0, {}) end
local entries = range(first, last)
if not entries then return answer(1, 0, {}) end
while #entries > 0 and not kept(entries[1]) do table.remove(entries, 1) end
if #entries > 0 then first = offset_of(entries[1]) end
return answer(1, first, entries)
