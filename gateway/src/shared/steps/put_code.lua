-- Keeps a code's digest; an earlier one is void. KEYS: the subject. ARGV: digest, attempts, life in ms.
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'attempts', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
