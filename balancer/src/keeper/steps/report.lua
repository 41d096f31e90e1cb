-- A node renews its lease. ARGV: name, incarnation, then as `hear`, ends that it has done, ends to tell at most.
-- Gives {0, number to confirm, {user, below, ...}}, or {1}: such a lease is not known, or {2}: a later start holds it.
local name, incarnation = ARGV[7], ARGV[8]
local node = load(name)
if not node or node.incarnation < incarnation then
    return { 1, '0', {} }
end
if node.incarnation > incarnation then
    return { 2, '0', {} }
end
hear(name, node, 9)
local said, done = tonumber(ARGV[14]), tonumber(redis.call('ZSCORE', DONE, name) or 0)
-- A number that it was not told is of an earlier lease.
if said > done and said <= node.told then
    done = said
    redis.call('ZADD', DONE, text(done), name)
end
local next = redis.call(
    'ZRANGEBYSCORE', ENDS, '(' .. text(done), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[15])
local told, number = {}, done
for at = 1, #next, 2 do
    local known = order(next[at])
    if known then
        told[#told + 1] = next[at]
        told[#told + 1] = known.below
    end
    number = tonumber(next[at + 1])
end
node.told = math.max(node.told, number)
save(name, node)
keep()
return { 0, text(number), told }
