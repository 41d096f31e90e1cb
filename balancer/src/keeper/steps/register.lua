-- A node takes a lease. ARGV: name, incarnation, about it, capacity, then as `hear`, whether it returns, nodes at most.
-- Gives 0, or 1: a later start holds it, or 2: too many.
local name, incarnation = ARGV[7], ARGV[8]
local node = load(name)
if node and node.incarnation > incarnation then
    return 1
end
if not node and redis.call('ZCARD', LEASES) >= tonumber(ARGV[17]) then
    return 2
end
if ARGV[16] == '1' then
    redis.call('HSET', META, 'restarted', '1')
end
if not node or node.incarnation ~= incarnation then
    -- Of an earlier start nothing is kept: tokens for it are worthless, and so are the places promised there.
    redis.call('HDEL', HELD, name)
    node = { incarnation = incarnation, held = 0, due = 0, logins = 0, draining = false }
end
hear(name, node, 11)
node.capacity = tonumber(ARGV[10])
-- It may have missed what other nodes have confirmed meanwhile.
node.told = 0
redis.call('ZADD', DONE, 0, name)
redis.call('HSET', ABOUT, name, ARGV[9])
save(name, node)
keep()
return 0
