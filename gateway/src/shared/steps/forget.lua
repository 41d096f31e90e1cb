-- Forgets a subject, or uses up a code. KEYS: it. Gives 1 if there was one: of two at the same time one is told so.
return redis.call('DEL', KEYS[1])
