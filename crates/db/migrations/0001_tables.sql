-- One text for PostgreSQL and SQLite. COLLATE "C" compares byte by byte; for SQLite it is written
-- as BINARY (store/migrate.rs), so that lists have the same order everywhere.
-- Times are nanoseconds since 1970; body, hidden, error and input are JSON.

CREATE TABLE resources (
  key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  subscription TEXT COLLATE "C" NOT NULL,
  grp TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  body TEXT NOT NULL,
  hidden TEXT NOT NULL
);
-- One for each way to list, so that a page costs the same wherever it begins.
CREATE INDEX resources_by_subscription ON resources (subscription, key);
CREATE INDEX resources_by_kind ON resources (subscription, kind, key);
CREATE INDEX resources_by_group ON resources (subscription, grp, key);
CREATE INDEX resources_by_group_and_kind ON resources (subscription, grp, kind, key);

CREATE TABLE operations (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  subscription TEXT COLLATE "C" NOT NULL,
  kind TEXT NOT NULL,
  target TEXT COLLATE "C" NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  started BIGINT NOT NULL,
  ended BIGINT
);
CREATE INDEX operations_unfinished ON operations (started, id) WHERE ended IS NULL;
CREATE INDEX operations_by_end ON operations (ended);

CREATE TABLE runs (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  template TEXT COLLATE "C" NOT NULL,
  subscription TEXT COLLATE "C" NOT NULL,
  operation TEXT COLLATE "C" NOT NULL,
  state TEXT NOT NULL,
  sub_state TEXT NOT NULL,
  message TEXT NOT NULL,
  queued BIGINT NOT NULL,
  ended BIGINT,
  epoch BIGINT NOT NULL,
  vcpus BIGINT NOT NULL,
  memory_mib BIGINT NOT NULL,
  input TEXT NOT NULL
);
-- At most one run of a template at a time, also when two commits race.
CREATE UNIQUE INDEX runs_active ON runs (template) WHERE ended IS NULL;
CREATE INDEX runs_unfinished ON runs (queued, id) WHERE ended IS NULL;
CREATE INDEX runs_by_template ON runs (template, queued, id);

CREATE TABLE clients (
  client_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  object_id TEXT COLLATE "C" NOT NULL,
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  created BIGINT NOT NULL,
  rotated BIGINT NOT NULL,
  revoked BIGINT
);
