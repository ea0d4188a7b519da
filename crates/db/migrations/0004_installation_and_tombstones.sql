-- Which data folder the database belongs to, and how many commits it has seen. At most one row.
CREATE TABLE installation (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  subscription TEXT NOT NULL,
  mark BIGINT NOT NULL
);
-- What was deleted and whose files have not been removed yet.
CREATE TABLE tombstones (
  kind TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  made BIGINT NOT NULL,
  PRIMARY KEY (kind, name)
);
