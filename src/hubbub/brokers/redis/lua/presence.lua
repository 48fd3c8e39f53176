-- Who is where, in the channels of one bucket. Each call is one step.
-- KEYS: leases  sorted set of channel\0user\0session, each by when it ends (ms)
--       roster  sorted set of channel\0user, all with the same score, so that they stand in the order of their bytes
--       more    hash of channel\0user: how many devices beside the first; most users have no entry
--       gone    sorted set of channel\0user who left and of whom that was not told yet, by when the claim on telling it ends
--       ids     hash of the same: the departure's id, of which the first part is when it was (ms)
--       meta    hash: born (which life of the data this is), young (until when it is), swept (when somebody last swept),
--               settle (until when nobody may), count
--       left    set of channel\0user who left while the data was young
-- ARGV: what to do, and its arguments as below
local leases, roster, more, gone, ids, meta, left = unpack(KEYS)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local YOUNG, STALE = 60000, 600000

local function place_of(lease) return string.match(lease, '^(.*)%z[^%z]*$') end
local function channel_of(place) return string.match(place, '^([^%z]*)') end
local function users_in(channel)
  return redis.call('ZLEXCOUNT', roster, '[' .. channel .. '\0', '(' .. channel .. '\1')
end

-- Takes or renews a lease; tells whether the user had none.
local function enter(lease, ends)
  if redis.call('ZADD', leases, ends, lease) == 0 then return false end
  local place = place_of(lease)
  if redis.call('ZADD', roster, 0, place) == 0 then
    redis.call('HINCRBY', more, place, 1)
    return false
  end
  if redis.call('HDEL', ids, place) == 1 then redis.call('ZREM', gone, place) end
  return place
end

-- Gives a lease up; where it was the user's last, returns the departure's id, and it is told by whoever called.
local function leave(lease, claim)
  if redis.call('ZREM', leases, lease) == 0 then return false end
  local place = place_of(lease)
  if redis.call('HEXISTS', more, place) == 1 then
    if redis.call('HINCRBY', more, place, -1) == 0 then redis.call('HDEL', more, place) end
    return false
  end
  redis.call('ZREM', roster, place)
  local id = string.format('%.0f-%d', now, redis.call('HINCRBY', meta, 'count', 1))
  redis.call('ZADD', gone, now + claim, place)
  redis.call('HSET', ids, place, id)
  if now < tonumber(redis.call('HGET', meta, 'young') or 0) then
    redis.call('SADD', left, place)
    redis.call('PEXPIRE', left, YOUNG)
  end
  return id, place
end

local function birth()
  local born = redis.call('HGET', meta, 'born')
  if not born then
    born = clock[1] .. '.' .. clock[2]
    redis.call('HSET', meta, 'born', born, 'young', now + YOUNG)
  end
  return born
end

local steps = {}

-- ARGV: ms, lease. Returns whether it is the user's first, how many users there are, which life this is.
function steps.enter(ms, lease)
  local edge = enter(lease, now + ms)
  return {edge and 1 or 0, users_in(channel_of(lease)), birth()}
end

-- ARGV: claim (ms), lease. Returns the departure's id or nothing, how many users are left.
function steps.leave(claim, lease)
  local id = leave(lease, claim)
  return {id or '', users_in(channel_of(lease))}
end

-- ARGV: ms, leases. Returns the numbers of those that are not held.
function steps.renew(ms, ...)
  local asked, missing, renewed = {...}, {}, {}
  for index, ends in ipairs(redis.call('ZMSCORE', leases, ...)) do
    if ends then
      renewed[#renewed + 1] = now + ms
      renewed[#renewed + 1] = asked[index]
    else
      missing[#missing + 1] = index - 1
    end
  end
  if #renewed > 0 then redis.call('ZADD', leases, unpack(renewed)) end
  return missing
end

-- ARGV: ms, the life in which the leases were taken, leases. Returns which life this is, and place and number of users of each
-- arrival that is to be told: where the data was lost, nobody was told that they left.
function steps.restore(ms, known, ...)
  local born = birth()
  local arrived = {}
  for _, lease in ipairs({...}) do
    local place = enter(lease, now + ms)
    if place and (known == born or redis.call('SISMEMBER', left, place) == 1) then
      arrived[#arrived + 1] = {place, users_in(channel_of(place))}
    end
  end
  return {born, arrived}
end

-- ARGV: at most so many, claim (ms), away (ms), settle (ms).
-- Returns whether there may be more, and place, id and number of users of each departure that the caller has to tell.
function steps.expire(limit, claim, away, settle)
  limit = tonumber(limit)
  local known = redis.call('HMGET', meta, 'swept', 'settle')
  local since = now - (known[1] or now)
  if not known[1] or math.abs(since) >= 1000 then redis.call('HSET', meta, 'swept', now) end
  if math.abs(since) >= tonumber(away) then
    -- Nobody came here for a while: neither did those who would have renewed.
    redis.call('HSET', meta, 'settle', now + settle)
    return {0, {}}
  end
  if known[2] and now < tonumber(known[2]) then return {0, {}} end
  local changes = {}
  local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, limit)
  for _, lease in ipairs(over) do
    local id, place = leave(lease, claim)
    if id then changes[#changes + 1] = {place, id, users_in(channel_of(place))} end
  end
  -- What others were to tell, and did not.
  local untold = {}
  if #over < limit then untold = redis.call('ZRANGEBYSCORE', gone, '-inf', now, 'LIMIT', 0, limit - #over) end
  for _, place in ipairs(untold) do
    local id = redis.call('HGET', ids, place)
    if id and now - string.match(id, '^(%d+)') < STALE then
      redis.call('ZADD', gone, now + claim, place)
      changes[#changes + 1] = {place, id, users_in(channel_of(place))}
    else
      redis.call('ZREM', gone, place)
      redis.call('HDEL', ids, place)
    end
  end
  return {#over + #untold == limit and 1 or 0, changes}
end

-- ARGV: places and ids in turn. They were told.
function steps.told(...)
  local told = {...}
  for index = 1, #told, 2 do
    local place = told[index]
    if redis.call('HGET', ids, place) == told[index + 1] then
      redis.call('HDEL', ids, place)
      redis.call('ZREM', gone, place)
    end
  end
  return #told / 2
end

-- ARGV: claim (ms), places and ids in turn. They are about to be told.
function steps.keep(claim, ...)
  local kept = {...}
  for index = 1, #kept, 2 do
    local place = kept[index]
    if redis.call('HGET', ids, place) == kept[index + 1] then
      redis.call('ZADD', gone, now + claim, place)
    end
  end
  return #kept / 2
end

-- ARGV: channel, limit, the user after whom to begin ('' for the first). Returns places, one more than asked for, and how many
-- users there are.
function steps.roster(channel, limit, after)
  local users = users_in(channel)
  if limit == '0' then return {{}, users} end
  local first = after == '' and '[' or '('
  local page = redis.call(
    'ZRANGEBYLEX', roster, first .. channel .. '\0' .. after, '(' .. channel .. '\1', 'LIMIT', 0, limit + 1
  )
  return {page, users}
end

return steps[ARGV[1]](unpack(ARGV, 2))
