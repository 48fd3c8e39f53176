-- Writes and publishes in one step, as a publication does: what refuses the one refuses the other.
-- KEYS: something that nobody reads
-- ARGV: the words, channel
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
return redis.call('SPUBLISH', ARGV[2], ARGV[1])
