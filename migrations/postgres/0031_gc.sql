-- Room: inventory

-- When a client last pushed what was there already: it may be about to refer to it.
alter table artifacts add column pushed_again_ms bigint;
