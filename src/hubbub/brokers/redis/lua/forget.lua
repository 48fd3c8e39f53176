-- Keeps idempotency keys of one channel no longer than so many milliseconds from now; those that go before stay as they are.
-- KEYS: the keys
-- ARGV: milliseconds
-- Returns how many are kept for a shorter time now.
local count = 0
for _, key in ipairs(KEYS) do count = count + redis.call('PEXPIRE', key, ARGV[1], 'LT') end
return count
