"""Time that passes for what is in a Redis: its own clock cannot be moved, so everything kept there is made older."""

from redis_servers import RedisServer

AGE = """
local by = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key)['ok']
  local left = redis.call('PTTL', key)
  if kind == 'stream' then
    local entries = redis.call('XRANGE', key, '-', '+')
    redis.call('DEL', key)
    for _, entry in ipairs(entries) do
      entry[2][6] = tonumber(entry[2][6]) - by
      redis.call('XADD', key, entry[1], unpack(entry[2]))
    end
  elseif kind == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      if tonumber(redis.call('ZSCORE', key, member)) > 1e12 then redis.call('ZINCRBY', key, -by, member) end
    end
  end
  if left > 0 then
    if left > by then redis.call('PEXPIRE', key, left - by) else redis.call('DEL', key) end
  end
end
"""


async def age(seconds: float, *servers: RedisServer) -> None:
    """Make everything that these servers keep older; members of sorted sets whose scores are milliseconds too."""
    for server in servers:
        await server.cli("EVAL", AGE, 0, int(seconds * 1000))
