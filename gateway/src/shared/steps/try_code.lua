-- Compares a digest with the one that is kept. KEYS: the subject. ARGV: digest.
-- Gives 0: it is the one, 1: it is another one, which uses up an attempt, 2: none is kept, or none any more.
local code = redis.call('HMGET', KEYS[1], 'digest', 'attempts')
if not code[1] or tonumber(code[2]) <= 0 then
    return 2
end
if code[1] == ARGV[1] then
    return 0
end
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
return 1
