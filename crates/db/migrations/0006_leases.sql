-- Who acts on this database. Times are the database's own, in nanoseconds since 1970; ttl in nanoseconds.
CREATE TABLE leases (
  name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  beat BIGINT NOT NULL,
  ttl BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  about TEXT NOT NULL
);
-- The holder of the lease under which the run was taken on last.
ALTER TABLE runs ADD COLUMN owner TEXT;
-- Attempts that ended without handing the run over.
ALTER TABLE runs ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
-- Nanoseconds that the run has been at work, in all attempts; written by the heartbeat of its owner.
ALTER TABLE runs ADD COLUMN worked BIGINT NOT NULL DEFAULT 0;
