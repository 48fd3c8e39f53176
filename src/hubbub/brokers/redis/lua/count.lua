-- Counts something in a window that begins with the first of it.
-- KEYS: count
-- ARGV: the window (ms)
-- Returns how many there were, and the milliseconds until the window ends.
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
