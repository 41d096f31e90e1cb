-- Ends sessions of a user below an epoch. ARGV: user, epoch, orders at most.
-- Gives the number of nodes that have not confirmed it, or -1: too many orders wait.
local user, below, max = ARGV[7], ARGV[8], tonumber(ARGV[9])
local known = order(user)
local number = known and known.below >= below and tonumber(redis.call('ZSCORE', ENDS, user))
if not number then
    if not known and redis.call('ZCARD', ENDS) >= max then
        -- Orders that are done are kept only for the sake of late tokens and of nodes that come back: room for those that
        -- are not done goes first.
        for _, done in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(done_by_all()))) do
            drop(done)
        end
        if redis.call('ZCARD', ENDS) >= max then
            return -1
        end
    end
    number = redis.call('HINCRBY', META, 'ends_last', 1)
    redis.call('ZADD', ENDS, number, user)
    redis.call('HSET', ORDERS, user, text(now) .. ' ' .. below)
end
keep()
return redis.call('ZCOUNT', DONE, '-inf', '(' .. text(number))
